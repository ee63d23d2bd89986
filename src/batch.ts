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
 * it, `transmit` takes from its front what it sends, {@linkcode PacketBatch.prototype.free} gives back
 * the rest. Packets that a program makes come in by {@linkcode PacketBatch.prototype.allocate}, which
 * lets it write them in place, or by {@linkcode PacketBatch.prototype.add}, which copies them.
 *
 * ```ts
 * import { Mempool, PacketBatch } from "../mod.ts";
 *
 * using pool = new Mempool({ memory: "pages" });
 * const batch = new PacketBatch(pool);
 * const packet = batch.allocate(60)!;
 * packet.fill(0).fill(0xff, 0, 6); // to everybody
 * batch.resize(0, 64).fill(1, 60);
 * batch.free();
 * ```
 */
export class PacketBatch implements Iterable<Uint8Array> {
  /** The pool of the packets' buffers. */
  readonly pool: Mempool;
  /** Numbers of the packets' buffers, from 0 to `length`. */
  readonly buffers: Uint32Array;
  /** Number of packets in the batch. Queues set it; programs use the methods. */
  length = 0;

  /**
   * Makes an empty batch.
   *
   * @param pool The pool of the packets' buffers.
   * @param capacity The most packets, 1 to 256; by default 32.
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
   * @param index The packet's place in the batch, from 0.
   * @throws {RangeError} if the batch has no such packet.
   */
  packet(index: number): Uint8Array {
    return this.pool.packet(this.#buffer(index));
  }

  #buffer(index: number): number {
    if (Number.isInteger(index) && index >= 0 && index < this.length) return this.buffers[index];
    throw new RangeError(`the batch has ${this.length} packets, no packet ${index}`);
  }

  /** The packets' bytes, in order. */
  *[Symbol.iterator](): Iterator<Uint8Array> {
    for (let i = 0; i < this.length; i++) yield this.packet(i);
  }

  /**
   * Appends a packet with a buffer from the pool, to be written in place.
   *
   * @param length Bytes of the packet: 1 to the pool's `bufferSize`.
   * @returns The packet's bytes, which have what the buffer held before; undefined if the batch is full
   * or the pool has no free buffer. Do not use the view once the packet is sent or freed.
   * @throws {RangeError} if the length is out of range.
   * @throws {DeviceError} if a device fails that is asked for buffers, see {@linkcode Mempool}.
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
   * @param packet 1 byte to the pool's `bufferSize`.
   * @returns Whether it was appended: not if the batch is full or the pool has no free buffer.
   * @throws {RangeError} if the packet is empty or does not fit a buffer.
   * @throws {DeviceError} as {@linkcode PacketBatch.prototype.allocate}.
   */
  add(packet: Uint8Array): boolean {
    const bytes = this.allocate(packet.length);
    if (bytes === undefined) return false;
    bytes.set(packet);
    return true;
  }

  /**
   * Appends the packet in a buffer that the program has in hand: one that it has taken from the pool, and
   * that is in no batch. The batch owns it from then on.
   *
   * @param buffer The number of the buffer, of the batch's pool.
   * @param length Bytes of the packet: 1 to the pool's `bufferSize`; by default as many as it has.
   * @returns Whether it was appended: not if the batch is full; the program then still has it in hand.
   * @throws {RangeError} if the length is out of range.
   * @throws {Error} if the buffer is not in hand: it is free, a device has it, or there is no such buffer.
   */
  push(buffer: number, length: number = this.pool.lengths[buffer]): boolean {
    this.#check(buffer, length);
    if (this.length === this.buffers.length) return false;
    this.pool.lengths[buffer] = length;
    this.buffers[this.length++] = buffer;
    return true;
  }

  /**
   * Changes the length of a packet, at its end. Bytes that come in are what the buffer held before.
   *
   * @param index The packet's place in the batch, from 0.
   * @param length Bytes of the packet from now on: 1 to the pool's `bufferSize`.
   * @returns The packet's bytes; views of it from before have its old length.
   * @throws {RangeError} if the batch has no such packet, or the length is out of range.
   * @throws {Error} if the packet is not in hand: it was freed or sent without the batch.
   */
  resize(index: number, length: number): Uint8Array {
    const buffer = this.#buffer(index);
    this.#check(buffer, length);
    this.pool.lengths[buffer] = length;
    return this.pool.packet(buffer);
  }

  #check(buffer: number, length: number): void {
    const { bufferSize, lengths } = this.pool;
    if (!(lengths[buffer] > 0)) {
      throw new Error(`buffer ${buffer} is put into a batch or resized, but is not in hand`);
    }
    if (Number.isInteger(length) && length >= 1 && length <= bufferSize) return;
    throw new RangeError(`a packet has 1 to ${bufferSize} bytes here, not ${length}`);
  }

  /**
   * Gives one packet back to the pool. Those behind it move up by one place.
   *
   * @param index The packet's place in the batch, from 0.
   * @throws {RangeError} if the batch has no such packet.
   */
  drop(index: number): void {
    this.pool.free(this.#buffer(index));
    this.buffers.copyWithin(index, index + 1, this.length--);
  }

  /**
   * Gives all packets back to the pool.
   *
   * @returns How many there were.
   * @throws {Error} if a packet is not in hand: it was freed or sent without the batch.
   */
  free(): number {
    const n = this.length;
    for (let i = 0; i < n; i++) this.pool.free(this.buffers[i]);
    this.length = 0;
    return n;
  }
}
