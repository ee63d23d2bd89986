/**
 * The modelled device's registers: their values, which register stands at which offset, and what is
 * called when one is read or written. Made from the driver's own table.
 *
 * @module
 */

import { ALIASES, REGISTERS } from "../../ixgbe/registers.ts";
import { nameOf, offsetOf, type Register } from "../../src/registers.ts";

/** Bytes of BAR0 that hold registers. */
export const REGISTER_SPACE = 0x20000;

/** All registers of the table, in its order. */
export const ALL: readonly Register[] = Object.values(REGISTERS) as Register[];

/**
 * Called when a register is written.
 *
 * @param value What was written.
 * @param old What the register held.
 * @param index Which copy.
 * @returns What the register holds from now on.
 */
export type WriteEffect = (value: number, old: number, index: number) => number;

/**
 * Called when a register is read.
 *
 * @param value What the register holds.
 * @param index Which copy.
 * @returns What the reader gets.
 */
export type ReadEffect = (value: number, index: number) => number;

/** Values of the registers, by word of BAR0 (offset / 4). */
export class RegisterFile {
  /** What each register holds. */
  readonly words: Uint32Array = new Uint32Array(REGISTER_SPACE / 4);
  /** The word where a register's value is: itself, or what it is an alias of; -1 for none. */
  readonly home: Int32Array = new Int32Array(REGISTER_SPACE / 4).fill(-1);
  readonly #register = new Uint16Array(REGISTER_SPACE / 4);
  readonly #index = new Uint16Array(REGISTER_SPACE / 4);
  readonly #writes: (WriteEffect | undefined)[] = [];
  readonly #reads: (ReadEffect | undefined)[] = [];
  readonly #settled: ((() => void) | undefined)[] = [];

  constructor() {
    ALL.forEach((register, number) => {
      for (let index = 0; index < register.count; index++) {
        const word = offsetOf(register, index) / 4;
        this.home[word] = word;
        this.#register[word] = number;
        this.#index[word] = index;
      }
    });
    for (const alias of ALIASES) {
      for (let index = 0; index < alias.count; index++) {
        this.home[(alias.offset + index * alias.stride) / 4] =
          offsetOf(REGISTERS[alias.register], index) / 4;
      }
    }
    this.reset();
  }

  /** Gives every register the table's value after reset. */
  reset(): void {
    for (const register of ALL) {
      for (let index = 0; index < register.count; index++) {
        this.words[offsetOf(register, index) / 4] = register.reset;
      }
    }
  }

  /** The register whose value is at a word of {@linkcode RegisterFile.words}. */
  registerAt(home: number): Register {
    return ALL[this.#register[home]];
  }

  /** Which copy of its register is at a word. */
  indexAt(home: number): number {
    return this.#index[home];
  }

  /** The name of what is at a word, as messages show it. */
  nameAt(home: number): string {
    return nameOf(this.registerAt(home), this.indexAt(home));
  }

  /** The value of a register's copy, without side effects. */
  get(register: Register, index = 0): number {
    return this.words[offsetOf(register, index) / 4];
  }

  /** Gives a register's copy a value, without side effects. */
  set(register: Register, value: number, index = 0): void {
    this.words[offsetOf(register, index) / 4] = value;
  }

  /** Says what a write to a register does. */
  onWrite(register: Register, effect: WriteEffect): void {
    this.#writes[ALL.indexOf(register)] = effect;
  }

  /** Says what happens once a register has taken a written value. */
  onSettled(register: Register, effect: () => void): void {
    this.#settled[ALL.indexOf(register)] = effect;
  }

  /** Says what a read of a register does. */
  onRead(register: Register, effect: ReadEffect): void {
    this.#reads[ALL.indexOf(register)] = effect;
  }

  /** What a write to a word does, if something was said. */
  writeEffectAt(home: number): WriteEffect | undefined {
    return this.#writes[this.#register[home]];
  }

  /** What happens once a word has taken a written value, if something was said. */
  settledEffectAt(home: number): (() => void) | undefined {
    return this.#settled[this.#register[home]];
  }

  /** What a read of a word does, if something was said. */
  readEffectAt(home: number): ReadEffect | undefined {
    return this.#reads[this.#register[home]];
  }
}
