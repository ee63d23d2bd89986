/**
 * The split virtqueue (VirtIO 1.3, section 2.7): its three areas in memory, and the order in which its
 * buffers are with the device. The queues that move packets are built on it.
 *
 * A packet takes a chain of one descriptor, for its header and its bytes, or of two, one for each.
 * Chain `i` is descriptor `i`, or descriptors `2i` and `2i + 1`, for ever; only the address and length
 * of the last one change. The id of a chain is that of its first descriptor.
 *
 * Which chain is made available at which position is in a permutation, `order`: position `p` has
 * chain `order[p % chains]`, and a chain that comes back is used again `chains` positions later. A
 * device that keeps the order, as nearly all do, leaves the permutation, and with it the available
 * ring, unchanged for ever; what a device does out of order is put in order by {@linkcode
 * Virtqueue.arrange}.
 *
 * @module
 */

import { type Addressing, type DmaMemory, HUGEPAGE } from "../src/dma.ts";
import { DeviceError } from "../src/errors.ts";
import type { QueueAreas, Transport } from "./transport.ts";

/** The device may write to this buffer, not read it (VIRTQ_DESC_F_WRITE). */
export const DESC_WRITE = 2;
/** The chain goes on (VIRTQ_DESC_F_NEXT). */
export const DESC_NEXT = 1;
/** In `available.flags`: used buffers need no interrupt. A hint. */
const NO_INTERRUPT = 1;
/** In `used.flags`: new buffers need no notification. */
const NO_NOTIFY = 1;
/** Bytes kept for a header that has a descriptor of its own. */
const HEADER_STRIDE = 16;
/**
 * Where things are in a virtqueue. An object, for the queues to take constants of their own from: one
 * that is imported is loaded and checked at each use, one of the module's own is in the machine code.
 */
export const LAYOUT = {
  /** Words of a descriptor: address low, address high, length, flags and next. */
  WORDS: 4,
  /** Index of the ring in the available area's 16-bit words, behind flags and idx. */
  AVAILABLE_RING: 2,
  /** Index of the ring in the used area's 32-bit words, behind flags and idx. */
  USED_RING: 1,
} as const;
const { WORDS, USED_RING } = LAYOUT;

const PAGE = 4096;
const align = (n: number, to: number) => Math.ceil(n / to) * to;

/** Bytes of a queue with so many descriptors, and of headers behind it; a multiple of 4096. */
function queueBytes(entries: number): { used: number; headers: number; total: number } {
  const used = align(16 * entries + 2 * entries + 6, PAGE);
  const headers = align(used + 8 * entries + 6, HEADER_STRIDE);
  return { used, headers, total: align(headers + entries / 2 * HEADER_STRIDE, PAGE) };
}

/**
 * Places queues one behind the other, none across the boundary of a hugepage: physical addresses are
 * contiguous only within one.
 *
 * @param entries Descriptors of each queue.
 * @returns The offset of each, and the bytes of all.
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
  /** Its number on the device. */
  readonly index: number;
  /** Where it is. */
  readonly areas: QueueAreas;
  /** Descriptors of a chain: 1, or 2 if the header has one of its own. */
  readonly perChain: 1 | 2;
  /** Chains that can be with the device at once. */
  readonly chains: number;
  /** The descriptor table, `LAYOUT.WORDS` a descriptor. */
  readonly descriptors: Uint32Array;
  /** The available ring: flags, idx, then the ring. */
  readonly available: Uint16Array;
  /** The used ring's flags and idx. */
  readonly usedIndex: Uint16Array;
  /** The used ring: from `LAYOUT.USED_RING` on, id and length of each entry. */
  readonly used: Uint32Array;
  /** Headers that have a descriptor of their own, 8 words of 16 bits each: chain `i` has the `i`th. */
  readonly headers: Uint16Array;
  /** Ids of the chains in the order in which they are made available. */
  readonly order: Uint16Array;
  readonly #transport: Transport;
  readonly #inOrder: boolean;
  readonly #headers: number;

  /**
   * Takes zeroed memory.
   *
   * @param perChain Descriptors of a chain.
   * @param offset Where in the memory the queue begins, as {@linkcode placeQueues} says.
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

  /** What bus addresses the device uses. */
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
   * Describes all chains, but for the addresses of packets.
   *
   * @param headerBytes Bytes of a header.
   * @param packetBytes Bytes of the last descriptor, where they are always the same.
   * @param flags {@linkcode DESC_WRITE} if the device writes the chains.
   * @param shared Whether headers with a descriptor of their own are one and the same: those to
   * transmit are all zero, and what is in those received may be of no interest.
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

  /** Shows the device the buffers before a position, and notifies it if it wants to know. */
  publish(position: number): void {
    // The flags must not be read before the index is visible to the device, or both sides could wait
    // for each other: a plain store would let the processor do just that.
    Atomics.store(this.available, 1, position);
    if ((this.usedIndex[0] & NO_NOTIFY) === 0) this.#transport.notify(this.index);
  }

  /**
   * Looks at a used entry that is not the one expected next, and makes it so: chains may come back in
   * any order; with IN_ORDER, one entry may stand for several chains, and those before its own were
   * used completely (section 2.7.9).
   *
   * @param position The entry's position.
   * @param outstanding Chains that are with the device from this position on.
   * @param arrived Chains that the device says are back, at least 1.
   * @param complete The length of a chain that was used completely.
   * @throws {DeviceError} if no such chain is with the device.
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
    // The device is past these entries: what it left out is filled in.
    for (let i = 0; i <= distance; i++) {
      const place = USED_RING + 2 * ((position + i) & mask);
      used[place] = order[(position + i) % chains];
      used[place + 1] = i < distance ? complete : length;
    }
  }

  /** An error of the device, by the entry of the used ring that has it. */
  malformed(position: number, what: string): DeviceError {
    return new DeviceError(
      this.#transport.address,
      `queue ${this.index}: the device returned, in entry ${
        position & (this.areas.entries - 1)
      } of ` +
        `the used ring (index ${
          position & 0xffff
        }), ${what}: reset the device, its back-end is broken`,
    );
  }

  /** The error of a used index that is ahead of what was made available. */
  overrun(position: number, outstanding: number): DeviceError {
    return new DeviceError(
      this.#transport.address,
      `queue ${this.index}: the used ring's index is ${this.usedIndex[1]}, although from ` +
        `${
          position & 0xffff
        } on only ${outstanding} buffers are with the device: reset the device, ` +
        `its back-end is broken`,
    );
  }
}
