/** Buffers that a process may still write to after its connection has ended. */

import { assertEquals } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import { Mempool } from "../../mod.ts";
import { checkErrno, path, stubs } from "../../native/stubs.ts";
import { Peer } from "../../src/peer.ts";
import { Program } from "../../programs/process.ts";
import { ffiOnly, TemporaryDirectory } from "../support/processes.ts";
import { ModelFunction } from "../support/model_function.ts";

/** Runs a test with the peers of connections to this process. */
async function connected(test: (connect: () => Peer) => Promise<void> | void): Promise<void> {
  await using directory = await TemporaryDirectory.make();
  const socket = path(directory.file("socket"));
  const fds = [checkErrno("listen", stubs.ixy_bind(socket, 1))];
  await test(() => {
    fds.push(checkErrno("connect", stubs.ixy_connect(socket, 1)));
    return new Peer("nic", fds.at(-1)!);
  });
  for (const fd of fds) stubs.ixy_close(fd);
}

/** Takes buffers from a pool, as a device does. */
function take(pool: Mempool, n: number): number[] {
  pool.freeCount -= n;
  return [...pool.freeStack.subarray(pool.freeCount, pool.freeCount + n)];
}

Deno.test("Peer.giveBack() returns buffers at once if the process cannot reach them", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  await connected((connect) => {
    const [untouched, stopped] = [connect(), connect()];
    stopped.share();
    stopped.stopped();
    for (const peer of [untouched, stopped]) {
      const buffers = take(pool, 10);
      peer.disconnected();
      peer.giveBack(pool, buffers);
      assertEquals([pool.freeCount, pool.abandoned], [64, 0]);
    }
  });
});

Deno.test("Peer.giveBack() keeps buffers until the process answers on a new connection", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  await connected((connect) => {
    const first = connect(), buffers = take(pool, 10);
    first.share();
    first.disconnected();
    first.giveBack(pool, buffers);
    Peer.look("nic"); // this process has not ended
    const second = connect();
    assertEquals([pool.freeCount, pool.abandoned], [54, 10]);
    second.answered();
    assertEquals([pool.freeCount, pool.abandoned], [64, 0]);
    assertEquals(new Set(pool.freeStack).size, 64);
    second.disconnected();
  });
});

Deno.test("Peer.giveBack() keeps buffers until the process has ended, whoever answers then", async () => {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("socket"),
    server = JSON.stringify([{ features: "0", protocol: "0" }]);
  const args = ffiOnly("tests/support/vhost_user_backend.ts", [file, server]);
  await using program = Program.start(args);
  await program.line((line) => line === "ready");
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const fd = checkErrno("connect", stubs.ixy_connect(path(file), 1));
  const other = new Peer("nic", fd), buffers = take(pool, 10);
  other.share();
  other.disconnected();
  other.giveBack(pool, buffers);
  await connected((connect) => {
    const own = connect();
    own.answered(); // another process than the one that may still write
    own.disconnected();
    assertEquals([pool.freeCount, pool.abandoned], [54, 10]);
  });
  program.kill("SIGKILL");
  await program.finish();
  Peer.look("nic");
  assertEquals([pool.freeCount, pool.abandoned], [64, 0]);
  stubs.ixy_close(fd);
});

Deno.test("IxgbeDevice.close() leaves the buffers of its rings with a server that may go on", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  await connected(async (connect) => {
    class Served extends ModelFunction {
      readonly peer = connect();
      override close(): void {
        super.close();
        this.peer.disconnected();
      }
    }
    const pci = new Served();
    pci.peer.share();
    const device = await ixgbe.attach(pci, { pool, rxEntries: 64 });
    device.close();
    assertEquals([pool.freeCount, pool.abandoned], [960, 64]);
    connect().answered();
    assertEquals([pool.freeCount, pool.abandoned], [1024, 0]);
  });
});
