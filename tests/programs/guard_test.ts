/** Programs with physical addresses that are killed, on the NIC model as ordinary PCI devices. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Command } from "../../src/pci/function.ts";
import { exists, guardsOf } from "../support/guards.ts";
import { Hugepages } from "../support/hugepages.ts";
import { ADDRESSES, Plain, plainTest } from "../support/plain_ports.ts";
import {
  ffiOnly,
  type Program,
  PROJECT,
  type TemporaryDirectory,
  until,
} from "../support/processes.ts";
import { stopProgram } from "../support/programs.ts";
import { quitBroken } from "../support/violations.ts";

/** Returns whether bus mastering is on, for each port. */
function masters(directory: TemporaryDirectory): boolean[] {
  return ADDRESSES.map((address) => {
    const config = Deno.readFileSync(directory.file(`pci/${address}/config`));
    return (config[4] & Command.BUS_MASTER) !== 0;
  });
}

/** Asserts that neither port can reach memory. */
async function assertNoDma(plain: Plain, directory: TemporaryDirectory): Promise<void> {
  assertEquals(masters(directory), [false, false]);
  await plain.sim.reaches("the end of DMA", (ports) => ports.every((port) => !port.connected));
}

/** Kills a forwarder in traffic, and waits until its guards have ended. */
async function kill(plain: Plain, forwarder: Program, guards = ADDRESSES.length): Promise<void> {
  await plain.sim.command("start");
  await plain.forwards(1000);
  const found = guardsOf(forwarder.pid);
  assertEquals(found.flatMap((guard) => guard.arguments).sort(), ADDRESSES.slice(0, guards));
  forwarder.kill("SIGKILL");
  await forwarder.finish();
  await until("the guards' end", () => found.every(({ pid }) => !exists(pid)));
}

plainTest(
  "fwd.ts that is killed in traffic leaves no DMA, memory or process",
  async (directory) => {
    const free = Hugepages.free;
    await using plain = await Plain.start(directory, "generator:rate=20000");
    for (let i = 0; i < 2; i++) {
      await using forwarder = await plain.forwarder();
      assertEquals(masters(directory), [true, true]);
      await kill(plain, forwarder);
      assertEquals(masters(directory), [false, false]);
      await until("the hugepages to be free", () => Hugepages.free >= free);
    }
    await assertNoDma(plain, directory);
    await plain.sim.quit(); // the guard has broken no rule
  },
);

plainTest("fwd.ts --workers that is killed in traffic leaves no DMA", async (directory) => {
  await using plain = await Plain.start(directory, "generator:rate=20000");
  const args = ["--json", "--workers=2", "--queues=2", ...ADDRESSES];
  const command = ffiOnly("fwd.ts", args, [`--allow-read=${PROJECT}`]);
  await using forwarder = await plain.program(command).ready();
  await kill(plain, forwarder);
  await assertNoDma(plain, directory);
});

plainTest(
  "fwd.ts closes its devices and exits with 1 once a guard is killed",
  async (directory) => {
    await using plain = await Plain.start(directory, "none");
    await using forwarder = await plain.forwarder();
    const [guard] = guardsOf(forwarder.pid);
    Deno.kill(guard.pid, "SIGKILL");
    const { code, stderr } = await forwarder.finish();
    assertMatch(
      stderr,
      new RegExp(`^error: [^\n]+: the guard process ${guard.pid} has ended, [^\n]+\n$`),
    );
    assertEquals([code, masters(directory)], [1, [false, false]]);
    await plain.sim.quit();
  },
);

plainTest("fwd.ts that ends in order leaves no guard", async (directory) => {
  await using plain = await Plain.start(directory, "none");
  await using forwarder = await plain.forwarder();
  const guards = guardsOf(forwarder.pid);
  assertEquals(guards.length, 2);
  await stopProgram(forwarder);
  assert(guards.every(({ pid }) => !exists(pid)));
  assertEquals(masters(directory), [false, false]);
  await plain.sim.quit();
});

plainTest(
  "fwd.ts --no-guard that is killed leaves DMA on until the next start",
  async (directory) => {
    await using plain = await Plain.start(directory, "generator:rate=20000");
    await using killed = await plain.forwarder("--no-guard");
    await kill(plain, killed, 0);
    assertEquals(masters(directory), [true, true]);
    await using forwarder = await plain.forwarder();
    await plain.forwards(1000);
    await stopProgram(forwarder);
    assertEquals(masters(directory), [false, false]);
    // Between the two, the ports may have found memory gone that they still used, and nothing else.
    const { rules } = await quitBroken(plain.sim, false);
    assertEquals(rules.filter((rule) => !rule.includes("in memory the device may")), []);
  },
);
