/**
 * Random numbers for cases, by a seed.
 *
 * @module
 */

import { Random as Choices } from "../support/random.ts";

/** Words at which lengths, indices, addresses and flags break. */
const EDGES = [
  ...[0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 255, 256, 511, 512, 1023, 1024],
  ...[2047, 2048, 4095, 4096, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe],
  0xffffffff,
];

/** Pseudo-random numbers that a seed determines, as fuzzers need them. */
export class Random extends Choices {
  /** Returns a whole number from 0 to `limit - 1`. */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  /** Returns true once in `n` times. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** Returns a 32-bit word: any, a small one, a single bit, or one at which arithmetic breaks. */
  edge(): number {
    switch (this.below(4)) {
      case 0:
        return this.word();
      case 1:
        return this.below(256);
      case 2:
        return (1 << this.below(32)) >>> 0;
      default:
        return this.pick(EDGES);
    }
  }
}
