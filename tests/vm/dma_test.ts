/**
 * A faulty driver in a virtual machine: its descriptors have addresses of guest memory that is not
 * mapped for the device. Through VFIO and QEMU's IOMMU, the device cannot access that memory. On a
 * machine without an IOMMU, the same descriptors do access it, which proves that the IOMMU is the
 * reason.
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
/** A rate of frames per second that the emulated processor can process. */
const WIRE = "generator:rate=500,size=300";

/** Runs the faulty driver on both cards, with physical addresses of the guest's memory. */
async function runFaulty(guest: Guest, sim: Sim): Promise<DmaReport[]> {
  const program = "deno run --no-prompt --allow-ffi tests/vm/dma_program.ts";
  const transmit = await guest.do(`${program} ${TRANSMIT} transmit physical`);
  await sim.command("start");
  const receive = await guest.do(`${program} ${RECEIVE} receive physical`);
  assertEquals(await guest.busMasters(TRANSMIT, RECEIVE), [false, false], "closed");
  return [JSON.parse(transmit), JSON.parse(receive)];
}

Deno.test("an IOMMU prevents DMA of a faulty driver to memory that is not mapped", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, [WIRE, WIRE], ["--doorbells=trap"]);
  const nics = vfioUserNics(sim.addresses, SLOTS);
  await using guest = await Guest.boot(nics, { qemu: VFIO_USER_QEMU });
  await guest.bind(TRANSMIT, RECEIVE);
  const [transmit, receive] = await runFaulty(guest, sim);
  assertEquals(transmit, { untouched: true, packets: 0, pending: 1 });
  // Only the packets of the first descriptors, which are correct, are received.
  assertEquals(receive, { untouched: true, packets: ENTRIES, pending: 0 });
  const { rules, ports } = await quitBroken(sim);
  assertEquals(ports[0].counters.transmitted, 1, "the correct packet");
  assertEquals(rules, [NOT_WRITABLE, NOT_READABLE]);
});

Deno.test("without an IOMMU, a faulty driver's DMA reads and writes other memory", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, [WIRE, WIRE], ["--doorbells=trap"]);
  const nics = vfioUserNics(sim.addresses, SLOTS);
  await using vm = await Machine.boot({ arguments: nics, qemu: VFIO_USER_QEMU });
  const [transmit, receive] = await runFaulty(Guest.of(vm), sim);
  assertEquals(transmit, { untouched: true, packets: 1, pending: 0 }); // the memory was read
  assertEquals([receive.untouched, receive.packets >= ENOUGH], [false, true]);
  const { rules, ports } = await quitBroken(sim);
  assertEquals(ports[0].counters.transmitted, 2);
  assertEquals(rules, []);
});
