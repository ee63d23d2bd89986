/**
 * The driver of the 82599 over VFIO: QEMU puts the software NIC, which runs beside it, behind the
 * IOMMU of a virtual machine, and the forwarder in there drives it.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { addressOf, VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import { Sim, TemporaryDirectory } from "../processes.ts";
import { FORWARD, Guest, stopForwarder } from "./vfio_guest.ts";

const SLOTS = [3, 4] as const;
/** Frames that shall have come through each way, at a rate that the emulated processor can follow. */
const FRAMES = 1000, RATE = 500;
/** Longest that they may take, in milliseconds. */
const FRAMES_MS = 60000;

Deno.test("fwd.ts drives an 82599 by VFIO", async () => {
  await using directory = await TemporaryDirectory.make();
  const wire = `generator:rate=${RATE},size=300`;
  await using sim = await Sim.start(directory, [wire, wire], ["--doorbells=trap"]);
  await using guest = await Guest.boot(vfioUserNics(sim.addresses, SLOTS), {
    qemu: VFIO_USER_QEMU,
  });
  const addresses = SLOTS.map((slot) => addressOf({ slot }));
  await guest.bind(...addresses);
  const forwarder = await guest.startForwarder(`${FORWARD} ${addresses.join(" ")}`);
  await sim.command("start");
  await sim.reaches(
    "frames each way",
    (ports) => ports.every(({ wireStatistics }) => wireStatistics.received >= FRAMES),
    FRAMES_MS,
  );
  await sim.drain();
  const totals = await stopForwarder(forwarder);
  assertEquals(await guest.busMasters(...addresses), [false, false]);
  const ports = await sim.quit();
  for (const [from, to] of [[0, 1], [1, 0]]) {
    const { sent, missed } = ports[from].wireStatistics;
    const { received, reordered, corrupt, foreign } = ports[to].wireStatistics;
    assert(received >= FRAMES);
    assertEquals({ reordered, corrupt, foreign }, { reordered: 0, corrupt: 0, foreign: 0 });
    assertEquals(received, sent - missed - totals[to].dropped);
    assertEquals([totals[from].rxPackets, totals[to].txPackets], [sent - missed, received]);
  }
});
