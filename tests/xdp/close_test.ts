/** `XdpDevice.close()` when a step of it fails: all others are done. As root only. */

import { assertEquals, assertThrows } from "@std/assert";
import { Mempool, open, PacketBatch } from "../../mod.ts";
import { causes } from "../../src/errors.ts";
import { isReleased } from "../../xdp/release.ts";
import { MappedRings } from "../../xdp/rings.ts";
import { tool, until } from "../support/processes.ts";
import { canUseXdp, Veth } from "../support/veth.ts";

const QUEUES = 3, BUFFERS = 4096;

/** Returns the number of open sockets of this process. */
function sockets(): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`).startsWith("socket:");
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false; // the one that reads the directory
      throw error;
    }
  }).length;
}

/** Lets unmapping the rings of some sockets fail, of all that are closed, while a function runs. */
function whileRingsFail(failing: readonly number[], fn: () => void): void {
  const original = MappedRings.prototype.close;
  let closed = 0;
  MappedRings.prototype.close = function () {
    original.call(this);
    const number = closed++;
    if (failing.includes(number)) throw new Error(`the rings of socket ${number} stay`);
  };
  try {
    fn();
  } finally {
    MappedRings.prototype.close = original;
  }
}

for (const failing of [[0], [1], [0, 2]]) {
  Deno.test({
    name: `XdpDevice.close() closes all sockets if closing number ${failing.join(" and ")} fails`,
    ignore: !canUseXdp,
    async fn() {
      await using veth = await Veth.make({ queues: QUEUES });
      const details = async () =>
        JSON.parse(await tool("ip", "-d", "-j", "link", "show", veth.near))[0];
      const before = await details(), { ifindex } = before;
      const options = { rxQueues: QUEUES, txQueues: QUEUES, promiscuous: true };
      const pool = new Mempool({ buffers: BUFFERS });
      const device = await open(veth.address, { pool, ...options });
      const { rxQueues, txQueues } = device, batch = new PacketBatch(pool);
      const openBefore = sockets();
      whileRingsFail(failing, () => {
        const messages = causes(assertThrows(() => device.close())).map(String);
        assertEquals(
          messages,
          failing.map((number) => `Error: the rings of socket ${number} stay`),
        );
      });
      device.close();
      assertEquals(
        openBefore - sockets(),
        QUEUES + 2,
        "AF_XDP, one for ioctl, one for memberships",
      );
      for (let queue = 0; queue < QUEUES; queue++) {
        await until(`the release of queue ${queue}`, () => isReleased(ifindex, queue));
      }
      assertEquals(await details(), before, "no program and no promiscuous mode is left");
      const lost = failing.length * 512;
      assertEquals(pool.freeCount, BUFFERS - lost, "buffers that the kernel may have never return");
      for (const rx of rxQueues) assertThrows(() => rx.receive(batch), Error, "closed");
      for (const tx of txQueues) assertThrows(() => tx.transmit(batch), Error, "closed");
      pool[Symbol.dispose]();
      (await open(veth.address, options)).close();
    },
  });
}
