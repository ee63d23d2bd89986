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

import { type Addressing, DmaMemory, type SharedMemory } from "./dma.ts";
import { UsageError } from "./errors.ts";

/** The fewest buffers of a pool. */
const MIN_BUFFERS = 64;
/** The most buffers of a pool. */
export const MAX_BUFFERS = 131072;

/** Options of {@linkcode Mempool}. */
export interface MempoolOptions {
  /** Number of buffers, 64 to 131,072; by default 4096. */
  readonly buffers?: number;
  /** Bytes of a buffer: 2048 (the default), 4096, 8192 or 16384. */
  readonly bufferSize?: number;
  /**
   * Where the memory comes from. `hugepages`: pages of 2 MiB, which devices need that are reached by
   * sysfs; `pages`: ordinary pages; `auto` (the default): hugepages if there are enough, else ordinary
   * pages.
   */
  readonly memory?: "auto" | "hugepages" | "pages";
}

/** The options, so that the compiler notices one that is missing here. */
const OPTIONS: Readonly<Record<keyof MempoolOptions, true>> = {
  buffers: true,
  bufferSize: true,
  memory: true,
};

/** A pool that one thread has transferred, as plain values: what `Mempool.transfer()` returns. */
export interface TransferredPool {
  /** Number of buffers. */
  readonly buffers: number;
  /** Bytes of a buffer. */
  readonly bufferSize: number;
  /**
   * The memory of all buffers.
   *
   * @ignore
   */
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
  /**
   * The memory of all buffers. For drivers.
   *
   * @ignore
   */
  readonly memory: DmaMemory;
  /** The bytes of all buffers: buffer `b` begins at byte `b * bufferSize`. */
  readonly bytes: Uint8Array;
  /** Bytes of the packet in each buffer that somebody has in hand; 0 for all others. */
  readonly lengths: Uint16Array;
  /** Numbers of the free buffers, from 0 to `freeCount`; the last one freed is used first. */
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
   * @throws {UsageError} if an option is unknown or out of range, there is not enough memory, or this is
   * not Linux on x86-64 with `--allow-ffi`.
   */
  constructor(options?: MempoolOptions);
  /** @ignore For {@linkcode Mempool.adopt}. */
  constructor(options: MempoolOptions, memory: DmaMemory);
  constructor(options: MempoolOptions = {}, memory?: DmaMemory) {
    const { buffers = 4096, bufferSize = 2048 } = checkOptions(options);
    this.buffers = buffers;
    this.bufferSize = bufferSize;
    this.memory = memory ?? DmaMemory.allocate(buffers * bufferSize, options.memory);
    this.bytes = new Uint8Array(this.memory.buffer, 0, buffers * bufferSize);
    this.lengths = new Uint16Array(buffers);
    this.freeStack = new Uint32Array(buffers);
    this.freeCount = buffers;
    for (let b = 0; b < buffers; b++) this.freeStack[b] = buffers - 1 - b;
  }

  /**
   * Makes this thread's view of a pool that another thread has transferred. Dispose it before the other
   * thread disposes its own.
   *
   * @param transferred What {@linkcode Mempool.prototype.transfer} returned there.
   */
  static adopt({ buffers, bufferSize, memory, free }: TransferredPool): Mempool {
    const pool = new Mempool({ buffers, bufferSize }, DmaMemory.adopt(memory));
    pool.freeStack.set(free);
    pool.freeCount = free.length;
    return pool;
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
   * Transfers the pool to another thread, a worker, as plain values that can be sent to it:
   * {@linkcode Mempool.adopt} there makes a pool of them. This one has no free buffers from then on.
   * Devices stay with this thread and transfer their queues. Dispose this pool last.
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
   * bits of buffer `b` at `2 * b`. For drivers.
   *
   * @ignore
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
   * @returns The buffer's number, or -1 if no buffer is free. The buffer has the bytes that it had before.
   * @throws {RangeError} if the length is out of range.
   * @throws {DeviceError} as {@linkcode Mempool.prototype.reclaim}.
   */
  allocate(length: number): number {
    if (!(Number.isInteger(length) && length >= 1 && length <= this.bufferSize)) {
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

  /**
   * Asks every transmit queue for the buffers of packets that have left.
   *
   * @returns How many came back.
   * @throws {DeviceError} if a device returns buffers that it does not have.
   */
  reclaim(): number {
    let n = 0;
    for (const holder of this.#reclaimers) n += holder.reclaim();
    return n;
  }

  /** @ignore Has {@linkcode Mempool.prototype.reclaim} ask a transmit queue. For drivers. */
  addReclaimer(holder: Reclaimer): void {
    this.#reclaimers.add(holder);
  }

  /** @ignore Takes back {@linkcode Mempool.prototype.addReclaimer}. For drivers. */
  removeReclaimer(holder: Reclaimer): void {
    this.#reclaimers.delete(holder);
  }

  /**
   * Frees the memory and empties every view of it. Close the devices that use the pool first. Idempotent.
   *
   * @throws {Error} if a device can still reach the memory.
   * @throws {SystemError} if the kernel refuses to unmap it.
   */
  [Symbol.dispose](): void {
    this.memory.free();
  }
}

/**
 * Checks the options of a pool.
 *
 * @throws {UsageError} if one is unknown or out of range.
 */
function checkOptions(options: MempoolOptions): MempoolOptions {
  const refuse = (option: string, sentence: string) => new UsageError(sentence, { option });
  for (const option of Object.keys(options)) {
    if (Object.hasOwn(OPTIONS, option)) continue;
    const known = Object.keys(OPTIONS).join(", ");
    throw refuse(option, `a pool has no option \`${option}\`: it has ${known}`);
  }
  const { buffers, bufferSize, memory } = options;
  if (
    buffers !== undefined &&
    !(Number.isInteger(buffers) && buffers >= MIN_BUFFERS && buffers <= MAX_BUFFERS)
  ) {
    throw refuse("buffers", `a pool has ${MIN_BUFFERS} to ${MAX_BUFFERS} buffers, not ${buffers}`);
  }
  // Powers of two: a buffer then never crosses a hugepage, so its bus addresses are contiguous.
  if (bufferSize !== undefined && ![2048, 4096, 8192, 16384].includes(bufferSize)) {
    const sizes = "2048, 4096, 8192 or 16384 bytes";
    throw refuse("bufferSize", `a buffer has ${sizes}, not ${bufferSize}`);
  }
  if (memory !== undefined && !["auto", "hugepages", "pages"].includes(memory)) {
    const kinds = '"auto", "hugepages" or "pages"';
    throw refuse("memory", `the memory of a pool is ${kinds}, not "${memory}"`);
  }
  return options;
}
