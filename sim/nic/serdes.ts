/**
 * The 82599's analog core behind an SFP+ cage: the words that a driver writes to CORECTL set it up for
 * a kind of module, and a restart of the link puts them into effect.
 *
 * @module
 */

import type { ModuleKind } from "./sfp_module.ts";

/** A set-up: for modules and active cables, or for passive cables. */
export type Setup = "module" | "passive-cable";

/**
 * The words that the EEPROM lists for each set-up. They are the model's own: those of a board belong to
 * its maker.
 */
export const CORE_WORDS: Readonly<Record<Setup, readonly number[]>> = {
  "module": [0x0a11, 0x0b22, 0x0c33],
  "passive-cable": [0x0a44, 0x0b55, 0x0c66, 0x0d77],
};

/** The analog core of one port. */
export class Serdes {
  /** Restarts of the link that bring none, which a few cards need. */
  readonly #useless: number;
  readonly #initial: Setup | undefined;
  #words: number[] = [];
  #written: Setup | undefined;
  #active: Setup | undefined;
  #restarts = 0;

  /**
   * Makes one that has just been powered on.
   *
   * @param initial The set-up at power-on; undefined if none of its own fits any module.
   * @param useless Restarts of the link until one brings a link.
   */
  constructor(initial: Setup | undefined, useless: number) {
    this.#initial = initial;
    this.#useless = useless;
    this.reset();
  }

  /** Does what power-on does; other resets keep the set-up. */
  reset(): void {
    this.#words = [];
    this.#written = this.#active = this.#initial;
    this.#restarts = 0;
  }

  /** Takes a word from CORECTL. A sequence that is not complete fits no module. */
  write(word: number): void {
    this.#words.push(word);
    const setups = Object.keys(CORE_WORDS) as Setup[];
    this.#written = setups.find((setup) => {
      const words = CORE_WORDS[setup], from = this.#words.length - words.length;
      return from >= 0 && words.every((value, i) => value === this.#words[from + i]);
    });
  }

  /** Restarts the link with what was written last. */
  restart(): void {
    this.#active = this.#written;
    this.#restarts++;
  }

  /** Whether a link can come up with a kind of module. */
  fits(kind: ModuleKind): boolean {
    if (this.#restarts < this.#useless) return false;
    return this.#active === (kind === "passive-cable" ? "passive-cable" : "module");
  }
}
