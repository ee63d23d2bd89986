/**
 * A device of each driver with its other side in the test's hands, in one thread: for tests of what
 * works with any driver. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import { type Device, Mempool } from "../../mod.ts";
import { DirectVirtio } from "./direct_virtio.ts";
import { ModelFunction } from "./model_function.ts";

const ENTRIES = 64;

/** A device, its pool, and the wire that leads to it. */
export interface Rig {
  readonly device: Device;
  readonly pool: Mempool;
  /** Buffers that the receive ring has. */
  readonly ring: number;
  /** Brings the device a packet; returns whether it had a free descriptor. */
  arrive(packet: Uint8Array): boolean;
  /** Takes all that the device has sent; its buffers can be reclaimed then. */
  sent(): Uint8Array[];
  /** Asserts, once the device is closed, that nothing was broken and the pool is whole; frees it. */
  end(): void;
}

function assertWhole(pool: Mempool): void {
  assertEquals(pool.freeCount, pool.buffers, "every buffer is back");
  assertEquals(new Set(pool.freeStack).size, pool.buffers, "and none twice");
  pool[Symbol.dispose]();
}

/** What makes a rig, by the driver. Rings have 64 entries. */
export const RIGS: Readonly<Record<string, (buffers: number) => Promise<Rig>>> = {
  async ixgbe(buffers) {
    const pool = new Mempool({ buffers, memory: "pages" }), bus = new ModelFunction();
    const { wire, nic } = bus;
    const rest = { rxEntries: ENTRIES, txEntries: ENTRIES, promiscuous: true };
    return {
      device: await ixgbe.attach(bus, { pool, ...rest }),
      pool,
      ring: ENTRIES,
      arrive(packet) {
        const before = wire.taken.length;
        wire.waiting.push(packet);
        while (wire.taken.length === before) nic.poll();
        return wire.taken[before];
      },
      sent() {
        for (let before = -1; before !== wire.sent.length;) {
          before = wire.sent.length;
          nic.poll();
        }
        return wire.sent.splice(0);
      },
      end() {
        assertEquals(nic.rules.violations, []);
        assertWhole(pool);
      },
    };
  },

  async virtio(buffers) {
    const pool = new Mempool({ buffers, memory: "pages" }), direct = new DirectVirtio();
    return {
      device: await direct.open({ pool, rxEntries: ENTRIES, txEntries: ENTRIES }),
      pool,
      ring: ENTRIES,
      arrive(packet) {
        if (direct.queues[0].waiting === 0) return false;
        direct.deliver(packet);
        return true;
      },
      sent() {
        const packets: Uint8Array[] = [];
        while (direct.queues[1].waiting > 0) {
          const { id, packet } = direct.collect();
          direct.queues[1].put(id, 0);
          packets.push(packet);
        }
        return packets;
      },
      end: () => assertWhole(pool),
    };
  },
};
