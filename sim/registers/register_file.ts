/**
 * The registers of the modelled device: their values, their offsets, and the effects of reads and
 * writes. The driver's register table defines them.
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
 * @param value The written value.
 * @param old The value before.
 * @param index Index of the copy.
 * @returns The value that the register takes.
 */
export type WriteEffect = (value: number, old: number, index: number) => number;

/**
 * Called when a register is read.
 *
 * @param value The register's value.
 * @param index Index of the copy.
 * @returns The value that the reader gets.
 */
export type ReadEffect = (value: number, index: number) => number;

/** Values of the registers, by word of BAR0 (offset / 4). */
export class RegisterFile {
  /** Value of each register. */
  readonly words: Uint32Array = new Uint32Array(REGISTER_SPACE / 4);
  /** The word that holds a register's value: the same one, or an alias's target; -1 for none. */
  readonly home: Int32Array = new Int32Array(REGISTER_SPACE / 4).fill(-1);
  readonly #register = new Uint16Array(REGISTER_SPACE / 4);
  readonly #index = new Uint16Array(REGISTER_SPACE / 4);
  readonly #writes: (WriteEffect | undefined)[] = [];
  readonly #reads: (ReadEffect | undefined)[] = [];
  readonly #views: (ReadEffect | undefined)[] = [];
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

  /** Gives every register its reset value from the table. */
  reset(): void {
    for (const register of ALL) {
      for (let index = 0; index < register.count; index++) {
        this.words[offsetOf(register, index) / 4] = register.reset;
      }
    }
  }

  /** Returns the register whose value a word of {@linkcode RegisterFile.prototype.words} holds. */
  registerAt(home: number): Register {
    return ALL[this.#register[home]];
  }

  /** Returns the index of the copy whose value a word holds. */
  indexAt(home: number): number {
    return this.#index[home];
  }

  /** Returns the name of the register at a word, with the index of its copy. */
  nameAt(home: number): string {
    return nameOf(this.registerAt(home), this.indexAt(home));
  }

  /** Returns the value of a register's copy, without side effects. */
  get(register: Register, index = 0): number {
    return this.words[offsetOf(register, index) / 4];
  }

  /** Sets the value of a register's copy, without side effects. */
  set(register: Register, value: number, index = 0): void {
    this.words[offsetOf(register, index) / 4] = value;
  }

  /** Installs the effect of writes to a register. */
  onWrite(register: Register, effect: WriteEffect): void {
    this.#writes[ALL.indexOf(register)] = effect;
  }

  /** Installs an effect that follows once a register has taken a written value. */
  onSettled(register: Register, effect: () => void): void {
    this.#settled[ALL.indexOf(register)] = effect;
  }

  /**
   * Installs the effect of reads of a register.
   *
   * @param view Returns the same value and changes nothing; default: `effect`, which then must not
   * change anything either.
   */
  onRead(register: Register, effect: ReadEffect, view: ReadEffect = effect): void {
    this.#reads[ALL.indexOf(register)] = effect;
    this.#views[ALL.indexOf(register)] = view;
  }

  /** Returns the effect of writes to the register at a word, if any. */
  writeEffectAt(home: number): WriteEffect | undefined {
    return this.#writes[this.#register[home]];
  }

  /** Returns the effect that follows once the register at a word has taken a value, if any. */
  settledEffectAt(home: number): (() => void) | undefined {
    return this.#settled[this.#register[home]];
  }

  /** Returns the effect of reads of the register at a word, if any. */
  readEffectAt(home: number): ReadEffect | undefined {
    return this.#reads[this.#register[home]];
  }

  /** Returns what stands in for the effect of reads where nothing may change, if there is one. */
  viewEffectAt(home: number): ReadEffect | undefined {
    return this.#views[this.#register[home]];
  }
}
