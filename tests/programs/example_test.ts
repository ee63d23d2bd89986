/** `example.ts` as a process, between two ports of the software NIC. */

import { assertEquals, assertMatch } from "@std/assert";
import { readCapture, writeCapture } from "../support/captures.ts";
import {
  assertRefused,
  ffiOnly,
  Program,
  run,
  Sim,
  TemporaryDirectory,
} from "../support/processes.ts";
import { randomFrame } from "../support/programs.ts";

/** Fewer frames than a ring has descriptors, so that a slow forwarder loses none. */
const FRAMES = 300;

/** Returns a port that sends the frames of one file and writes received frames to another. */
interface Cable {
  readonly frames: readonly Uint8Array[];
  readonly output: string;
  readonly wire: string;
}

function cable(directory: TemporaryDirectory, name: string): Cable {
  const input = directory.file(`${name}-in.pcap`), output = directory.file(`${name}-out.pcap`);
  const frames = Array.from({ length: FRAMES }, () => randomFrame(60));
  writeCapture(input, frames);
  return { frames, output, wire: `pcap:in=${input},out=${output}` };
}

/** Starts the example and waits until it forwards. */
async function startExample(sim: Sim): Promise<Program> {
  const program = Program.start(ffiOnly("example.ts", sim.addresses));
  assertEquals(await program.line(() => true), "forwarding between 82599 SFP+ and 82599 SFP+");
  return program;
}

Deno.test("example.ts forwards both ways, changes a byte, and prints totals at SIGINT", async () => {
  await using directory = await TemporaryDirectory.make();
  const a = cable(directory, "a"), b = cable(directory, "b");
  await using sim = await Sim.start(directory, [a.wire, b.wire]);
  await using program = await startExample(sim);
  await sim.command("start");
  await sim.reaches(
    "every frame",
    (ports) => ports.every(({ counters }) => counters.transmitted === FRAMES),
  );
  program.kill("SIGINT");
  const { code, stdout, stderr } = await program.finish();
  assertEquals([code, stderr], [0, ""]);
  const counts = `received ${FRAMES}, sent ${FRAMES} packets`;
  assertEquals(
    stdout.split("\n").slice(1),
    [...sim.addresses.map((address) => `${address}: ${counts}`), ""],
  );
  await sim.quit();
  for (const [from, to] of [[a, b], [b, a]]) {
    const touched = from.frames.map((frame) => frame.with(1, frame[1] + 1));
    assertEquals(readCapture(to.output), touched);
  }
});

Deno.test("example.ts ends, and names the device, when a device is gone", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none", "none"]);
  await using program = await startExample(sim);
  sim.program.kill("SIGKILL");
  const { code, stderr } = await program.finish();
  assertEquals(code, 1);
  assertMatch(stderr, /DeviceError: vfio-user:.*0\.sock/);
});

Deno.test("example.ts refuses any number of addresses except two", async () => {
  for (const addresses of [[], ["0000:03:00.0"], ["a", "b", "c"]]) {
    assertRefused(
      await run(ffiOnly("example.ts", addresses)),
      /takes the addresses of two devices/,
    );
  }
});
