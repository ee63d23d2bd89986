/**
 * A whole device of each driver, whose cable the test holds, in one thread: ixgbe on the model of the NIC,
 * VirtIO on a device that the test plays, AF_XDP on a virtual Ethernet interface. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import { AdoptedQueues } from "../../ixgbe/mod.ts";
import {
  type Device,
  Mempool,
  open,
  type OpenOptions,
  type RxQueue,
  type TxQueue,
} from "../../mod.ts";
import { Feature } from "../../virtio/features.ts";
import { AdoptedXdpQueues, type XdpDevice } from "../../xdp/mod.ts";
import { answer, DirectVirtio } from "./direct_virtio.ts";
import { InterruptingFunction } from "./interrupt_events.ts";
import { tool } from "./processes.ts";
import { canUseXdp, Veth } from "./veth.ts";

const BUFFERS = 1024;
/** Entries of each ring. */
export const ENTRIES = 64;

/** Queues in the hands of another thread. */
export interface Adopted extends Disposable {
  readonly rx: RxQueue;
  readonly tx: TxQueue;
  publish(): void;
}

/** A device, its pool and the other end of its cable. */
export interface DeviceRig extends AsyncDisposable {
  readonly device: Device;
  readonly pool: Mempool;
  /** Puts a frame on the cable. */
  send(frame: Uint8Array): void;
  /** Returns the frames that the device has sent since the last call. */
  sent(): Uint8Array[];
  /** Plugs the cable in, or pulls it out. */
  setLink(up: boolean): void | Promise<unknown>;
  /** Transfers queues; the function adopts them with the pool of the other thread: here, the same thread. */
  transfer?(number: number): (pool: Mempool) => Adopted;
}

/** How a driver's device is made for tests, and what it can do. */
export interface DeviceKind {
  /** Whether this machine has what it takes. */
  readonly possible: boolean;
  /** Whether the device drops frames for other addresses. */
  readonly filters: boolean;
  /** Whether it has interrupts, and its queues can be transferred. */
  readonly interrupts: boolean;
  readonly transfers: boolean;
  open(options?: OpenOptions): Promise<DeviceRig>;
}

function options(more: OpenOptions): OpenOptions & { readonly pool: Mempool } {
  const pool = new Mempool({ buffers: BUFFERS, memory: "pages" });
  return { pool, rxEntries: ENTRIES, txEntries: ENTRIES, ...more };
}

/** Ends a device and its pool: no buffer is lost, and none is free twice. */
function end(device: Device, pool: Mempool): void {
  device.close();
  // The buffers of a transferred pool belong to the other thread.
  if (pool.freeCount > 0) assertEquals(new Set(pool.freeStack).size, pool.buffers);
  pool[Symbol.dispose]();
}

async function openIxgbe(more: OpenOptions = {}): Promise<DeviceRig> {
  const pci = new InterruptingFunction(), { nic, wire } = pci, all = options(more), { pool } = all;
  const device = await ixgbe.attach(pci, all) as IxgbeDevice;
  return {
    ...{ device, pool },
    send(frame) {
      wire.waiting.push(frame);
      while (wire.waiting.length > 0) nic.poll();
      nic.poll(); // sends the interrupt
    },
    sent() {
      for (let before = -1; before !== wire.sent.length;) {
        before = wire.sent.length;
        nic.poll();
      }
      return wire.sent.splice(0);
    },
    setLink: (up) => nic.setLink(up),
    transfer(number) {
      const pair = structuredClone(device.transferQueues(number));
      return (pool) => new AdoptedQueues(pair, pool);
    },
    [Symbol.asyncDispose]() {
      end(device, pool);
      assertEquals(nic.rules.violations, []);
      return Promise.resolve();
    },
  };
}

async function openVirtio(more: OpenOptions = {}): Promise<DeviceRig> {
  const { CTRL_VQ, CTRL_RX, CTRL_MAC_ADDR, MAC, STATUS } = Feature;
  const features = CTRL_VQ | CTRL_RX | CTRL_MAC_ADDR | MAC | STATUS;
  const direct = new DirectVirtio({ features }), all = options(more), { pool } = all;
  const commands = answer(direct), acknowledge = direct.onNotify, LINK = 6;
  direct.onNotify = (index) => {
    acknowledge(index);
    const [kind, command, ...mac] = commands.pop() ?? [];
    if (kind === 1 && command === 1) direct.config.set(mac);
  };
  const device = await direct.open(all);
  return {
    ...{ device, pool },
    send: (frame) => direct.deliver(frame),
    sent() {
      const frames: Uint8Array[] = [], [, tx] = direct.queues;
      while (tx.waiting > 0) {
        const { id, packet } = direct.collect();
        tx.put(id, 0);
        frames.push(packet);
      }
      return frames;
    },
    setLink: (up) => void (direct.config[LINK] = up ? 1 : 0),
    [Symbol.asyncDispose]() {
      end(device, pool);
      return Promise.resolve();
    },
  };
}

async function openXdp(more: OpenOptions = {}): Promise<DeviceRig> {
  const veth = await Veth.make(), all = options(more), { pool } = all;
  const device = await open(veth.address, all) as XdpDevice;
  veth.listen();
  return {
    ...{ device, pool },
    send: (frame) => veth.send(frame),
    sent() {
      const frames: Uint8Array[] = [];
      for (let frame; (frame = veth.take()) !== undefined;) frames.push(frame);
      return frames;
    },
    setLink: (up) => tool("ip", "link", "set", veth.far, up ? "up" : "down"),
    transfer(number) {
      const pair = structuredClone(device.transferQueues(number));
      return (pool) => new AdoptedXdpQueues(pair, pool);
    },
    async [Symbol.asyncDispose]() {
      end(device, pool);
      await veth[Symbol.asyncDispose]();
    },
  };
}

/** The drivers. A virtual interface has no filter; the played VirtIO device leaves filtering out. */
export const DEVICES: Readonly<Record<string, DeviceKind>> = {
  ixgbe: { possible: true, filters: true, interrupts: true, transfers: true, open: openIxgbe },
  virtio: { possible: true, filters: false, interrupts: false, transfers: false, open: openVirtio },
  xdp: { possible: canUseXdp, filters: false, interrupts: true, transfers: true, open: openXdp },
};
