/**
 * Configuration space as a file that a driver reads and writes. Single accesses are not seen: from
 * time to time it looks for changes, applies them to the configuration space, and shows the result.
 *
 * @module
 */

import type { ConfigSpace } from "../pci/config_space.ts";

/** Words that are checked for changes: the configuration space without PCI Express. */
const WORDS = 256 / 4;
const COMMAND = 0x04;
const COMMAND_BUS_MASTER = 1 << 2;

/** The first 256 bytes of a port's configuration space; the rest is shown, but not checked. */
export class PlainConfig {
  /** The configuration space. */
  readonly space: ConfigSpace;
  readonly #memory: Uint32Array;
  /** Content of the memory at the last look. */
  readonly #seen = new Uint32Array(WORDS);
  readonly #written = new Set<number>();

  /**
   * Creates the file's content.
   *
   * @param space The configuration space.
   * @param memory The file, by word.
   */
  constructor(space: ConfigSpace, memory: Uint32Array) {
    this.space = space;
    this.#memory = memory;
    space.read(0, new Uint8Array(memory.buffer));
    this.#seen.set(memory.subarray(0, WORDS));
  }

  /** Whether the driver has enabled bus master, at the last look. */
  get wantsBusMaster(): boolean {
    return (this.#seen[COMMAND / 4] & COMMAND_BUS_MASTER) !== 0;
  }

  /** Looks for changes; returns whether there were any. */
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

  /** Applies the changes found, and shows the result; returns whether there were any. */
  take(): boolean {
    if (this.#written.size === 0) return false;
    for (const word of this.#written) {
      this.space.write(word * 4, new Uint8Array(this.#seen.slice(word, word + 1).buffer));
    }
    this.#written.clear();
    this.#show();
    return true;
  }

  // Exchanges words, so that what the driver writes at this moment is not lost.
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
