/**
 * Configuration space as a file that a driver reads and writes: no access is seen as it happens. Now
 * and then this looks what was written, has it done, and shows the outcome.
 *
 * @module
 */

import type { ConfigSpace } from "../pci/config_space.ts";

/** Words that are looked at: what the PCI bus has without PCI Express. */
const WORDS = 256 / 4;
const COMMAND = 0x04;
const COMMAND_BUS_MASTER = 1 << 2;

/** The first 256 bytes of a port's configuration space; the rest is shown, and not looked at. */
export class PlainConfig {
  /** What is behind it. */
  readonly space: ConfigSpace;
  readonly #memory: Uint32Array;
  /** What the memory held when it was last looked at. */
  readonly #seen = new Uint32Array(WORDS);
  readonly #written = new Set<number>();

  /**
   * Shows all of it.
   *
   * @param memory The file, by word.
   */
  constructor(space: ConfigSpace, memory: Uint32Array) {
    this.space = space;
    this.#memory = memory;
    space.read(0, new Uint8Array(memory.buffer));
    this.#seen.set(memory.subarray(0, WORDS));
  }

  /** Whether the driver wants bus master to be on, by what was seen last. */
  get wantsBusMaster(): boolean {
    return (this.#seen[COMMAND / 4] & COMMAND_BUS_MASTER) !== 0;
  }

  /** Looks what was written; returns whether there was anything new. */
  look(): boolean {
    let found = false;
    for (let word = 0; word < WORDS; word++) {
      const value = this.#memory[word];
      if (value === this.#seen[word]) continue;
      this.#seen[word] = value;
      this.#written.add(word);
      found = true;
    }
    return found;
  }

  /** Does what looks have found, and shows the outcome; returns whether there was anything. */
  take(): boolean {
    if (this.#written.size === 0) return false;
    for (const word of this.#written) {
      this.space.write(word * 4, new Uint8Array(this.#seen.slice(word, word + 1).buffer));
    }
    this.#written.clear();
    this.#show();
    return true;
  }

  // Exchanged, not stored: what the driver writes at this moment is not to be lost.
  #show(): void {
    const now = new Uint32Array(WORDS);
    this.space.read(0, new Uint8Array(now.buffer));
    for (let word = 0; word < WORDS; word++) {
      const seen = this.#seen[word];
      if (now[word] === seen) continue;
      if (Atomics.compareExchange(this.#memory, word, seen, now[word]) === seen) {
        this.#seen[word] = now[word];
      }
    }
  }
}
