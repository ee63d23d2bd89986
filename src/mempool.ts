/**
 * A pool of packet buffers: all bytes in one memory, everything else about a buffer in flat columns
 * beside it, indexed by the buffer's number. A pool belongs to one thread.
 *
 * A buffer has a length from the moment somebody has it in hand until it is freed or handed to a
 * device; a length of 0 says that nobody has it. That is how a buffer freed or sent twice is noticed
 * without a column of its own.
 *
 * @module
 */

import { type Addressing, DmaMemory, type MemoryKind, type SharedMemory } from "./dma.ts";
import { UsageError } from "./errors.ts";

/** The most buffers of a pool. */
export const MAX_BUFFERS = 131072;

/** Options of {@linkcode Mempool}. */
export interface MempoolOptions {
  /** Number of buffers, 64 to 131,072; 4096 unless given. */
  readonly buffers?: number;
  /** Bytes of a buffer: 2048 (the default), 4096, 8192 or 16384. */
  readonly bufferSize?: number;
  /** Where the memory comes from, see {@linkcode DmaMemory}; `auto` unless given. */
  readonly memory?: MemoryKind;
}

/** A pool that one thread has transferred, as plain values: see {@linkcode Mempool.transfer}. */
export interface TransferredPool {
  /** Number of buffers. */
  readonly buffers: number;
  /** Bytes of a buffer. */
  readonly bufferSize: number;
  /** The memory of all buffers. */
  readonly memory: SharedMemory;
  /** Numbers of the free buffers. */
  readonly free: Uint32Array;
}

/** Something that holds buffers which it can give back when asked: a transmit queue. */
export interface Reclaimer {
  /** Gives back the buffers that are done; returns how many. */
  reclaim(): number;
}

/** A pool of packet buffers. */
export class Mempool implements Disposable {
  /** Number of buffers. */
  readonly buffers: number;
  /** Bytes of a buffer. */
  readonly bufferSize: number;
  /** The memory of all buffers: buffer `b` begins at byte `b * bufferSize`. */
  readonly memory: DmaMemory;
  /** All packet bytes. */
  readonly bytes: Uint8Array;
  /** Bytes of the packet in each buffer that somebody has in hand; 0 for all others. */
  readonly lengths: Uint16Array;
  /** Numbers of the free buffers, from 0 to `available`; the last one freed is used first. */
  readonly freeStack: Uint32Array;
  /** Number of free buffers. */
  freeCount: number;
  #hashes: Uint32Array | undefined;
  #transferred = false;
  readonly #addresses: Partial<Record<Addressing, Uint32Array>> = {};
  readonly #reclaimers = new Set<Reclaimer>();

  /**
   * Allocates the memory; all buffers are free.
   *
   * @throws {UsageError} if an option is out of range or there is not enough memory.
   */
  constructor(options?: MempoolOptions);
  /** Adopts, where `transferred` is given: see {@linkcode Mempool.adopt}. */
  constructor(options: MempoolOptions, transferred: TransferredPool);
  constructor(options: MempoolOptions = {}, transferred?: TransferredPool) {
    const { buffers = 4096, bufferSize = 2048 } = options;
    if (!Number.isInteger(buffers) || buffers < 64 || buffers > MAX_BUFFERS) {
      throw new UsageError(`a pool has 64 to ${MAX_BUFFERS} buffers, not ${buffers}`);
    }
    // Powers of two: a buffer then never crosses a hugepage, so its bus addresses are contiguous.
    if (![2048, 4096, 8192, 16384].includes(bufferSize)) {
      throw new UsageError(`a buffer has 2048, 4096, 8192 or 16384 bytes, not ${bufferSize}`);
    }
    this.buffers = buffers;
    this.bufferSize = bufferSize;
    this.memory = transferred
      ? DmaMemory.adopt(transferred.memory)
      : DmaMemory.allocate(buffers * bufferSize, options.memory);
    this.bytes = new Uint8Array(this.memory.buffer, 0, buffers * bufferSize);
    this.lengths = new Uint16Array(buffers);
    this.freeStack = new Uint32Array(buffers);
    this.freeCount = transferred ? transferred.free.length : buffers;
    if (transferred) this.freeStack.set(transferred.free);
    else for (let b = 0; b < buffers; b++) this.freeStack[b] = buffers - 1 - b;
  }

  /**
   * The pool that another thread has transferred: from now on it is this thread's. Dispose it before
   * the other thread disposes its own.
   *
   * @param transferred What {@linkcode Mempool.transfer} returned there.
   */
  static adopt(transferred: TransferredPool): Mempool {
    const { buffers, bufferSize } = transferred;
    return new Mempool({ buffers, bufferSize }, transferred);
  }

  /**
   * The RSS hash of the packet in each buffer, as the device gave it: what {@linkcode toeplitz} returns
   * for it. 0 for packets that are not IP; filled only by queues of devices that were opened with
   * several receive queues or `rssKey`.
   */
  get rssHash(): Uint32Array {
    return this.#hashes ??= new Uint32Array(this.buffers);
  }

  /**
   * Hands the pool over to another thread, a worker, as plain values that can be sent to it: `new
   * Mempool(handed)` there is the pool from then on, and this one has no buffers to give any more.
   * Devices stay with this thread, and hand their queues over. Dispose this one last.
   *
   * @throws {Error} if it was transferred before.
   */
  transfer(): TransferredPool {
    if (this.#transferred) {
      throw new Error("a pool is transferred twice: each thread has one of its own");
    }
    this.#transferred = true;
    const { buffers, bufferSize, freeCount } = this;
    this.freeCount = 0;
    return {
      buffers,
      bufferSize,
      memory: this.memory.share(),
      free: this.freeStack.slice(0, freeCount),
    };
  }

  /**
   * The buffers' bus addresses for devices on a bus with this scheme, as a column: low and high 32
   * bits of buffer `b` at `2 * b`.
   *
   * @throws {RangeError} if the memory has no such addresses.
   */
  addresses(addressing: Addressing): Uint32Array {
    let column = this.#addresses[addressing];
    if (column) return column;
    column = this.#addresses[addressing] = new Uint32Array(2 * this.buffers);
    for (let b = 0; b < this.buffers; b++) {
      const address = this.memory.busAddress(b * this.bufferSize, addressing);
      column[2 * b] = address % 2 ** 32;
      column[2 * b + 1] = Math.floor(address / 2 ** 32);
    }
    return column;
  }

  /**
   * Takes a free buffer into hand.
   *
   * @param length Bytes of the packet to be: 1 to `bufferSize`.
   * @returns The buffer's number, or -1 if no buffer is free.
   * @throws {RangeError} if the length is out of range.
   */
  allocate(length: number): number {
    if (!(length >= 1 && length <= this.bufferSize)) {
      throw new RangeError(`a packet has 1 to ${this.bufferSize} bytes here, not ${length}`);
    }
    if (this.freeCount === 0 && this.reclaim() === 0) return -1;
    const buffer = this.freeStack[--this.freeCount];
    this.lengths[buffer] = length;
    return buffer;
  }

  /**
   * Gives back a buffer in hand.
   *
   * @throws {Error} if nobody has it in hand: it is free already, a device has it, or there is no
   * such buffer.
   */
  free(buffer: number): void {
    if (!(this.lengths[buffer] > 0)) {
      throw new Error(`buffer ${buffer} is freed, but nobody has it in hand`);
    }
    this.lengths[buffer] = 0;
    this.freeStack[this.freeCount++] = buffer;
  }

  /**
   * The packet in a buffer, as a view of its bytes; empty if nobody has the buffer in hand. Do not
   * use the view once the buffer is freed or sent.
   */
  packet(buffer: number): Uint8Array {
    const start = buffer * this.bufferSize;
    return this.bytes.subarray(start, start + this.lengths[buffer]);
  }

  /** Asks every transmit queue for the buffers that are done; returns how many came back. */
  reclaim(): number {
    let n = 0;
    for (const holder of this.#reclaimers) n += holder.reclaim();
    return n;
  }

  /** Has {@linkcode Mempool.reclaim} ask a transmit queue. For drivers. */
  addReclaimer(holder: Reclaimer): void {
    this.#reclaimers.add(holder);
  }

  /** Takes back {@linkcode Mempool.addReclaimer}. For drivers. */
  removeReclaimer(holder: Reclaimer): void {
    this.#reclaimers.delete(holder);
  }

  /**
   * Frees the memory. Close the devices that use the pool first.
   *
   * @throws {Error} if a device can still reach the memory.
   */
  [Symbol.dispose](): void {
    this.memory.free();
  }
}
