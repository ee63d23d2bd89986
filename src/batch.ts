/**
 * Batches of packets: queues receive into them and transmit from them.
 *
 * @module
 */

import { UsageError } from "./errors.ts";
import type { Mempool } from "./mempool.ts";

/** The largest batch, in packets. */
export const MAX_BATCH = 256;

/**
 * Up to 256 packets, stored as the numbers of their buffers in one pool. A batch owns its packets:
 * `receive` fills it, `transmit` removes the packets that it sends from the front, and
 * {@linkcode PacketBatch.prototype.free} returns the rest to the pool. To build packets, write them in
 * place with {@linkcode PacketBatch.prototype.allocate}, or copy them in with
 * {@linkcode PacketBatch.prototype.add}.
 *
 * ```ts
 * import { Mempool, PacketBatch } from "../mod.ts";
 *
 * using pool = new Mempool({ memory: "pages" });
 * const batch = new PacketBatch(pool);
 * const packet = batch.allocate(60)!;
 * packet.fill(0).fill(0xff, 0, 6); // a broadcast
 * batch.resize(0, 64).fill(1, 60);
 * batch.free();
 * ```
 */
export class PacketBatch implements Iterable<Uint8Array> {
  /** The pool of the packets' buffers. */
  declare readonly pool: Mempool;
  /** Numbers of the packets' buffers, at indices below `length`. */
  declare readonly buffers: Uint32Array;
  /** Number of packets in the batch. Queues set it; programs change it through the methods. */
  length = 0;

  /**
   * Creates an empty batch.
   *
   * @param pool The pool of the packets' buffers.
   * @param capacity The most packets that it can hold, 1 to 256 (default: 32).
   * @throws {UsageError} if the capacity is out of range.
   */
  constructor(pool: Mempool, capacity = 32) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > MAX_BATCH) {
      throw new UsageError(`a batch holds 1 to ${MAX_BATCH} packets, not ${capacity}`);
    }
    this.pool = pool;
    this.buffers = new Uint32Array(capacity);
  }

  /** The most packets that the batch can hold. */
  get capacity(): number {
    return this.buffers.length;
  }

  /**
   * Returns a packet's bytes. Do not use the view after the packet is sent or freed.
   *
   * @param index The packet's index in the batch, from 0.
   * @throws {RangeError} if the batch has no such packet.
   * @throws {TypeError} if the pool is disposed.
   */
  packet(index: number): Uint8Array {
    return this.pool.packet(this.#buffer(index));
  }

  #buffer(index: number): number {
    if (Number.isInteger(index) && index >= 0 && index < this.length) return this.buffers[index];
    throw new RangeError(`no packet ${index}: the batch holds ${this.length} packets`);
  }

  /** Iterates over the packets' bytes, in order. */
  *[Symbol.iterator](): Iterator<Uint8Array> {
    for (let i = 0; i < this.length; i++) yield this.packet(i);
  }

  /**
   * Appends a packet in a free buffer of the pool, for the caller to write in place.
   *
   * @param length Length of the packet in bytes: 1 to the pool's `maxLength`.
   * @returns The packet's bytes, which still hold the buffer's old content; undefined if the batch is
   * full or the pool has no free buffer. Do not use the view after the packet is sent or freed.
   * @throws {RangeError} if the length is out of range.
   * @throws {DeviceError} if the pool reclaims buffers and a device fails, see
   * {@linkcode Mempool.prototype.reclaim}.
   */
  allocate(length: number): Uint8Array | undefined {
    if (this.length === this.buffers.length) return undefined;
    const buffer = this.pool.allocate(length);
    if (buffer < 0) return undefined;
    this.buffers[this.length++] = buffer;
    return this.pool.packet(buffer);
  }

  /**
   * Appends a copy of a packet.
   *
   * @param packet The bytes to copy: 1 to the pool's `maxLength`.
   * @returns Whether the packet was appended: false if the batch is full or the pool has no free buffer.
   * @throws {RangeError} if the packet is empty or does not fit a buffer.
   * @throws {DeviceError} as {@linkcode PacketBatch.prototype.allocate} does.
   */
  add(packet: Uint8Array): boolean {
    const bytes = this.allocate(packet.length);
    if (bytes === undefined) return false;
    bytes.set(packet);
    return true;
  }

  /**
   * Appends the packet in a buffer that the program owns and that is in no other batch. The batch owns
   * the buffer from then on.
   *
   * @param buffer The buffer's number in the batch's pool.
   * @param length Length of the packet in bytes: 1 to the pool's `maxLength` (default: its length now).
   * @returns Whether the packet was appended: false if the batch is full, and the program still owns the
   * buffer.
   * @throws {RangeError} if the length is out of range.
   * @throws {Error} if the program does not own the buffer: it is free, a device owns it, or it does not
   * exist.
   */
  push(buffer: number, length: number = this.pool.lengths[buffer]): boolean {
    this.#check(buffer, length);
    if (this.length === this.buffers.length) return false;
    this.pool.lengths[buffer] = length;
    this.buffers[this.length++] = buffer;
    return true;
  }

  /**
   * Changes the length of a packet at its end. Bytes that are added hold the buffer's old content.
   *
   * @param index The packet's index in the batch, from 0.
   * @param length New length of the packet in bytes: 1 to the pool's `maxLength`.
   * @returns The packet's bytes; earlier views of the packet keep its old length.
   * @throws {RangeError} if the batch has no such packet, or the length is out of range.
   * @throws {Error} if the program no longer owns the buffer: it was freed or sent without the batch.
   */
  resize(index: number, length: number): Uint8Array {
    const buffer = this.#buffer(index);
    this.#check(buffer, length);
    this.pool.lengths[buffer] = length;
    return this.pool.packet(buffer);
  }

  #check(buffer: number, length: number): void {
    const { maxLength, lengths } = this.pool;
    if (!(lengths[buffer] > 0)) {
      throw new Error(
        `buffer ${buffer} cannot be put into a batch or resized: the program does not own it`,
      );
    }
    if (Number.isInteger(length) && length >= 1 && length <= maxLength) return;
    throw new RangeError(`a packet of this pool has 1 to ${maxLength} bytes, not ${length}`);
  }

  /**
   * Removes one packet and returns its buffer to the pool. The packets behind it move up by one.
   *
   * @param index The packet's index in the batch, from 0.
   * @throws {RangeError} if the batch has no such packet.
   * @throws {Error} if the program no longer owns the buffer: it was freed or sent without the batch.
   */
  drop(index: number): void {
    this.pool.free(this.#buffer(index));
    this.buffers.copyWithin(index, index + 1, this.length--);
  }

  /**
   * Removes all packets and returns their buffers to the pool.
   *
   * @returns The number of packets removed.
   * @throws {Error} if the program no longer owns a buffer: it was freed or sent without the batch.
   */
  free(): number {
    const n = this.length;
    for (let i = 0; i < n; i++) this.pool.free(this.buffers[i]);
    this.length = 0;
    return n;
  }
}
