/**
 * A transmit queue: the hot path from a batch to the device.
 *
 * The headers of all packets are one and the same, all zero: no offload is asked for. It stands in a
 * descriptor of its own, the first of the two of each chain. The device
 * reports each chain in the used ring once the packet's bytes are no longer needed. The queue looks
 * there when half of it is full, and when the pool runs out of buffers.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import { keepUnsent, MIN_PACKET, refuseBatch } from "../src/driver.ts";
import { LAYOUT, type Virtqueue } from "./virtqueue.ts";

const { AVAILABLE_RING, USED_RING, WORDS } = LAYOUT;
const PACKETS = 0, BYTES = 1;

/** A virtqueue that transmits packets. */
export class VirtioTxQueue implements TxQueue {
  readonly number: number;
  readonly pool: Mempool;
  readonly #queue: Virtqueue;
  /** The pool's buffers as the device addresses them. */
  readonly #address: Uint32Array;
  /** The most packets in the queue at once. */
  readonly #most: number;
  /** Packets in the queue from which on `transmit` looks for those that have left. */
  readonly #reclaimFrom: number;
  /** The buffer of each chain. */
  readonly #slots: Uint32Array;
  /** The used ring; empty once the queue is closed. */
  #used: Uint32Array;
  /** Position of the next packet, modulo 2^16. */
  #tail = 0;
  /** Position of the first packet that is not known to have left, modulo 2^16. */
  #clean = 0;
  /** As a typed array: a field would change its representation, and the code that uses it, at 2^31. */
  readonly #counts = new Float64Array(2);

  /**
   * Takes an empty queue.
   *
   * @param headerBytes Bytes of the header before each packet: 10 or 12.
   * @param most The most packets to have in the queue.
   */
  constructor(queue: Virtqueue, pool: Mempool, headerBytes: number, most: number) {
    this.number = queue.index >> 1; // pairs of queues (section 5.1.2)
    this.pool = pool;
    this.#queue = queue;
    this.#address = pool.addresses(queue.addressing);
    this.#most = Math.min(queue.chains, most);
    this.#reclaimFrom = this.#most >> 1;
    this.#slots = new Uint32Array(queue.chains);
    this.#used = queue.used;
    queue.describeChains(headerBytes, 0, 0, true);
    pool.addReclaimer(this);
  }

  get pending(): number {
    return (this.#tail - this.#clean) & 0xffff;
  }

  /** Packets taken from the program. */
  get packets(): number {
    return this.#counts[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#counts[BYTES];
  }

  transmit(batch: PacketBatch): number {
    const pool = this.pool, queue = this.#queue;
    if (batch.pool !== pool || this.#used.length === 0) {
      refuseBatch("transmit", batch, pool, this.#used.length === 0);
    }
    if (this.pending >= this.#reclaimFrom) this.reclaim();
    const { order, available, descriptors } = queue;
    const slots = this.#slots, address = this.#address, { lengths, bufferSize } = pool;
    const orderMask = order.length - 1, mask = queue.areas.entries - 1;
    const buffers = batch.buffers, first = this.#tail;
    const count = Math.min(batch.length, this.#most - this.pending);
    let n = 0, bytes = 0;
    for (; n < count; n++) {
      const buffer = buffers[n], size = lengths[buffer] | 0;
      if ((size - MIN_PACKET) >>> 0 > bufferSize - MIN_PACKET) break;
      lengths[buffer] = 0;
      const position = first + n, id = order[position & orderMask];
      const d = id << 2 | WORDS, place = AVAILABLE_RING + (position & mask);
      slots[id >> 1] = buffer;
      descriptors[d] = address[buffer << 1];
      descriptors[d | 1] = address[buffer << 1 | 1];
      descriptors[d | 2] = size;
      if (available[place] !== id) available[place] = id;
      bytes = (bytes + size) | 0;
    }
    if (n > 0) {
      this.#tail = (first + n) & 0xffff;
      this.#counts[PACKETS] += n;
      this.#counts[BYTES] += bytes;
      queue.publish(this.#tail);
    }
    if (n < batch.length) keepUnsent(batch, n, n < count, bufferSize);
    else batch.length = 0;
    return n;
  }

  /**
   * Gives the buffers of packets that have left back to the pool; returns how many.
   *
   * @throws {DeviceError} if the device returns what it does not have.
   */
  reclaim(): number {
    const queue = this.#queue, used = this.#used, pool = this.pool;
    if (used.length === 0) return 0;
    const { order } = queue, slots = this.#slots, stack = pool.freeStack;
    const orderMask = order.length - 1, mask = queue.areas.entries - 1;
    const first = this.#clean, pending = this.pending;
    const arrived = (queue.usedIndex[1] - first) & 0xffff;
    if (arrived > pending) throw queue.overrun(first, pending);
    let available = pool.freeCount, n = 0;
    for (; n < arrived; n++) {
      const position = first + n;
      const id = used[USED_RING + ((position & mask) << 1)];
      if (id !== order[position & orderMask]) break;
      stack[available++] = slots[id >> 1];
    }
    pool.freeCount = available;
    this.#clean = (first + n) & 0xffff;
    return n < arrived ? n + this.#mend(arrived - n) : n;
  }

  /** Goes past one entry that is out of order, and on. A loop, since there may be many of them. */
  #mend(left: number): number {
    const queue = this.#queue, pool = this.pool;
    let n = 0;
    for (; n < left; n++) {
      const position = this.#clean;
      const id = this.#used[USED_RING + 2 * (position & (queue.areas.entries - 1))];
      if (id !== queue.order[position % queue.chains]) {
        queue.arrange(position, this.pending, left - n, 0);
      }
      pool.freeStack[pool.freeCount++] = this.#slots[queue.order[position % queue.chains] >> 1];
      this.#clean = (position + 1) & 0xffff;
    }
    return n;
  }

  /**
   * Closes the queue.
   *
   * @param atRest Whether the device has stopped: then the pool gets the queue's buffers back.
   */
  close(atRest: boolean): void {
    const { order, chains } = this.#queue, pool = this.pool;
    for (let n = this.pending, i = 0; atRest && i < n; i++) {
      pool.freeStack[pool.freeCount++] = this.#slots[order[(this.#clean + i) % chains] >> 1];
    }
    this.#clean = this.#tail;
    pool.removeReclaimer(this);
    this.#used = new Uint32Array(0);
  }
}
