/**
 * `vhost-user-server:PATH`: the back-end connects to the driver's socket.
 *
 * @module
 */

import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { path, stubs } from "../../native/stubs.ts";
import { SOCK } from "../../src/bound_socket.ts";
import { type Device, DeviceError, Mempool, open, UsageError } from "../../mod.ts";
import { ffiOnly, Program, TemporaryDirectory, until } from "../support/processes.ts";
import { everySize, receiveAll, sendAll, StrictBackend } from "../support/vhost_user.ts";

/** Returns the names in a directory. */
function names(directory: TemporaryDirectory): string[] {
  return [...Deno.readDirSync(directory.path)].map(({ name }) => name);
}

/** Sends some frames, and asserts that the back-end returns them unchanged. */
async function assertLoops(device: Device): Promise<void> {
  const sent = everySize().slice(0, 40), received: Uint8Array[] = [];
  await sendAll(device, sent);
  await until("packets to come back", () => {
    received.push(...receiveAll(device));
    device.checkAlive();
    return received.length >= sent.length;
  });
  assertEquals(received, sent);
}

Deno.test("open() waits for a back-end that connects, and can be repeated at once", async () => {
  await using directory = await TemporaryDirectory.make();
  const address = `vhost-user-server:${directory.file("strict.sock")}`;
  using pool = new Mempool();
  const said: string[] = [];
  const opening = open(address, { pool, onWait: (sentence) => said.push(sentence) });
  await until("the wait", () => said.length > 0);
  assertEquals(said, [`${address}: waiting for a back-end to connect`]);
  await using backend = await StrictBackend.start(directory, { client: true, connections: 3 });
  for (let round = 0; round < 3; round++) {
    {
      using device = await (round === 0 ? opening : open(address, { pool }));
      assertEquals(device.address, address);
      assertEquals(names(directory), ["strict.sock"]);
      await assertLoops(device);
    }
    assertEquals(names(directory), [], "the socket is removed");
    assertEquals(pool.freeCount, pool.buffers);
    assertEquals((await backend.report()).refused, undefined);
  }
  assertEquals(said.length, 1);
  assertEquals((await backend.program.finish()).code, 0);
});

Deno.test("open() keeps waiting if a program only looks whether the path is in use", async () => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("strict.sock"), address = `vhost-user-server:${socket}`;
  using pool = new Mempool();
  let waits = 0;
  const opening = open(address, { pool, onWait: () => waits++ });
  await until("the wait", () => waits > 0);
  // A second one looks, finds that the first one listens, and is refused.
  for (let i = 0; i < 10; i++) { // more than connections can wait
    await assertRejects(() => open(address, {}), UsageError, "another process uses this socket");
    stubs.ixy_close(stubs.ixy_connect(path(socket), SOCK.STREAM | SOCK.NONBLOCK));
  }
  await using _backend = await StrictBackend.start(directory, { client: true });
  using device = await opening;
  await assertLoops(device);
  for (let i = 0; i < 10; i++) {
    await assertRejects(() => open(address, {}), UsageError, "another process uses this socket");
  }
  await assertLoops(device);
  assertEquals(waits, 1);
});

Deno.test("open() replaces a stale socket, and nothing else", async (t) => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("strict.sock"), address = `vhost-user-server:${socket}`;
  await t.step("a file", async () => {
    await Deno.writeTextFile(socket, "precious");
    await assertRejects(() => open(address), UsageError, "exists and is not a socket");
    assertEquals(await Deno.readTextFile(socket), "precious");
    await Deno.remove(socket);
  });
  await t.step("a link to a stale socket", async () => {
    const other = directory.file("other.sock");
    stubs.ixy_close(stubs.ixy_bind(path(other), SOCK.STREAM));
    await Deno.symlink(other, socket);
    await assertRejects(() => open(address), UsageError, "exists and is not a socket");
    assertEquals(names(directory).toSorted(), ["other.sock", "strict.sock"]);
    await Deno.remove(socket);
    await Deno.remove(other);
  });
  await t.step("a directory that does not exist", async () => {
    const { message } = await assertRejects(() => open(`${address}/none/x`), UsageError);
    assertMatch(message, /cannot make socket .*: no such file or directory/);
  });
  await t.step("a stale socket", async () => {
    stubs.ixy_close(stubs.ixy_bind(path(socket), SOCK.STREAM));
    await using backend = await StrictBackend.start(directory, { client: true });
    using pool = new Mempool();
    (await open(address, { pool })).close();
    assertEquals(names(directory), []);
    await backend.report();
  });
});

Deno.test("Device.close() leaves a socket that another process has bound since", async () => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("strict.sock");
  await using _backend = await StrictBackend.start(directory, { client: true });
  using pool = new Mempool();
  const device = await open(`vhost-user-server:${socket}`, { pool });
  await Deno.remove(socket);
  const other = stubs.ixy_bind(path(socket), SOCK.STREAM);
  device.close();
  assertEquals(names(directory), ["strict.sock"]);
  stubs.ixy_close(other);
});

Deno.test("open() throws if its socket is removed or replaced while it waits", async () => {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("strict.sock");
  using pool = new Mempool();
  for (const replace of [false, true]) {
    let waits = 0;
    const opening = open(`vhost-user-server:${socket}`, { pool, onWait: () => waits++ });
    const refused = assertRejects(() => opening, UsageError, "removed or replaced");
    await until("the wait", () => waits > 0);
    await Deno.remove(socket);
    const other = replace ? stubs.ixy_bind(path(socket), SOCK.STREAM) : -1;
    await refused;
    assertEquals(names(directory), replace ? ["strict.sock"] : []);
    if (replace) stubs.ixy_close(other);
  }
});

Deno.test("Device throws if the back-end is gone, and its address can be opened again at once", async () => {
  await using directory = await TemporaryDirectory.make();
  const address = `vhost-user-server:${directory.file("strict.sock")}`;
  using pool = new Mempool();
  for (let round = 0; round < 2; round++) {
    await using backend = await StrictBackend.start(directory, { client: true });
    using device = await open(address, { pool });
    await assertLoops(device);
    backend.program.kill("SIGKILL");
    await backend.program.finish();
    const gone = () =>
      until("an error", () => {
        device.checkAlive();
        return false;
      });
    await assertRejects(gone, DeviceError, "the server of this device has closed the connection");
  }
  assertEquals(pool.freeCount, pool.buffers);
});

Deno.test("Programs say that they wait for a back-end, and end at a signal", async () => {
  await using directory = await TemporaryDirectory.make();
  const addresses = ["a.sock", "b.sock"].map((name) => `vhost-user-server:${directory.file(name)}`);
  const programs: [name: string, ...args: string[]][] = [
    ["fwd.ts", ...addresses],
    ["echo.ts", addresses[0], "192.0.2.9"],
    ["pktgen.ts", addresses[0]],
    ["pcap.ts", addresses[0], "-"],
  ];
  for (const [name, ...args] of programs) {
    await using program = Program.start(ffiOnly(name, ["--json", ...args]));
    await until("the sentence", () => program.stderr.includes("\n"));
    assertEquals(program.stderr, `${addresses[0]}: waiting for a back-end to connect\n`);
    assertEquals(names(directory), ["a.sock"]);
    program.kill("SIGTERM");
    const { code, stderr } = await program.finish();
    assertEquals(code, 128 + 15);
    assertMatch(stderr, /connect\nSIGTERM ended the wait for the device\n$/);
    assertEquals(names(directory), []);
  }
});

Deno.test("open() leaves no socket if the back-end lacks the requested interface or a queue", async () => {
  await using directory = await TemporaryDirectory.make();
  const address = `vhost-user-server:${directory.file("strict.sock")}`;
  await using backend = await StrictBackend.start(directory, {
    ...{ client: true, features: "0", connections: 2 },
  });
  using pool = new Mempool();
  const modern = () => open(address, { pool, virtio: "modern" });
  await assertRejects(modern, UsageError, "use the legacy one");
  assertEquals(names(directory), []);
  await backend.report();
  const large = () => open(address, { pool, txEntries: 256 });
  await assertRejects(large, UsageError, "does not accept a queue of 512 descriptors");
  assertEquals([names(directory), pool.freeCount + pool.abandoned], [[], pool.buffers]);
  await backend.report();
});
