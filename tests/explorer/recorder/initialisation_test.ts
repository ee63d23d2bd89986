/** The initialisation as a story: chapters in order, and each access with its reason. */

import { assert, assertEquals } from "@std/assert";
import type { Step } from "../../../explorer/recording/step.ts";
import { RING } from "../../../explorer/recording/layout.ts";
import { record, type Recorded, recordingOf } from "../../support/recording.ts";

const DEVICES = ["82599", "X540", "X550"] as const;

/** Returns the chapters in order, each once for a run of steps. */
function chaptersOf(steps: readonly Step[]): string[] {
  return steps.map(({ chapter = "" }) => chapter).filter((chapter, i, all) =>
    chapter !== all[i - 1]
  );
}

function accessesOf({ steps }: Recorded): Step[] {
  return steps.filter(({ register }) => register !== undefined);
}

for (const device of DEVICES) {
  Deno.test(`Opening an ${device} is recorded without violation, in the chapters' order`, async () => {
    const recorded = await record({ device, ports: 1, interrupts: true });
    assertEquals(recorded.errors, []);
    assertEquals(recorded.steps.filter(({ kind }) => kind === "violation"), []);
    assertEquals(chaptersOf(recorded.steps), [
      ...["open()", "check", "reset", "link", "dma", "statistics", "receive", "transmit"],
      // Only the SFP+ module's link is looked at again.
      ...["interrupts", "receiver", ...device === "82599" ? ["link"] : []],
      ...["open()", "waitForLink()", "registers"],
    ]);
  });

  Deno.test(`Each access of opening and closing an ${device} has reason, section and stack`, async () => {
    const actions = [{ do: "open" }, { do: "statistics", port: 0 }, { do: "close" }] as const;
    const recorded = await record({ device, ports: 1, queues: 2, interrupts: true, actions });
    assertEquals(recorded.errors, []);
    for (const { title, why, section, stack, chapter, register } of accessesOf(recorded)) {
      assert(why?.endsWith("."), `${title} has no reason: ${why}`);
      assert(section !== undefined, `${title} has no section`);
      assert(register!.name !== "", `${title} is no register`);
      assert(chapter !== undefined, `${title} has no chapter`);
      assert(/\/(ixgbe|src)\//.test(stack!.split("\n")[0]), `${title}: ${stack}`);
    }
  });
}

Deno.test("A register that the driver waits for is one step, which says how often it was read", async () => {
  const { steps } = await record({ ports: 1 });
  const waits = steps.filter(({ title, times = 1 }) => title === "read EEC" && times > 1);
  assertEquals(waits.length, 1);
  assertEquals(waits[0].changes.length, 0);
  const after = steps[steps.indexOf(waits[0]) + 1];
  assertEquals([after.title, after.register!.value & 0x200], ["read EEC", 0x200]); // AUTO_RD
});

Deno.test("The bus to the module is one step for each run of accesses", async () => {
  const { steps } = await record({ ports: 1 });
  const bus = steps.filter(({ register }) => register?.name === "I2CCTL");
  assert(bus.length < 40, `${bus.length} steps`);
  assert(bus.reduce((sum, { times = 1 }) => sum + times, 0) > 1000);
});

Deno.test("Registers' cells hold what the steps say, and rings are set up when the devices are open", async () => {
  const recorded = await record({ ports: 2, queues: 2 }), recording = recordingOf(recorded);
  const written = recorded.steps.findIndex(({ title }) => title === "write RDLEN[1]");
  recording.moveTo(written);
  const { register, port } = recording.at(written)!;
  const registers = recording.layout.view(recording.state, `port${port}/registers`);
  assertEquals(registers[register!.offset / 4], 64 * 16);
  recording.moveTo(recording.end);
  for (const name of ["port0/rx0", "port0/rx1", "port1/rx0", "port1/rx1"]) {
    const ring = recording.layout.view(recording.state, `${name}/ring`);
    assertEquals([ring[RING.RUNS], ring[RING.HEAD], ring[RING.TAIL]], [1, 0, 63], name);
  }
  assertEquals([...recording.layout.view(recording.state, "port1/link")], [1, 10_000]);
});

Deno.test("The first step that enables a ring comes after the driver has filled it", async () => {
  const { steps } = await record({ ports: 1 });
  const of = (find: (step: Step) => boolean) => steps.findIndex(find);
  const filled = of(({ kind, descriptor }) => kind === "arm" && descriptor?.ring === "rx");
  const placed = of(({ title }) => title === "write RDBAL[0]");
  const enabled = of(({ title, register }) => {
    return title === "write RXDCTL[0]" && (register!.value & 0x2000000) !== 0;
  });
  const passed = of(({ title, register }) => title === "write RDT[0]" && register!.value === 63);
  assert(filled < placed && placed < enabled && enabled < passed);
});
