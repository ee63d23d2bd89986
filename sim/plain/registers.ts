/**
 * BAR0 as plain memory that a driver maps whole. Single accesses are not seen: from time to time it
 * looks for changes, writes them to the model, and shows the resulting values of the registers.
 *
 * The order of the driver's writes is not known. So they are applied in an order that works: first
 * what stops something, then settings, then what starts something. Reads are not seen, so that
 * counters are not cleared by reading; nor are writes that do not change a value. The model itself
 * reads tails from the same memory in every round.
 *
 * @module
 */

import { CTRL, DMATXCTL, MSCA, RDT, RXCTRL, RXDCTL, TDT, TXDCTL } from "../../ixgbe/registers.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import type { Nic } from "../nic/nic.ts";
import { RegisterFile } from "../registers/register_file.ts";
import { RECEIVE, TRANSMIT } from "../rings/ring.ts";

/**
 * Registers that start something, in the order in which they are written, and their bits for it.
 */
const STARTS: readonly (readonly [Register, number])[] = [
  [DMATXCTL, DMATXCTL.TE],
  [TXDCTL, TXDCTL.ENABLE],
  [RXDCTL, RXDCTL.ENABLE],
  [RXCTRL, RXCTRL.RXEN],
];
/**
 * Ranks in the order of writes: stops, settings, starts, and commands, which need all others done.
 */
const STOP = 0, SETTING = 1, START = 2, COMMAND = START + STARTS.length;
/** Registers that tell a driver that something is done: shown after all others. */
const SIGNALS: readonly Register[] = [MSCA, CTRL];
/** Writable registers that change by themselves. */
const ALIVE = [
  ...["EEC", "RDRXCTL", "ESDP", "ANLP1", "RDH", "TDH", "EICR", "FDIRCTRL"],
  ...["SYSTIML", "SYSTIMH", "SYSTIMR", "TSYNCRXCTL", "TSYNCTXCTL"],
];

/** The registers in the driver's memory; {@linkcode Nic} has the model's. */
export class PlainRegisters {
  readonly #nic: Nic;
  readonly #write: (offset: number, value: number) => void;
  readonly #memory: Uint32Array;
  readonly #file = new RegisterFile();
  /** Content of the memory at the last look, by word. */
  readonly #seen: Uint32Array;
  /**
   * Words of registers other than tails and signals; and those of them that change by themselves.
   */
  readonly #all: Int32Array;
  readonly #alive: Int32Array;
  readonly #signals = SIGNALS.map((register) => offsetOf(register) / 4);
  readonly #written = new Set<number>();

  /**
   * Creates the registers and shows them.
   *
   * @param nic The model.
   * @param write Writes a register: the model's `write32`, or that of a trace.
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
   * Looks for changes; returns whether there were any. A driver writes its registers one by one:
   * after a look without changes, all writes before the changes found so far are known.
   */
  look(): boolean {
    const found = this.#lookAt(this.#all);
    return this.#lookAt(this.#signals) || found;
  }

  /** Applies the changes found, and shows the result; returns whether there were any. */
  take(): boolean {
    if (this.#written.size === 0) {
      this.#showWords(this.#alive);
      return false;
    }
    // Rules are about the order of writes, which is not known here.
    const { rules } = this.#nic, { suspended } = rules;
    rules.suspended = true;
    try {
      this.#apply();
    } finally {
      rules.suspended = suspended;
      this.#written.clear();
    }
    this.show();
    return true;
  }

  /** Shows all registers, for a caller that has reset the model. */
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
      // A driver waits for the end of a reset: all other changes came before it.
      this.#write(ctrl, this.#seen[ctrl / 4]);
      return;
    }
    this.#stopMovedRings();
    const ranked = Array.from(this.#written, (word) => ({ word, rank: this.#rank(word) }));
    ranked.sort((a, b) => a.rank - b.rank || a.word - b.word);
    for (const { word } of ranked) this.#write(word * 4, this.#seen[word]);
  }

  // Stops queues whose rings have changed: the driver must have done so in between.
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

  // Exchanges words, so that what the driver writes at this moment is not lost.
  #showWord(word: number): void {
    const value = this.#nic.peek32(word * 4), seen = this.#seen[word];
    if (value === seen) return;
    if (Atomics.compareExchange(this.#memory, word, seen, value) === seen) this.#seen[word] = value;
  }
}
