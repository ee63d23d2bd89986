/**
 * Batches of packets: what queues receive into and transmit from.
 *
 * @module
 */

import { UsageError } from "./errors.ts";
import type { Mempool } from "./mempool.ts";

/** The largest batch, in packets. */
export const MAX_BATCH = 256;

/**
 * Up to 256 packets, as numbers of buffers of one pool. A batch owns its packets: `receive` fills
 * it, `transmit` takes from its front what it sends, {@linkcode PacketBatch.free} gives back the rest.
 */
export class PacketBatch implements Iterable<Uint8Array> {
  /** The pool of the packets' buffers. */
  readonly pool: Mempool;
  /** Numbers of the packets' buffers, from 0 to `length`. */
  readonly buffers: Uint32Array;
  /** Number of packets in the batch. */
  length = 0;

  /**
   * Makes an empty batch.
   *
   * @param pool The pool of the packets' buffers.
   * @param capacity The most packets, 1 to 256; 32 unless given.
   * @throws {UsageError} if the capacity is out of range.
   */
  constructor(pool: Mempool, capacity = 32) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_BATCH) {
      throw new UsageError(`a batch has 1 to ${MAX_BATCH} packets, not ${capacity}`);
    }
    this.pool = pool;
    this.buffers = new Uint32Array(capacity);
  }

  /** The most packets. */
  get capacity(): number {
    return this.buffers.length;
  }

  /**
   * A packet's bytes. Do not use the view once the packet is sent or freed.
   *
   * @throws {RangeError} if the batch has no such packet.
   */
  packet(index: number): Uint8Array {
    if (!(index >= 0 && index < this.length)) {
      throw new RangeError(`the batch has ${this.length} packets, no packet ${index}`);
    }
    return this.pool.packet(this.buffers[index]);
  }

  /** The packets' bytes, in order. */
  *[Symbol.iterator](): Iterator<Uint8Array> {
    for (let i = 0; i < this.length; i++) yield this.packet(i);
  }

  /**
   * Appends a packet of the given bytes.
   *
   * @returns false if the batch is full or the pool has no free buffer.
   * @throws {RangeError} if the packet is empty or does not fit a buffer.
   */
  add(packet: Uint8Array): boolean {
    if (this.length === this.buffers.length) return false;
    const buffer = this.pool.allocate(packet.length);
    if (buffer < 0) return false;
    this.pool.packet(buffer).set(packet);
    this.buffers[this.length++] = buffer;
    return true;
  }

  /** Gives all packets back to the pool; returns how many. */
  free(): number {
    const n = this.length;
    for (let i = 0; i < n; i++) this.pool.free(this.buffers[i]);
    this.length = 0;
    return n;
  }
}
