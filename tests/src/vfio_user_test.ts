/** Access through vfio-user, with the software NIC in a process of its own. */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, Mempool, open, PacketBatch, UsageError } from "../../mod.ts";
import { delay } from "../../native/clock.ts";
import { path, stubs } from "../../native/stubs.ts";
import { DmaMemory } from "../../src/dma.ts";
import { Config } from "../../src/pci/function.ts";
import { VfioUserFunction } from "../../src/pci/vfio_user.ts";
import { Program, PROJECT, Sim, TemporaryDirectory } from "../support/processes.ts";
import type { Fault, Script } from "../support/vfio_user_server.ts";

/** The capability of VirtIO's common configuration: 56 bytes in BAR 0. */
const COMMON_CFG = { 0x40: 0x01100009, 0x44: 0, 0x48: 0, 0x4c: 56 };

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

/** A device whose server breaks the protocol or describes an impossible function, and the error for it. */
const BROKEN: readonly [what: string, script: Script, error: ErrorClass, sentence: RegExp][] = [
  [
    "a flood of requests",
    at("VERSION", "flood"),
    UsageError,
    /sent 256 requests instead of a reply/,
  ],
  ["a flood of messages", at("REGION_READ", "posted flood"), DeviceError, /sent 256 requests/],
  ["a reply to another request", at("REGION_READ", "other"), DeviceError, /to another request/],
  ["an unknown type of message", at("REGION_READ", "type"), DeviceError, /of an unknown type/],
  ["an impossible size", at("DMA_MAP", "size"), DeviceError, /a message of 4294967280 bytes/],
  [
    "an impossible error",
    at("DMA_MAP", "refuse"),
    DeviceError,
    /refused command 2: error 4294967295/,
  ],
  ["32 file descriptors", at("REGION_INFO", "files"), DeviceError, /sent 32 file descriptors/],
  ["a short reply", at("REGION_READ", "short"), DeviceError, /region read has only 3 bytes/],
  ["a short description", at("REGION_INFO", "short"), DeviceError, /has only 3 bytes/],
  [
    "the end of the connection",
    at("REGION_INFO", "close"),
    DeviceError,
    /has closed the connection/,
  ],
  ["no JSON", { version: "{" }, UsageError, /VERSION reply has text that is not JSON/],
  ["null", { version: "null", allConfig: 0xff }, DeviceError, /reads as ones/],
  ["a text for a number", version('"8"'), UsageError, /limits file descriptors to "8"/],
  ["no file descriptors", version("0"), UsageError, /limits file descriptors to 0/],
  ["all ones", { allConfig: 0xff }, DeviceError, /so the device is gone or powered down/],
  ["all zeros", { allConfig: 0 }, UsageError, /0000:0000 of class 0000 is not supported/],
  ["VirtIO without capabilities", virtio({}), UsageError, /neither the legacy interface/],
  ["a circular list", virtio({ 0x40: 0x00004005 }), UsageError, /neither the legacy interface/],
  ["a list into the header", virtio({ 0x40: 0x00000405 }), UsageError, /neither the legacy/],
  [
    "a misaligned structure",
    virtio({ ...COMMON_CFG, 0x48: 0x1001 }),
    DeviceError,
    /of 4: use another/,
  ],
  ["a structure outside", virtio({ ...COMMON_CFG, 0x48: 0xfffffffc }), DeviceError, /56 bytes at/],
  ["no BAR", { bar: { size: 0 } }, DeviceError, /has no BAR 0/],
  ["an odd BAR", { bar: { size: 0x80001 } }, DeviceError, /not a power of two/],
  ["a small BAR", { bar: { size: 4096 } }, DeviceError, /BAR 0 has 4096 bytes, fewer than/],
  ["an odd area", { bar: { areas: [[0, 4097]] } }, DeviceError, /does not consist of whole pages/],
  ["overlapping areas", { bar: { areas: [[0, 8192], [4096, 4096]] } }, DeviceError, /overlaps/],
  ["an area outside", { bar: { areas: [[0x80000, 4096]] } }, DeviceError, /lies outside the BAR/],
  ["a short file", { bar: { offset: 0x1ff000, areas: [[0, 8192]] } }, DeviceError, /2097152 bytes/],
  ["no file", { bar: { areas: [[0, 4096]], file: "eventfd" } }, DeviceError, /not a regular file/],
];

Deno.test("open() answers a broken server with a sentence, and leaves nothing behind", async (t) => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("broken.sock"),
    file = `${PROJECT}tests/support/vfio_user_server.ts`;
  const deno = [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-ffi"];
  const scripts = JSON.stringify(BROKEN.map(([, script]) => script));
  await using server = Program.start([...deno, file, socket, scripts]);
  await server.line((line) => line === "ready");
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  for (const [what, , error, sentence] of BROKEN) {
    await t.step(what, async () => {
      const files = openFiles();
      const { message } = await assertRejects(() => open(`vfio-user:${socket}`, { pool }), error);
      assertMatch(message, sentence);
      assertMatch(message, /^vfio-user:\S+broken\.sock: [^\n]+$/);
      assertEquals([pool.freeCount, pool.memory.pinned], [pool.buffers, false]);
      await server.line((line) => line === "closed");
      assertEquals(openFiles(), files);
    });
  }
  const { code, stderr } = await server.finish();
  assertEquals([code, stderr], [0, ""]);
});

Deno.test("open() lets other tasks run until a server answers", async () => {
  await using directory = await TemporaryDirectory.make();
  for (const scheme of ["vfio-user", "vhost-user"]) {
    const socket = directory.file(scheme), listener = stubs.ixy_bind(path(socket), 1);
    const files = openFiles();
    const opening = open(`${scheme}:${socket}`).finally(() => ended = true);
    let ended = false;
    await delay(20); // would never end otherwise
    assertEquals(ended, false);
    stubs.ixy_close(listener);
    await assertRejects(() => opening, Error, "has closed the connection");
    assertEquals(openFiles(), files - 1);
  }
});

type ErrorClass = typeof DeviceError | typeof UsageError;

/** Returns the number of this process's open files. */
function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** Returns the script of a server that misbehaves at a request. */
function at(command: "VERSION" | "DMA_MAP" | "REGION_INFO" | "REGION_READ", how: Fault): Script {
  const number = { VERSION: 1, DMA_MAP: 2, REGION_INFO: 5, REGION_READ: 9 }[command];
  return { fault: { command: number, how } };
}

/** Returns the script of a server that takes this number of file descriptors. */
function version(number: string): Script {
  return { version: `{"capabilities":{"max_msg_fds":${number}}}` };
}

/** Returns the script of a modern VirtIO network device with a list of capabilities at 0x40. */
function virtio(config: Readonly<Record<number, number>>): Script {
  return { config: { 0: 0x10411af4, 4: 0x00100000, 0x34: 0x40, ...config } };
}
