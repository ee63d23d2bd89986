/**
 * A driver gone wrong in a virtual machine: descriptors that lead to memory of the guest which was not
 * mapped for the device. Through VFIO and QEMU's IOMMU nothing is hit; on a machine without an IOMMU
 * the very same descriptors hit it, which shows that the first is no accident.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { addressOf, VFIO_USER_QEMU, vfioUserNics } from "../../vm/devices.ts";
import { Machine } from "../../vm/machine.ts";
import { Sim, TemporaryDirectory } from "../support/processes.ts";
import { quitBroken } from "../support/violations.ts";
import { type DmaReport, ENOUGH, ENTRIES, NOT_READABLE, NOT_WRITABLE } from "./dma_program.ts";
import { Guest } from "./vfio_guest.ts";

const SLOTS = [3, 4];
/** One card for each direction. */
const [TRANSMIT, RECEIVE] = SLOTS.map((slot) => addressOf({ slot }));
/** Frames a second that the emulated processor can follow. */
const WIRE = "generator:rate=500,size=300";

/** Has the driver go wrong on both cards: by physical addresses, which are the guest's memory. */
async function goWrong(guest: Guest, sim: Sim): Promise<DmaReport[]> {
  const program = "deno run --no-prompt --allow-ffi tests/vm/dma_program.ts";
  const transmit = await guest.do(`${program} ${TRANSMIT} transmit physical`);
  await sim.command("start");
  const receive = await guest.do(`${program} ${RECEIVE} receive physical`);
  assertEquals(await guest.busMasters(TRANSMIT, RECEIVE), [false, false], "it has closed them");
  return [JSON.parse(transmit), JSON.parse(receive)];
}

Deno.test("the IOMMU keeps a driver that has gone wrong from memory that was not mapped", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, [WIRE, WIRE], ["--doorbells=trap"]);
  const nics = vfioUserNics(sim.addresses, SLOTS);
  await using guest = await Guest.boot(nics, { qemu: VFIO_USER_QEMU });
  await guest.bind(TRANSMIT, RECEIVE);
  const [transmit, receive] = await goWrong(guest, sim);
  assertEquals(transmit, { untouched: true, packets: 0, pending: 1 });
  // What the ring led to at first is received, and nothing after it.
  assertEquals(receive, { untouched: true, packets: ENTRIES, pending: 0 });
  const { rules, ports } = await quitBroken(sim);
  assertEquals(ports[0].counters.transmitted, 1, "the packet before");
  assertEquals(rules, [NOT_WRITABLE, NOT_READABLE]);
});

Deno.test("without an IOMMU such a driver reads and writes memory that is not its own", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, [WIRE, WIRE], ["--doorbells=trap"]);
  const nics = vfioUserNics(sim.addresses, SLOTS);
  await using vm = await Machine.boot({ arguments: nics, qemu: VFIO_USER_QEMU });
  const [transmit, receive] = await goWrong(Guest.of(vm), sim);
  assertEquals(transmit, { untouched: true, packets: 1, pending: 0 }); // it was read
  assertEquals([receive.untouched, receive.packets >= ENOUGH], [false, true]);
  const { rules, ports } = await quitBroken(sim);
  assertEquals(ports[0].counters.transmitted, 2);
  assertEquals(rules, []);
});
