/**
 * BAR0 as plain memory that a driver maps whole: no access is seen as it happens. Now and then this
 * looks what was written, has the model do it, and shows what the registers hold after it.
 *
 * The order in which registers were written is not known, so the writes are done in one that works: what
 * stops something, then settings, then what starts something. Reads, and writes of what a register held
 * already, are not seen: counters are not cleared by reading. Tails are left to the model, which reads
 * them from the same memory in every round.
 *
 * @module
 */

import { CTRL, DMATXCTL, MSCA, RDT, RXCTRL, RXDCTL, TDT, TXDCTL } from "../../ixgbe/registers.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import type { Nic } from "../nic/nic.ts";
import { RegisterFile } from "../registers/register_file.ts";
import { RECEIVE, TRANSMIT } from "../rings/ring.ts";

/** What starts something, in the order in which that is done, and the bit that does. */
const STARTS: readonly (readonly [Register, number])[] = [
  [DMATXCTL, DMATXCTL.TE],
  [TXDCTL, TXDCTL.ENABLE],
  [RXDCTL, RXDCTL.ENABLE],
  [RXCTRL, RXCTRL.RXEN],
];
/** Where in that order are those that stop, settings, and commands, which want all else done. */
const STOP = 0, SETTING = 1, START = 2, COMMAND = START + STARTS.length;
/** Registers by whose change a driver knows that something is done: shown after all others. */
const SIGNALS: readonly Register[] = [MSCA, CTRL];
/** Registers that change by themselves, beside those that cannot be written at all. */
const ALIVE = ["EEC", "EEC_X550EM_A", "RDRXCTL", "ESDP", "ANLP1", "RDH", "TDH", "EICR", "FDIRCTRL"];

/** All that drivers write; the model's own are in {@linkcode Nic}. */
export class PlainRegisters {
  readonly #nic: Nic;
  readonly #write: (offset: number, value: number) => void;
  readonly #memory: Uint32Array;
  readonly #file = new RegisterFile();
  /** What the memory held when it was last looked at, by word. */
  readonly #seen: Uint32Array;
  /** Words of the memory that are registers, but tails and signals; and which of these are alive. */
  readonly #all: Int32Array;
  readonly #alive: Int32Array;
  readonly #signals = SIGNALS.map((register) => offsetOf(register) / 4);
  readonly #written = new Set<number>();

  /**
   * Shows all registers.
   *
   * @param nic Whose registers they are.
   * @param write Writes one: the model's `write32`, or what stands before it.
   * @param memory BAR0 by word.
   */
  constructor(nic: Nic, write: (offset: number, value: number) => void, memory: Uint32Array) {
    this.#nic = nic;
    this.#write = write;
    this.#memory = memory;
    this.#seen = memory.slice();
    const { home } = this.#file;
    const words = Array.from(home.keys()).filter((word) => home[word] >= 0 && !this.#isTail(word));
    this.#all = Int32Array.from(words.filter((word) => !this.#signals.includes(word)));
    this.#alive = this.#all.filter((word) => this.#isAlive(word));
    this.show();
  }

  /**
   * Looks what was written; returns whether there was anything new. A driver writes one register after
   * the other: a look that finds nothing new has seen all that was written before what others found.
   */
  look(): boolean {
    const found = this.#lookAt(this.#all);
    return this.#lookAt(this.#signals) || found;
  }

  /** Does what looks have found, and shows the outcome; returns whether there was anything. */
  take(): boolean {
    if (this.#written.size === 0) {
      this.#showWords(this.#alive);
      return false;
    }
    // Rules say in which order things are done, which is not known here.
    this.#nic.rules.suspended = true;
    try {
      this.#apply();
    } finally {
      this.#nic.rules.suspended = false;
      this.#written.clear();
    }
    this.show();
    return true;
  }

  /** Shows all registers, for one that has reset the model. */
  show(): void {
    this.#showWords(this.#all);
  }

  #isTail(word: number): boolean {
    const register = this.#file.registerAt(word);
    return this.#file.home[word] === word &&
      (register === (RDT as Register) || register === (TDT as Register));
  }

  #isAlive(word: number): boolean {
    const { access, name } = this.#file.registerAt(this.#file.home[word]);
    return access === "RO" || access === "RC" || ALIVE.includes(name);
  }

  #lookAt(words: ArrayLike<number>): boolean {
    const memory = this.#memory, seen = this.#seen;
    let found = false;
    for (let i = 0; i < words.length; i++) {
      const word = words[i];
      const value = memory[word];
      if (value === seen[word]) continue;
      seen[word] = value;
      this.#written.add(word);
      found = true;
    }
    return found;
  }

  #apply(): void {
    const ctrl = offsetOf(CTRL);
    if (this.#written.has(ctrl / 4) && this.#seen[ctrl / 4] & (CTRL.RST | CTRL.LRST)) {
      // Who resets waits for the end of it: what else there is was written before.
      this.#write(ctrl, this.#seen[ctrl / 4]);
      return;
    }
    this.#stopMovedRings();
    const ranked = Array.from(this.#written, (word) => ({ word, rank: this.#rank(word) }));
    ranked.sort((a, b) => a.rank - b.rank || a.word - b.word);
    for (const { word } of ranked) this.#write(word * 4, this.#seen[word]);
  }

  // A queue whose ring is another one was stopped in between.
  #stopMovedRings(): void {
    for (const word of this.#written) {
      const home = this.#file.home[word], name = this.#file.registerAt(home).name;
      const rings = [RECEIVE, TRANSMIT].find(({ baseLow, baseHigh, length, head }) =>
        [baseLow, baseHigh, length, head].some((register) => register.name === name)
      );
      if (rings === undefined) continue;
      const control = offsetOf(rings.control, this.#file.indexAt(home));
      const value = this.#nic.peek32(control);
      if ((value & RXDCTL.ENABLE) === 0) continue;
      this.#write(control, value & ~RXDCTL.ENABLE);
      this.#written.add(control / 4);
    }
  }

  #rank(word: number): number {
    if (this.#signals.includes(word)) return COMMAND;
    const { name } = this.#file.registerAt(this.#file.home[word]);
    const place = STARTS.findIndex(([register]) => register.name === name);
    if (place < 0) return SETTING;
    return this.#seen[word] & STARTS[place][1] ? START + place : STOP;
  }

  #showWords(words: Int32Array): void {
    this.#nic.settle();
    for (let i = 0; i < words.length; i++) this.#showWord(words[i]);
    for (const word of this.#signals) this.#showWord(word);
  }

  // Exchanged, not stored: what the driver writes at this moment is not to be lost.
  #showWord(word: number): void {
    const value = this.#nic.peek32(word * 4), seen = this.#seen[word];
    if (value === seen) return;
    if (Atomics.compareExchange(this.#memory, word, seen, value) === seen) this.#seen[word] = value;
  }
}
