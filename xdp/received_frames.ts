/**
 * The frames in a receive ring, each descriptor checked: for frames that are not as the hot path of
 * `rx_queue.ts` expects them.
 *
 * @module
 */

import { DeviceError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";
import { DESC, MAX_CHUNK } from "./abi.ts";
import type { Ring } from "./rings.ts";

/** A frame in the receive ring. */
export interface Frame {
  /** Its buffers, in order. */
  readonly buffers: readonly number[];
  /** Where its pieces begin in the pool's memory. */
  readonly starts: readonly number[];
  /** Bytes of each piece. */
  readonly sizes: readonly number[];
  /** Bytes of the frame. */
  readonly size: number;
}

/** The checked view of a receive ring. Changes nothing. */
export class ReceivedFrames {
  readonly #address: string;
  readonly #number: number;
  readonly #pool: Mempool;
  readonly #ring: Ring;
  readonly #held: Uint8Array;

  /**
   * Creates a view.
   *
   * @param address The device's address, for messages.
   * @param number The queue's number, for messages.
   * @param ring The receive ring.
   * @param held 1 for each buffer that the kernel has, by its number.
   */
  constructor(address: string, number: number, pool: Mempool, ring: Ring, held: Uint8Array) {
    this.#address = address;
    this.#number = number;
    this.#pool = pool;
    this.#ring = ring;
    this.#held = held;
  }

  /**
   * Returns the frame that begins at an index of the ring; undefined if the ring does not hold all of it.
   *
   * @throws {DeviceError} if a descriptor is malformed.
   */
  at(first: number): Frame | undefined {
    const buffers: number[] = [], starts: number[] = [], sizes: number[] = [];
    const arrived = (this.#ring.producer[0] - first) >>> 0;
    for (let i = 0, size = 0; i < arrived; i++) {
      const [at, high, length, options] = this.#descriptor(first + i);
      const buffer = this.#checked(at, high, length, options);
      if (buffers.includes(buffer)) throw this.#malformed(`buffer ${buffer} twice`);
      buffers.push(buffer);
      starts.push(at);
      sizes.push(length);
      size += length;
      if ((options & DESC.CONTINUES) === 0) return { buffers, starts, sizes, size };
    }
    return undefined;
  }

  #descriptor(index: number): Uint32Array {
    const { entries, mask } = this.#ring, d = (index & mask) << 2;
    return entries.subarray(d, d + DESC.WORDS);
  }

  /** Returns the buffer of a descriptor. */
  #checked(at: number, high: number, size: number, options: number): number {
    const { buffers, bufferSize } = this.#pool, chunk = Math.min(bufferSize, MAX_CHUNK);
    const buffer = at >>> Math.log2(bufferSize), offset = at & bufferSize - 1;
    const allowed = bufferSize > MAX_CHUNK ? DESC.CONTINUES : 0;
    const problem = high !== 0 || buffer >= buffers
      ? `address ${high * 2 ** 32 + at}, which is outside the pool's memory`
      : this.#held[buffer] !== 1
      ? `buffer ${buffer}, which it does not own`
      : size === 0 || offset + size > chunk
      ? `a length of ${size} bytes, ${offset} bytes behind the start of a chunk of ${chunk}`
      : (options & ~allowed) !== 0
      ? `the options ${options}, which were not asked for`
      : undefined;
    if (problem !== undefined) throw this.#malformed(problem);
    return buffer;
  }

  /** Returns the error for more frames in the ring than the kernel has buffers. */
  overrun(arrived: number): DeviceError {
    const { mask } = this.#ring;
    return this.#malformed(`${arrived} frames, more than the ${mask + 1} buffers that it has`);
  }

  #malformed(problem: string): DeviceError {
    return new DeviceError(
      this.#address,
      `the kernel returns ${problem}, in the receive ring of queue ${this.#number}: report this ` +
        "with the versions of the kernel and of the interface's driver",
    );
  }
}
