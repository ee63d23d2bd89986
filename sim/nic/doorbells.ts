/**
 * The pages of BAR0 that a driver maps to write tails without a message. The model reads tails from
 * them, and records writes to other registers there as violations.
 *
 * @module
 */

import { RDT, TDT } from "../../ixgbe/registers.ts";
import { hex, offsetOf, type Register } from "../../src/registers.ts";
import { REGISTER_SPACE, type RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";

/** Ranges of doorbell pages in BAR0, in bytes: the first, and one beyond the last. */
export const DOORBELL_PAGES: readonly (readonly [number, number])[] = [
  [0x1000, 0x2000],
  [0x6000, 0x8000],
  [0xd000, 0xe000],
];

/** The doorbell pages. Words other than tails show the values of registers. */
export class Doorbells {
  /** BAR0 by word. Tails have no other place. */
  readonly words: Uint32Array;
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  readonly #shared: boolean;
  readonly #onlyTails: boolean;
  readonly #shadow = new Uint32Array(REGISTER_SPACE / 4);
  readonly #isTail = new Uint8Array(REGISTER_SPACE / 4);

  /**
   * Creates the doorbells.
   *
   * @param file The registers.
   * @param rules Records writes to other registers.
   * @param shared Memory that the driver maps; default: private memory.
   * @param onlyTails Whether to leave all words but tails to a plain port.
   * @throws {RangeError} if the memory is too short for all doorbell pages.
   */
  constructor(
    file: RegisterFile,
    rules: Rules,
    shared: Uint32Array | undefined,
    onlyTails = false,
  ) {
    const end = DOORBELL_PAGES[DOORBELL_PAGES.length - 1][1];
    if (shared && shared.length < end / 4) {
      throw new RangeError(`doorbells need ${end} bytes of BAR0, not ${shared.byteLength}`);
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

  /** Sets tails to 0, and other words to the values of their registers. */
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

  /** Shows a register's new value, if it is in a doorbell page. */
  mirror(word: number): void {
    if (this.#onlyTails) return;
    const offset = word * 4;
    for (const [start, end] of DOORBELL_PAGES) {
      if (offset < start || offset >= end) continue;
      this.words[word] = this.#shadow[word] = this.#file.words[word];
    }
  }

  /** Records and undoes the driver's writes to words other than tails. */
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
