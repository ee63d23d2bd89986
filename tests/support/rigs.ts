/**
 * A device of each driver, whose other side the test controls, in one thread: for tests that work
 * with any driver. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import type { IxgbeRxQueue } from "../../ixgbe/rx_queue.ts";
import { type Device, Mempool } from "../../mod.ts";
import type { VirtioRxQueue } from "../../virtio/rx_queue.ts";
import { DirectVirtio } from "./direct_virtio.ts";
import { FakeKernel } from "./fake_kernel.ts";
import { ModelFunction } from "./model_function.ts";

const ENTRIES = 64;

/** A device, its pool and its wire. */
export interface Rig {
  readonly device: Device;
  readonly pool: Mempool;
  /** Buffers in the receive ring at the moment: ixgbe and VirtIO leave some descriptors empty for a while. */
  readonly ring: number;
  /** Delivers a packet to the device; returns whether it had a free descriptor. */
  arrive(packet: Uint8Array): boolean;
  /** Returns all packets sent since the last call; their buffers can be reclaimed then. */
  sent(): Uint8Array[];
  /**
   * After the device is closed, asserts that no rule was broken and no buffer lost; frees the pool.
   */
  end(): void;
}

function assertWhole(pool: Mempool): void {
  assertEquals(pool.freeCount, pool.buffers, "every buffer is free");
  assertEquals(new Set(pool.freeStack).size, pool.buffers, "no buffer is free twice");
  pool[Symbol.dispose]();
}

/** Functions that create a rig, by driver. Rings have 64 entries. */
export const RIGS: Readonly<Record<string, (buffers: number) => Promise<Rig>>> = {
  ixgbe: (buffers) => ixgbeRig(buffers, false),
  "ixgbe with a spread pool": (buffers) => ixgbeRig(buffers, true),

  virtio: (buffers) => virtioRig(buffers, 0),
  "virtio with headroom": (buffers) => virtioRig(buffers, 64),

  xdp: (buffers) => xdpRig(buffers, 0),
  "xdp with headroom": (buffers) => xdpRig(buffers, 256),
};

/** Returns an ixgbe device above the model, with a spread pool or another. */
async function ixgbeRig(buffers: number, spread: boolean): Promise<Rig> {
  const pool = new Mempool({ buffers, spread, memory: "pages" }), bus = new ModelFunction();
  const { wire, nic } = bus;
  const rest = { rxEntries: ENTRIES, txEntries: ENTRIES, promiscuous: true };
  const device = await ixgbe.attach(bus, { pool, ...rest });
  const [queue] = device.rxQueues as readonly IxgbeRxQueue[];
  return {
    device,
    pool,
    get ring() {
      return ENTRIES - (queue.read - queue.refilled);
    },
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
}

/** Returns an AF_XDP device with a pool of this headroom. */
function xdpRig(buffers: number, headroom: number): Promise<Rig> {
  const kernel = new FakeKernel(2048, buffers, ENTRIES, headroom), { pool, rings } = kernel;
  return Promise.resolve({
    device: xdpDevice(kernel),
    pool,
    ring: ENTRIES,
    arrive(packet) {
      if (rings.fill.producer[0] === rings.fill.consumer[0]) return false;
      kernel.deliver(packet);
      return true;
    },
    sent() {
      return kernel.sent().map(([at, length]) => {
        kernel.complete(at);
        return kernel.memory.slice(at, at + length);
      });
    },
    end: () => assertWhole(pool),
  });
}

/** Returns a VirtIO device with a pool of this headroom. */
async function virtioRig(buffers: number, headroom: number): Promise<Rig> {
  const pool = new Mempool({ buffers, headroom, memory: "pages" }), direct = new DirectVirtio();
  const device = await direct.open({ pool, rxEntries: ENTRIES, txEntries: ENTRIES });
  const [queue] = device.rxQueues as readonly VirtioRxQueue[];
  return {
    device,
    pool,
    get ring() {
      return queue.held;
    },
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
}

/** Returns a device with the queues of the AF_XDP driver, and no interface. */
function xdpDevice(kernel: FakeKernel): Device {
  const { rx, tx, pool } = kernel, link = { up: true, megabits: 0 };
  let closed = false;
  const close = () => {
    if (!closed) kernel[Symbol.dispose]();
    closed = true;
  };
  return {
    ...{
      address: "xdp:fake",
      driver: "xdp",
      model: "AF_XDP",
      pool,
      rxQueues: [rx],
      txQueues: [tx],
    },
    linkStatus: () => link,
    waitForLink: () => Promise.resolve(link),
    macAddress: () => Uint8Array.of(2, 0, 0, 0, 0, 1),
    setMacAddress() {},
    setPromiscuous() {},
    setMulticast() {},
    statistics: () => ({
      ...{ rxPackets: rx.packets, rxBytes: rx.bytes, txPackets: tx.packets, txBytes: tx.bytes },
      ...{ rxMissed: 0, rxErrors: 0, rxTooLong: rx.tooLong, rxNoBuffer: rx.noBuffer },
    }),
    counters: () => ({}),
    checkAlive() {
      if (closed) throw new Error("xdp:fake is closed");
    },
    close,
    [Symbol.dispose]: close,
  };
}
