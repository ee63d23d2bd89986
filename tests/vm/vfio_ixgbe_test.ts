/**
 * The ixgbe driver over VFIO: QEMU puts the software NIC behind the IOMMU of a virtual machine, and
 * the forwarder there drives it.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { addressOf, VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import { Sim, TemporaryDirectory } from "../support/processes.ts";
import { droppedBy } from "../support/programs.ts";
import { FORWARD, Guest, stopForwarder } from "./vfio_guest.ts";

const SLOTS = [3, 4] as const;
/**
 * Frames to forward each way. At the generators' rate, a ring has room for two and a half seconds,
 * so that nothing is lost while the emulated processor compiles.
 */
const FRAMES = 1000, RATE = 200;
/** Longest that they may take, in milliseconds. */
const FRAMES_MS = 60000;
/** A reset, in the software NIC's record. */
const RESET = "reset (function)";

/**
 * Asserts that a function was reset before its driver used it, and twice at the end with DMA off:
 * by the driver, and by the kernel when the function is closed.
 */
function assertReset(record: string, port: number): void {
  const words = record.split("\n").map((line) => line.split(" "));
  const lines = words.filter(([, at]) => at === `${port}`).map((line) => line.slice(2).join(" "));
  assertEquals(lines[0], RESET);
  const end = lines.slice(lines.lastIndexOf("bus master off") + 1);
  assertEquals(end, [RESET, RESET, "the client has gone"]);
}

Deno.test("nic.ts selftest passes by VFIO; fwd.ts drives an 82599 by VFIO, and resets it", async () => {
  await using directory = await TemporaryDirectory.make();
  const trace = directory.file("trace");
  const wire = `generator:rate=${RATE},size=300`;
  await using sim = await Sim.start(directory, [wire, wire], ["--trace", trace]);
  await using guest = await Guest.boot(vfioUserNics(sim.addresses, SLOTS), {
    qemu: VFIO_USER_QEMU,
  });
  const addresses = SLOTS.map((slot) => addressOf({ slot }));
  await guest.bind(...addresses);
  const { failed, skipped } = await guest.selftest(addresses[0]);
  assertEquals([failed, skipped], [[], ["cable", "link loss"]], "nic.ts selftest");
  const { length: before } = await Deno.readTextFile(trace);
  const forwarder = await guest.startForwarder(`${FORWARD} ${addresses.join(" ")}`);
  await sim.command("start");
  await sim.reaches(
    "frames each way",
    (ports) => ports.every(({ wireStatistics }) => wireStatistics.received >= FRAMES),
    FRAMES_MS,
  );
  await sim.drain(() => droppedBy(forwarder));
  const totals = await stopForwarder(forwarder);
  assertEquals(await guest.busMasters(...addresses), [false, false]);
  const ports = await sim.quit();
  const record = (await Deno.readTextFile(trace)).slice(before);
  for (const port of SLOTS.keys()) assertReset(record, port);
  for (const [from, to] of [[0, 1], [1, 0]]) {
    const { sent, missed } = ports[from].wireStatistics;
    const { received, reordered, corrupt, foreign } = ports[to].wireStatistics;
    assert(received >= FRAMES);
    const { dropped, txPackets } = totals[to];
    assertEquals([missed, dropped, reordered, corrupt, foreign], [0, 0, 0, 0, 0]);
    assertEquals([totals[from].rxPackets, txPackets, received], [sent, sent, sent]);
  }
});
