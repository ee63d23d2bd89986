/** The vfio-user bus, against the software NIC in a process of its own. */

import { assertEquals, assertThrows } from "@std/assert";
import { DeviceError, Mempool, open, PacketBatch, UsageError } from "../../mod.ts";
import { DmaMemory } from "../../src/dma.ts";
import { Config } from "../../src/pci/function.ts";
import { VfioUserFunction } from "../../src/pci/vfio_user.ts";
import { Sim, TemporaryDirectory } from "../support/processes.ts";

/** The path behind an address. */
function socketOf(address: string): string {
  return address.slice("vfio-user:".length);
}

async function kill(sim: Sim): Promise<void> {
  sim.program.kill("SIGKILL");
  await sim.program.finish();
}

Deno.test("VfioUserFunction maps doorbells where they are shared, and sends them where not", async () => {
  for (const how of ["poll", "trap"]) {
    await using directory = await TemporaryDirectory.make();
    await using sim = await Sim.start(directory, ["none"], [`--doorbells=${how}`]);
    const bus = new VfioUserFunction("nic", socketOf(sim.addresses[0]));
    assertEquals(bus.readConfig(Config.VENDOR_ID, 2), 0x8086);
    const doorbell = bus.bar(0).doorbell(0x1018);
    assertEquals(doorbell.write === undefined, how === "poll");
    assertThrows(() => bus.bar(3), DeviceError, "no BAR 3");
    bus.close();
    bus.close();
    if (how === "poll") assertEquals(doorbell.words.length, 0);
    await sim.quit();
  }
});

Deno.test("VfioUserFunction refuses a device that another client has", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const first = new VfioUserFunction("nic", socketOf(sim.addresses[0]));
  const second = () => new VfioUserFunction("nic", socketOf(sim.addresses[0]));
  assertThrows(second, UsageError, "end the program that uses the device");
  first.close();
});

Deno.test("VfioUserFunction.close() gives memory back although the server is gone", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const bus = new VfioUserFunction("nic", socketOf(sim.addresses[0]));
  const memory = DmaMemory.allocate(1, "pages");
  bus.mapDma(memory);
  bus.claim(false);
  await kill(sim);
  bus.close();
  memory.free();
});

Deno.test("Device says that its server is gone, and can still be closed", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  using pool = new Mempool({ buffers: 1024 });
  const device = await open(sim.addresses[0], { pool });
  device.checkAlive();
  await kill(sim);
  assertThrows(() => device.checkAlive(), DeviceError, "has closed the connection: start it again");
  device.close();
  assertEquals(pool.freeCount, pool.buffers);
  assertThrows(() => device.rxQueues[0].receive(new PacketBatch(pool)), Error, "closed");
});
