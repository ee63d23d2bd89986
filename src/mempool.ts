/**
 * A pool of packet buffers of one size. The bytes of all buffers are one piece of memory; lengths,
 * hashes and addresses are flat arrays beside it, indexed by the buffer's number. A pool belongs to one
 * thread.
 *
 * The program owns a buffer from the moment it allocates or receives it until it frees or sends it.
 * Only then does the buffer have a length; a length of 0 says that it is free or that a device owns it.
 * So freeing or sending a buffer twice is detected without a further array.
 *
 * @module
 */

import { type Addressing, DmaMemory, HUGEPAGE, type SharedMemory } from "./dma.ts";
import { UsageError } from "./errors.ts";

/** The fewest buffers in a pool. */
const MIN_BUFFERS = 64;
/** The unit of headroom, a cache line, and the most headroom, in bytes. */
const HEADROOM_UNIT = 64, MAX_HEADROOM = 512;
/** Bytes between two buffers of a spread pool: two cache lines, which some processors fetch together. */
const GAP = 128;
/** The most buffers in a pool. */
export const MAX_BUFFERS = 131072;

/** Options of {@linkcode Mempool}. */
export interface MempoolOptions {
  /** Number of buffers, 64 to 131,072 (default: 4096). */
  readonly buffers?: number;
  /** Size of a buffer in bytes: 2048 (default), 4096, 8192 or 16384. */
  readonly bufferSize?: number;
  /**
   * Bytes of each buffer before its packet that belong to the device: 0 (default), 64, 128, … 512. VirtIO
   * devices are faster with 64 or more: they find a header there. So are network interfaces with 256, which the
   * kernel leaves free. Devices without use for it refuse the pool; `layoutFor` returns what suits a
   * program's devices.
   */
  readonly headroom?: number;
  /**
   * Whether buffers lie 128 bytes apart (default: false). A first-level cache can hold only a few lines whose
   * addresses differ by a multiple of 2048 bytes, and the packets of other pools begin in such lines. ixgbe
   * devices are faster with a spread pool; other devices refuse it. It takes up to 7 % more memory.
   */
  readonly spread?: boolean;
  /**
   * Where the memory comes from. `hugepages`, which devices accessed through sysfs need: pages of 1 GiB if
   * some are free and the pool is large, else pages of 2 MiB; `pages`: ordinary pages; `auto` (default):
   * hugepages if enough are free, else ordinary pages.
   */
  readonly memory?: "auto" | "hugepages" | "pages";
}

/** All options; the type makes the compiler report one that is missing. */
const OPTIONS: Readonly<Record<keyof MempoolOptions, true>> = {
  buffers: true,
  bufferSize: true,
  headroom: true,
  spread: true,
  memory: true,
};

/** A pool to send to another thread, as plain values: what `Mempool.transfer()` returns. */
export interface TransferredPool {
  /** Number of buffers. */
  readonly buffers: number;
  /** Size of a buffer in bytes. */
  readonly bufferSize: number;
  /** Bytes of each buffer before its packet. */
  readonly headroom: number;
  /** Whether buffers lie 128 bytes apart. */
  readonly spread: boolean;
  /**
   * The memory of all buffers.
   *
   * @ignore
   */
  readonly memory: SharedMemory;
  /** Numbers of the free buffers. */
  readonly free: Uint32Array;
}

/** An object that holds buffers of a pool and can return them: a transmit queue. */
export interface Reclaimer {
  /** Returns buffers that are done to the pool; returns how many. */
  reclaim(): number;
}

/** A pool of packet buffers. */
export class Mempool implements Disposable {
  /** Number of buffers. */
  declare readonly buffers: number;
  /**
   * One more than the highest number of a buffer. A spread pool leaves out numbers whose buffers would lie in two
   * hugepages; other pools leave out none.
   */
  declare readonly numbers: number;
  /** Size of a buffer in bytes. */
  declare readonly bufferSize: number;
  /** Distance between two buffers in bytes: `bufferSize`, and 128 more if the pool is spread. */
  declare readonly stride: number;
  /** Bytes of each buffer before its packet. */
  declare readonly headroom: number;
  /** Whether buffers lie 128 bytes apart. */
  declare readonly spread: boolean;
  /** Length of the longest packet in bytes: `bufferSize - headroom`. */
  declare readonly maxLength: number;
  /**
   * The memory of all buffers. For drivers.
   *
   * @ignore
   */
  declare readonly memory: DmaMemory;
  /**
   * The bytes of all packets: the packet in buffer `b` begins at byte `b * stride`. They begin after the
   * headroom of buffer 0.
   */
  declare readonly bytes: Uint8Array;
  /** Length in bytes of the packet in each buffer that the program owns; 0 for all other buffers. */
  declare readonly lengths: Uint16Array;
  /** Numbers of the free buffers, at indices below `freeCount`; the last one freed is used first. */
  declare readonly freeStack: Uint32Array;
  /** Number of free buffers. */
  declare freeCount: number;
  /**
   * Number of buffers outside the pool because the process that served their device may still write to them,
   * see `Peer`. For drivers.
   *
   * @ignore
   */
  abandoned = 0;
  #hashes: Uint32Array | undefined;
  #transferred = false;
  /** The addresses of packets, by their kind and the bytes before them. */
  readonly #addresses = new Map<`${Addressing} ${number}`, Uint32Array>();
  readonly #reclaimers = new Set<Reclaimer>();

  /**
   * Creates a pool: allocates its memory, with all buffers free.
   *
   * @throws {UsageError} if an option is unknown or out of range, there is not enough memory, or this is
   * not Linux on x86-64 with `--allow-ffi`.
   */
  constructor(options?: MempoolOptions);
  /** @ignore For {@linkcode Mempool.adopt}. */
  constructor(options: MempoolOptions, memory: DmaMemory);
  constructor(options: MempoolOptions = {}, memory?: DmaMemory) {
    const { buffers = 4096, bufferSize = 2048, headroom = 0, spread } = checkOptions(options);
    const stride = spread ? bufferSize + GAP : bufferSize;
    const all = wholeBuffers(buffers, bufferSize, stride), numbers = all[buffers - 1] + 1;
    this.buffers = buffers;
    this.numbers = numbers;
    this.bufferSize = bufferSize;
    this.stride = stride;
    this.headroom = headroom;
    this.spread = stride > bufferSize;
    this.maxLength = bufferSize - headroom;
    const bytes = numbers * stride;
    this.memory = memory ?? DmaMemory.allocate(bytes, options.memory);
    this.bytes = new Uint8Array(this.memory.buffer, headroom, bytes - headroom);
    this.lengths = new Uint16Array(numbers);
    this.freeStack = all.reverse();
    this.freeCount = buffers;
  }

  /**
   * Adopts a pool that another thread has transferred. Dispose it before that thread disposes its own
   * object.
   *
   * @param transferred The result of {@linkcode Mempool.prototype.transfer} in that thread.
   */
  static adopt({ memory, free, ...options }: TransferredPool): Mempool {
    const pool = new Mempool(options, DmaMemory.adopt(memory));
    pool.freeStack.set(free);
    pool.freeCount = free.length;
    return pool;
  }

  /**
   * The RSS hash of the packet in each buffer, as the device computed it; {@linkcode toeplitz} computes
   * the same. 0 for packets other than IP. Only devices opened with several receive queues or with
   * `rssKey` fill it.
   */
  get rssHash(): Uint32Array {
    return this.#hashes ??= new Uint32Array(this.numbers);
  }

  /**
   * Transfers the pool to another thread (a worker), which passes the result to
   * {@linkcode Mempool.adopt}. This object has no free buffers from then on. Devices stay in this thread
   * and transfer their queues. Dispose this object after the other thread has disposed its own.
   *
   * @throws {Error} if the pool was transferred before.
   */
  transfer(): TransferredPool {
    if (this.#transferred) {
      throw new Error("the pool is transferred twice: give each thread a pool of its own");
    }
    this.#transferred = true;
    const { buffers, bufferSize, headroom, spread, freeCount } = this;
    this.freeCount = 0;
    return {
      buffers,
      bufferSize,
      headroom,
      spread,
      memory: this.memory.share(),
      free: this.freeStack.slice(0, freeCount),
    };
  }

  /**
   * Returns the packets' bus addresses for devices that use this kind: the low and high 32 bits for
   * buffer `b` at indices `2 * b` and `2 * b + 1`. For drivers.
   *
   * @ignore
   * @param before Bytes before the packet that belong to it, up to `headroom` (default: 0).
   * @throws {RangeError} if the memory has no addresses of this kind.
   */
  addresses(addressing: Addressing, before = 0): Uint32Array {
    let column = this.#addresses.get(`${addressing} ${before}`);
    if (column) return column;
    column = new Uint32Array(2 * this.numbers);
    this.#addresses.set(`${addressing} ${before}`, column);
    for (let b = 0; b < this.numbers; b++) {
      const offset = b * this.stride + this.headroom - before;
      const address = this.memory.busAddress(offset, addressing);
      column[2 * b] = address % 2 ** 32;
      column[2 * b + 1] = Math.floor(address / 2 ** 32);
    }
    return column;
  }

  /**
   * Allocates a buffer: the program owns it from then on. If none is free, the pool reclaims buffers
   * from its transmit queues first.
   *
   * @param length Length of the packet in bytes: 1 to `maxLength`.
   * @returns The buffer's number, or -1 if no buffer is free. The buffer keeps its old content.
   * @throws {RangeError} if the length is out of range.
   * @throws {DeviceError} as {@linkcode Mempool.prototype.reclaim} does.
   */
  allocate(length: number): number {
    if (!(Number.isInteger(length) && length >= 1 && length <= this.maxLength)) {
      throw new RangeError(
        `a packet of this pool has 1 to ${this.maxLength} bytes, not ${length}`,
      );
    }
    if (this.freeCount === 0 && this.reclaim() === 0) return -1;
    const buffer = this.freeStack[--this.freeCount];
    this.lengths[buffer] = length;
    return buffer;
  }

  /**
   * Frees a buffer that the program owns.
   *
   * @throws {Error} if the program does not own the buffer: it is already free, a device owns it, or it
   * does not exist.
   */
  free(buffer: number): void {
    if (!(this.lengths[buffer] > 0)) {
      throw new Error(`buffer ${buffer} cannot be freed: the program does not own it`);
    }
    this.lengths[buffer] = 0;
    this.freeStack[this.freeCount++] = buffer;
  }

  /**
   * Returns a view of the packet in a buffer; empty if the program does not own the buffer. Do not use
   * the view after the buffer is freed or sent.
   *
   * @throws {TypeError} if the pool is disposed.
   */
  packet(buffer: number): Uint8Array {
    const start = buffer * this.stride;
    return this.bytes.subarray(start, start + this.lengths[buffer]);
  }

  /**
   * Returns the buffers of packets that have been sent to the pool, from every transmit queue.
   *
   * @returns The number of buffers returned.
   * @throws {DeviceError} if a device returns buffers that it does not own.
   */
  reclaim(): number {
    let n = 0;
    for (const holder of this.#reclaimers) n += holder.reclaim();
    return n;
  }

  /** @ignore Frees buffers that a device has owned. For drivers. */
  takeBack(buffers: readonly number[]): void {
    for (const buffer of buffers) this.freeStack[this.freeCount++] = buffer;
  }

  /** @ignore Adds a transmit queue for {@linkcode Mempool.prototype.reclaim}. For drivers. */
  addReclaimer(holder: Reclaimer): void {
    this.#reclaimers.add(holder);
  }

  /** @ignore Undoes {@linkcode Mempool.prototype.addReclaimer}. For drivers. */
  removeReclaimer(holder: Reclaimer): void {
    this.#reclaimers.delete(holder);
  }

  /**
   * Frees the memory and empties every view of it. Idempotent. Close the devices that use the pool first.
   * The pool then has no free buffer, and the program owns none.
   *
   * @throws {Error} if a device can still reach the memory.
   * @throws {SystemError} if the kernel refuses to unmap it.
   */
  [Symbol.dispose](): void {
    this.memory.free();
    this.freeCount = 0;
    this.lengths.fill(0);
  }
}

/**
 * Returns the numbers of the first `count` buffers that lie in one hugepage each, in order: physical addresses
 * are contiguous only within a hugepage.
 */
function wholeBuffers(count: number, bufferSize: number, stride: number): Uint32Array<ArrayBuffer> {
  const numbers = new Uint32Array(count);
  for (let n = 0, b = 0; n < count; b++) {
    if ((b * stride) % HUGEPAGE + bufferSize <= HUGEPAGE) numbers[n++] = b;
  }
  return numbers;
}

/**
 * Checks the options of a pool.
 *
 * @throws {UsageError} if one is unknown or out of range.
 */
function checkOptions(options: MempoolOptions): MempoolOptions {
  const refuse = (option: string, sentence: string) => new UsageError(sentence, { option });
  if (typeof options !== "object" || options === null) {
    throw new UsageError(`the options of a pool are an object, not ${options}`);
  }
  for (const option of Object.keys(options)) {
    if (Object.hasOwn(OPTIONS, option)) continue;
    const known = Object.keys(OPTIONS).join(", ");
    throw refuse(option, `a pool has no option \`${option}\`: its options are ${known}`);
  }
  const { buffers, bufferSize, headroom, spread, memory } = options;
  if (
    buffers !== undefined &&
    !(Number.isInteger(buffers) && buffers >= MIN_BUFFERS && buffers <= MAX_BUFFERS)
  ) {
    throw refuse("buffers", `a pool has ${MIN_BUFFERS} to ${MAX_BUFFERS} buffers, not ${buffers}`);
  }
  // A power of two: in a pool that is not spread, no buffer lies in two hugepages.
  if (bufferSize !== undefined && ![2048, 4096, 8192, 16384].includes(bufferSize)) {
    const sizes = "2048, 4096, 8192 or 16384 bytes";
    throw refuse("bufferSize", `a buffer has ${sizes}, not ${bufferSize}`);
  }
  if (
    headroom !== undefined &&
    !(Number.isInteger(headroom) && headroom % HEADROOM_UNIT === 0 && headroom >= 0 &&
      headroom <= MAX_HEADROOM)
  ) {
    const range = `0 to ${MAX_HEADROOM} bytes, a multiple of ${HEADROOM_UNIT}`;
    throw refuse("headroom", `the headroom is ${range}, not ${headroom}`);
  }
  if (spread !== undefined && typeof spread !== "boolean") {
    throw refuse("spread", `\`spread\` is true or false, not ${spread}`);
  }
  if (memory !== undefined && !["auto", "hugepages", "pages"].includes(memory)) {
    const kinds = '"auto", "hugepages" or "pages"';
    throw refuse("memory", `\`memory\` is ${kinds}, not "${memory}"`);
  }
  return options;
}
