/** Access through vfio-user, with the software NIC in a process of its own. */

import { assertEquals, assertThrows } from "@std/assert";
import { DeviceError, Mempool, open, PacketBatch, UsageError } from "../../mod.ts";
import { DmaMemory } from "../../src/dma.ts";
import { Config } from "../../src/pci/function.ts";
import { VfioUserFunction } from "../../src/pci/vfio_user.ts";
import { Program, PROJECT, Sim, TemporaryDirectory } from "../support/processes.ts";

/** Returns the socket path in an address. */
function socketOf(address: string): string {
  return address.slice("vfio-user:".length);
}

async function kill(sim: Sim): Promise<void> {
  sim.program.kill("SIGKILL");
  await sim.program.finish();
}

Deno.test("VfioUserFunction maps doorbells that the server shares, and sends messages for others", async () => {
  for (const how of ["poll", "trap"]) {
    await using directory = await TemporaryDirectory.make();
    await using sim = await Sim.start(directory, ["none"], [`--doorbells=${how}`]);
    const pci = new VfioUserFunction("nic", socketOf(sim.addresses[0]));
    assertEquals(pci.readConfig(Config.VENDOR_ID, 2), 0x8086);
    const doorbell = pci.bar(0).doorbell(0x1018);
    assertEquals(doorbell.write === undefined, how === "poll");
    assertThrows(() => pci.bar(3), DeviceError, "no BAR 3");
    pci.close();
    pci.close();
    if (how === "poll") assertEquals(doorbell.words.length, 0);
    await sim.quit();
  }
});

Deno.test("VfioUserFunction refuses a device that another client uses", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const first = new VfioUserFunction("nic", socketOf(sim.addresses[0]));
  const second = () => new VfioUserFunction("nic", socketOf(sim.addresses[0]));
  assertThrows(second, UsageError, "end the program that uses the device");
  first.close();
});

Deno.test("VfioUserFunction.close() unpins memory even if the server is gone", async () => {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["none"]);
  const pci = new VfioUserFunction("nic", socketOf(sim.addresses[0]));
  const memory = DmaMemory.allocate(1, "pages");
  pci.mapDma(memory);
  pci.claim(false);
  await kill(sim);
  pci.close();
  memory.free();
});

Deno.test("Device reports that its server is gone, and can still be closed", async () => {
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

/** Starts a server with its doorbells in a file; returns it, the device's address and the file. */
async function serveDoorbells(directory: TemporaryDirectory, bytes?: number) {
  const [socket, file] = [directory.file("socket"), directory.file("doorbells")];
  const script = `${PROJECT}tests/support/doorbell_server.ts`;
  const args = [script, socket, file, ...(bytes === undefined ? [] : [String(bytes)])];
  const server = Program.start([Deno.execPath(), "run", "-A", "--quiet", ...args]);
  await server.line((line) => line === "ready");
  return { server, address: `vfio-user:${socket}`, file };
}

Deno.test("Device reports that its server has truncated the file of doorbells, and can be closed", async () => {
  await using directory = await TemporaryDirectory.make();
  const { server, address, file } = await serveDoorbells(directory);
  await using _server = server;
  using pool = new Mempool({ buffers: 1024 });
  const device = await open(address, { pool });
  device.checkAlive();
  Deno.truncateSync(file, 0);
  const batch = new PacketBatch(pool);
  batch.buffers[batch.length++] = pool.allocate(60);
  device.txQueues[0].transmit(batch);
  const sentence = `${address}: the server has truncated the file of its doorbells: restart`;
  assertThrows(() => device.checkAlive(), DeviceError, sentence);
  device.close();
  assertEquals(pool.freeCount, pool.buffers);
  assertEquals((await server.finish()).stderr, "");
});

Deno.test("VfioUserFunction refuses doorbells beyond the end of their file", async () => {
  await using directory = await TemporaryDirectory.make();
  const { server, address } = await serveDoorbells(directory, 4096);
  await using _server = server;
  const pci = new VfioUserFunction("nic", socketOf(address));
  assertThrows(() => pci.bar(0), DeviceError, "nic: the file of BAR 0 has only 4096 bytes: update");
  pci.close();
  assertEquals((await server.finish()).code, 0);
});
