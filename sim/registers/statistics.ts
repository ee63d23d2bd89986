/**
 * The statistics registers of the modelled device (datasheet section 8.2.3.23). They have 32 bits,
 * stop at their maximum, and are cleared by reading. Byte counters have 36 bits, in two registers.
 *
 * @module
 */

import { REGISTERS } from "../../ixgbe/registers.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { ALL, REGISTER_SPACE } from "./register_file.ts";

const MAX_32 = 0xffff_ffff;
const MAX_36 = 0xf_ffff_ffff;

const PAIRS: readonly (readonly [Register, Register])[] = [
  [REGISTERS.GORCL, REGISTERS.GORCH],
  [REGISTERS.GOTCL, REGISTERS.GOTCH],
  [REGISTERS.TORL, REGISTERS.TORH],
  [REGISTERS.RXNFGBCL, REGISTERS.RXNFGBCH],
  [REGISTERS.RXDGBCL, REGISTERS.RXDGBCH],
  [REGISTERS.RXDDGBCL, REGISTERS.RXDDGBCH],
  [REGISTERS.RXLPBKGBCL, REGISTERS.RXLPBKGBCH],
  [REGISTERS.TXDGBCL, REGISTERS.TXDGBCH],
  [REGISTERS.QBRC_L, REGISTERS.QBRC_H],
  [REGISTERS.QBTC_L, REGISTERS.QBTC_H],
];

/** Takes an amount for a counter; `register` is the low one of a byte counter. */
export type AddCount = (register: Register, amount: number, index?: number) => void;

/** Counters behind the registers with access `RC`. */
export class Statistics {
  // By word of BAR0. The low word's entry holds a whole byte counter. The high word's entry holds
  // what the last read of the low word saw, which a read of the high word subtracts.
  readonly #counts = new Float64Array(REGISTER_SPACE / 4);
  readonly #highOf = new Int32Array(REGISTER_SPACE / 4).fill(-1);
  readonly #lowOf = new Int32Array(REGISTER_SPACE / 4).fill(-1);

  constructor() {
    for (const [low, high] of PAIRS) {
      for (let index = 0; index < low.count; index++) {
        this.#highOf[offsetOf(low, index) / 4] = offsetOf(high, index) / 4;
        this.#lowOf[offsetOf(high, index) / 4] = offsetOf(low, index) / 4;
      }
    }
  }

  /** Adds to a counter; `register` is the low one of a byte counter. */
  add(register: Register, amount: number, index = 0): void {
    this.#counts[offsetOf(register, index) / 4] += amount;
  }

  /** Sets all counters to 0. */
  reset(): void {
    for (const register of ALL) {
      if (register.access !== "RC") continue;
      for (let index = 0; index < register.count; index++) {
        this.#counts[offsetOf(register, index) / 4] = 0;
      }
    }
  }

  /** Returns what a read of the word would, if no half of it has been read; clears nothing. */
  peek(word: number): number {
    const low = this.#lowOf[word];
    if (low >= 0) return Math.floor(Math.min(this.#counts[low], MAX_36) / 0x1_0000_0000);
    if (this.#highOf[word] < 0) return Math.min(this.#counts[word], MAX_32);
    return Math.min(this.#counts[word], MAX_36) % 0x1_0000_0000;
  }

  /**
   * Returns what {@linkcode Statistics.prototype.read} would, and changes nothing.
   *
   * @param report Reports amounts that are still to be added.
   */
  view(word: number, report: (add: AddCount) => void): number {
    const low = this.#lowOf[word];
    if (low >= 0 && this.#counts[word] > 0) return Math.floor(this.#counts[word] / 0x1_0000_0000);
    const at = low < 0 ? word : low;
    let count = this.#counts[at];
    report((register, amount, index = 0) => {
      if (offsetOf(register, index) / 4 === at) count += amount;
    });
    if (low >= 0) return Math.floor(Math.min(count, MAX_36) / 0x1_0000_0000);
    if (this.#highOf[word] < 0) return Math.min(count, MAX_32);
    return Math.min(count, MAX_36) % 0x1_0000_0000;
  }

  /**
   * Reads and clears the counter at a word.
   *
   * A byte counter is read low half first. Reading the high half clears both: for a driver that
   * never reads it, the low half wraps.
   */
  read(word: number): number {
    const high = this.#highOf[word];
    if (high >= 0) {
      const total = Math.min(this.#counts[word], MAX_36);
      this.#counts[high] = total;
      return total % 0x1_0000_0000;
    }
    const low = this.#lowOf[word];
    if (low >= 0) {
      const seen = this.#counts[word] || Math.min(this.#counts[low], MAX_36);
      this.#counts[low] -= seen;
      this.#counts[word] = 0;
      return Math.floor(seen / 0x1_0000_0000);
    }
    const count = Math.min(this.#counts[word], MAX_32);
    this.#counts[word] = 0;
    return count;
  }
}
