/**
 * The pages of BAR0 that a driver maps to move ring tails without a message: where the model reads
 * tails from, and what else a driver has written there against the rules.
 *
 * @module
 */

import { RDT, TDT } from "../../ixgbe/registers.ts";
import { hex, offsetOf, type Register } from "../../src/registers.ts";
import { REGISTER_SPACE, type RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";

/** Where doorbell pages are in BAR0, in bytes: first, and one beyond the last. */
export const DOORBELL_PAGES: readonly (readonly [number, number])[] = [
  [0x1000, 0x2000],
  [0x6000, 0x8000],
  [0xd000, 0xe000],
];

/** The doorbell pages. All other words show what the registers hold. */
export class Doorbells {
  /** BAR0 by word; tails are here and nowhere else. */
  readonly words: Uint32Array;
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  readonly #shared: boolean;
  readonly #onlyTails: boolean;
  readonly #shadow = new Uint32Array(REGISTER_SPACE / 4);
  readonly #isTail = new Uint8Array(REGISTER_SPACE / 4);

  /**
   * @param file The registers.
   * @param rules Where writes to other registers are recorded.
   * @param shared Memory that the driver maps; default private memory.
   * @param onlyTails Whether all but tails are a plain port's business.
   * @throws {RangeError} if the memory does not hold all doorbell pages.
   */
  constructor(
    file: RegisterFile,
    rules: Rules,
    shared: Uint32Array | undefined,
    onlyTails = false,
  ) {
    const end = DOORBELL_PAGES[DOORBELL_PAGES.length - 1][1];
    if (shared && shared.length < end / 4) {
      throw new RangeError(`doorbells need ${end} bytes of BAR0, got ${shared.byteLength}`);
    }
    this.words = shared ?? new Uint32Array(REGISTER_SPACE / 4);
    this.#shared = shared !== undefined;
    this.#onlyTails = onlyTails;
    this.#file = file;
    this.#rules = rules;
    for (const tail of [RDT, TDT] as Register[]) {
      for (let index = 0; index < tail.count; index++) {
        this.#isTail[offsetOf(tail, index) / 4] = 1;
      }
    }
  }

  /** Sets tails to 0, and everything else to what the registers hold. */
  reset(): void {
    for (const [start, end] of DOORBELL_PAGES) {
      for (let word = start / 4; word < end / 4; word++) {
        if (this.#onlyTails && !this.#isTail[word]) continue;
        const value = this.#isTail[word] ? 0 : this.#file.words[word];
        this.words[word] = value;
        this.#shadow[word] = value;
      }
    }
  }

  /** Shows a register's new value in its page, if it has one. */
  mirror(word: number): void {
    if (this.#onlyTails) return;
    const offset = word * 4;
    for (const [start, end] of DOORBELL_PAGES) {
      if (offset < start || offset >= end) continue;
      this.words[word] = this.#shadow[word] = this.#file.words[word];
    }
  }

  /** Records what was written through the mapping beside tails, and undoes it. */
  inspect(): void {
    if (!this.#shared || this.#onlyTails) return;
    for (const [start, end] of DOORBELL_PAGES) {
      for (let word = start / 4; word < end / 4; word++) {
        if (this.words[word] === this.#shadow[word] || this.#isTail[word]) continue;
        const home = this.#file.home[word];
        const name = home < 0 ? hex(word * 4) : this.#file.nameAt(home);
        const rule = "only tails are written through the doorbell mapping";
        this.#rules.violate(name, "8.2.3.9.9", rule, `${hex(this.words[word])} written`);
        this.words[word] = this.#shadow[word];
      }
    }
  }
}
