/**
 * The split virtqueue (VirtIO 1.3, section 2.7): its three areas in memory, and the order of its
 * buffers. Receive, transmit and control queues are built on it.
 *
 * A packet takes a chain of one descriptor, for header and data together, or of two, one for each.
 * Chain `i` is always descriptor `i`, or descriptors `2i` and `2i + 1`; only the address and length
 * of the last descriptor change. The id of a chain is the index of its first descriptor.
 *
 * The permutation `order` says which chain is made available at which position: position `p` has
 * chain `order[p % chains]`, and a chain that comes back is reused `chains` positions later. Nearly
 * all devices return buffers in order: then the permutation, and with it the available ring, never
 * changes. {@linkcode Virtqueue.prototype.arrange} puts in order what a device returns out of
 * order.
 *
 * @module
 */

import { type Addressing, type DmaMemory, HUGEPAGE } from "../src/dma.ts";
import { DeviceError } from "../src/errors.ts";
import type { QueueAreas, Transport } from "./transport.ts";

/** Flag of a descriptor: the device writes the buffer and does not read it (VIRTQ_DESC_F_WRITE). */
export const DESC_WRITE = 2;
/** Flag of a descriptor: the chain continues (VIRTQ_DESC_F_NEXT). */
export const DESC_NEXT = 1;
/** Flag of the available ring: the driver does not need interrupts (VIRTQ_AVAIL_F_NO_INTERRUPT). */
const NO_INTERRUPT = 1;
/** Flag of the used ring: the device does not need notifications (VIRTQ_USED_F_NO_NOTIFY). */
const NO_NOTIFY = 1;
/** Bytes reserved for a header that has its own descriptor. */
const HEADER_STRIDE = 16;
/**
 * The layout of a virtqueue's areas. An object, so that each queue's module can copy the values
 * into constants of its own, which are faster than imported ones: see `src/specialise.ts`.
 */
export const LAYOUT = {
  /** 32-bit words of a descriptor: address low, address high, length, flags and next. */
  WORDS: 4,
  /** Index of `ring` in the 16-bit words of the available ring, after `flags` and `idx`. */
  AVAILABLE_RING: 2,
  /** Index of `ring` in the 32-bit words of the used ring, after `flags` and `idx`. */
  USED_RING: 1,
} as const;
const { WORDS, USED_RING } = LAYOUT;

const PAGE = 4096;
const align = (n: number, to: number) => Math.ceil(n / to) * to;

/**
 * Returns offsets and size in bytes of a queue and the headers after it; the size is whole pages.
 */
function queueBytes(entries: number): { used: number; headers: number; total: number } {
  const used = align(16 * entries + 2 * entries + 6, PAGE);
  const headers = align(used + 8 * entries + 6, HEADER_STRIDE);
  return { used, headers, total: align(headers + entries / 2 * HEADER_STRIDE, PAGE) };
}

/**
 * Places queues one after another. None crosses the boundary of a hugepage: physical addresses are
 * contiguous only within a hugepage.
 *
 * @param entries Descriptors of each queue.
 * @returns The offset of each queue, and the bytes of all.
 */
export function placeQueues(entries: readonly number[]): { offsets: number[]; bytes: number } {
  let bytes = 0;
  const offsets = entries.map((n) => {
    const { total } = queueBytes(n);
    if (Math.floor(bytes / HUGEPAGE) !== Math.floor((bytes + total - 1) / HUGEPAGE)) {
      bytes = align(bytes, HUGEPAGE);
    }
    const offset = bytes;
    bytes += total;
    return offset;
  });
  return { offsets, bytes };
}

/** One split virtqueue in memory. */
export class Virtqueue {
  /** Its index on the device. */
  declare readonly index: number;
  /** Its areas in memory. */
  declare readonly areas: QueueAreas;
  /** Descriptors of a chain: 1, or 2 if the header has its own. */
  declare readonly perChain: 1 | 2;
  /** Chains that can be with the device at once. */
  declare readonly chains: number;
  /** The descriptor table: `LAYOUT.WORDS` words each. */
  declare readonly descriptors: Uint32Array;
  /** The available ring: `flags`, `idx`, then `ring` from `LAYOUT.AVAILABLE_RING` on. */
  declare readonly available: Uint16Array;
  /** The used ring's `flags` and `idx`. */
  declare readonly usedIndex: Uint16Array;
  /** The used ring: id and length of each entry, from `LAYOUT.USED_RING` on. */
  declare readonly used: Uint32Array;
  /** Headers that have their own descriptor, 8 words each: header `i` belongs to chain `i`. */
  declare readonly headers: Uint16Array;
  /** Ids of the chains in the order in which they are made available. */
  declare readonly order: Uint16Array;
  readonly #transport: Transport;
  readonly #inOrder: boolean;
  readonly #headers: number;

  /**
   * Creates a queue.
   *
   * @param perChain Descriptors of a chain.
   * @param memory Zeroed memory.
   * @param offset Offset of the queue in the memory, from {@linkcode placeQueues}.
   * @param inOrder Whether IN_ORDER was negotiated.
   */
  constructor(
    transport: Transport,
    index: number,
    entries: number,
    perChain: 1 | 2,
    memory: DmaMemory,
    offset: number,
    inOrder: boolean,
  ) {
    const { used, headers } = queueBytes(entries);
    this.index = index;
    this.perChain = perChain;
    this.chains = entries / perChain;
    this.areas = {
      memory,
      entries,
      descriptors: offset,
      available: offset + 16 * entries,
      used: offset + used,
    };
    this.descriptors = new Uint32Array(memory.buffer, offset, WORDS * entries);
    this.available = new Uint16Array(memory.buffer, offset + 16 * entries, entries + 2);
    this.usedIndex = new Uint16Array(memory.buffer, offset + used, 2);
    this.used = new Uint32Array(memory.buffer, offset + used, USED_RING + 2 * entries);
    this.#headers = offset + headers;
    this.headers = new Uint16Array(memory.buffer, this.#headers, entries / 2 * HEADER_STRIDE / 2);
    this.order = Uint16Array.from({ length: this.chains }, (_, i) => perChain * i);
    this.#transport = transport;
    this.#inOrder = inOrder;
    this.available[0] = NO_INTERRUPT;
  }

  /** The kind of bus addresses that the device uses. */
  get addressing(): Addressing {
    return this.#transport.addressing;
  }

  /** Writes a descriptor. */
  describe(index: number, address: number, length: number, flags: number, next = 0): void {
    this.descriptors.set(
      [address % 2 ** 32, Math.floor(address / 2 ** 32), length, flags | next << 16],
      WORDS * index,
    );
  }

  /**
   * Writes the descriptors of all chains, except the addresses of packets.
   *
   * @param headerBytes Bytes of a header.
   * @param packetBytes Length of the last descriptor, if it is constant.
   * @param flags {@linkcode DESC_WRITE} if the device writes the chains.
   * @param shared Whether all chains share one header, if it has its own descriptor: headers to
   * transmit are all zeros, and received ones may not be needed.
   */
  describeChains(headerBytes: number, packetBytes: number, flags: number, shared: boolean): void {
    const { perChain, chains, areas: { memory } } = this;
    for (let chain = 0; chain < chains; chain++) {
      const id = chain * perChain;
      if (perChain === 2) {
        const offset = this.#headers + (shared ? 0 : HEADER_STRIDE * chain);
        const address = memory.busAddress(offset, this.addressing);
        this.describe(id, address, headerBytes, DESC_NEXT | flags, id + 1);
      }
      this.describe(id + perChain - 1, 0, packetBytes, flags);
    }
  }

  /** Makes the buffers before a position available, and notifies the device if it needs that. */
  publish(position: number): void {
    // The device must see the index before the flags are read, else both sides could wait for each
    // other. An atomic store ensures it; the processor may move a load before a plain store.
    Atomics.store(this.available, 1, position);
    if ((this.usedIndex[0] & NO_NOTIFY) === 0) this.#transport.notify(this.index);
  }

  /**
   * Puts a used entry in order whose chain is not the expected one. Without IN_ORDER, chains may
   * come back in any order: changes the permutation. With IN_ORDER, one entry may stand for several
   * chains, all filled except its own (section 2.7.9): writes the omitted entries.
   *
   * @param position The entry's position.
   * @param outstanding Chains that are with the device from this position on.
   * @param arrived Chains that the device has returned, at least 1.
   * @param complete Length of a filled chain.
   * @throws {DeviceError} if the chain is not with the device.
   */
  arrange(position: number, outstanding: number, arrived: number, complete: number): void {
    const { order, used, chains } = this, mask = this.areas.entries - 1;
    const entry = USED_RING + 2 * (position & mask);
    const id = used[entry], length = used[entry + 1];
    const among = this.#inOrder ? arrived : outstanding;
    let distance = 0;
    while (distance < among && order[(position + distance) % chains] !== id) distance++;
    if (distance === among) throw this.malformed(position, `id ${id}, which it does not have`);
    if (!this.#inOrder) {
      order[(position + distance) % chains] = order[position % chains];
      order[position % chains] = id;
      return;
    }
    // The device does not write these entries any more.
    for (let i = 0; i <= distance; i++) {
      const place = USED_RING + 2 * ((position + i) & mask);
      used[place] = order[(position + i) % chains];
      used[place + 1] = i < distance ? complete : length;
    }
  }

  /** Returns the error for an invalid entry of the used ring. */
  malformed(position: number, what: string): DeviceError {
    return new DeviceError(
      this.#transport.address,
      `queue ${this.index}: the device returned, in entry ${
        position & (this.areas.entries - 1)
      } of ` +
        `the used ring (index ${position & 0xffff}), ${what}: its back-end is faulty, restart it`,
    );
  }

  /** Returns the error for a used index beyond the buffers that are with the device. */
  overrun(position: number, outstanding: number): DeviceError {
    return new DeviceError(
      this.#transport.address,
      `queue ${this.index}: the used ring's index is ${this.usedIndex[1]}, although from ` +
        `${
          position & 0xffff
        } on only ${outstanding} buffers are with the device: its back-end is faulty, restart it`,
    );
  }
}
