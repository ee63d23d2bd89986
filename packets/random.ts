/**
 * Pseudo-random numbers that a seed determines: for packets, faults and delays that can be repeated.
 *
 * @module
 */

/** Mixes 32 bits, so that each bit of the result depends on all (final steps of MurmurHash3). */
export function mix(word: number): number {
  word = Math.imul(word ^ word >>> 16, 0x85ebca6b);
  word = Math.imul(word ^ word >>> 13, 0xc2b2ae35);
  return (word ^ word >>> 16) >>> 0;
}

/** A sequence of pseudo-random numbers: a mixed counter, with a period of 2^32. */
export class Random {
  #state: number;

  /**
   * Starts a sequence.
   *
   * @param seed Any 32 bits; each gives another sequence.
   */
  constructor(seed: number) {
    this.#state = mix(seed);
  }

  /** Returns the next 32 bits. */
  word(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0; // 2^32 divided by the golden ratio: no short period
    return mix(this.#state);
  }

  /** Returns the next number, from 0 to below 1. */
  next(): number {
    return this.word() / 2 ** 32;
  }
}
