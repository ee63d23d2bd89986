/**
 * The cells of a ring: named access to parts of the journal's state.
 *
 * @module
 */

import {
  descriptorSection,
  type Layout,
  NONE,
  ownerSection,
  RING,
  type RingName,
  ringSection,
  slotSection,
} from "../recording/layout.ts";
import type { Journal } from "./journal.ts";

/** Words of a descriptor. */
export const WORDS = 4;

/** The cells of one ring. Indices of descriptors wrap. */
export class RingCells {
  readonly name: RingName;
  /** Number of descriptors, a power of two. */
  readonly entries: number;
  /** Ands an index to the ring. */
  readonly mask: number;
  readonly #journal: Journal;
  readonly #ring: number;
  readonly #words: number;
  readonly #owners: number;
  readonly #slots: number;

  /** Adds the sections of a ring to a layout. */
  static addTo(layout: Layout, { port, ring, queue }: RingName, entries: number): void {
    layout.add(ringSection(port, ring, queue), RING.CELLS);
    layout.add(descriptorSection(port, ring, queue), entries * WORDS);
    layout.add(ownerSection(port, ring, queue), entries);
    layout.add(slotSection(port, ring, queue), entries);
  }

  /** Creates access to sections that the journal's layout has. All slots are empty. */
  constructor(journal: Journal, name: RingName, entries: number) {
    const { port, ring, queue } = name, { sections } = journal.layout;
    this.name = name;
    this.entries = entries;
    this.mask = entries - 1;
    this.#journal = journal;
    this.#ring = sections[ringSection(port, ring, queue)].start;
    this.#words = sections[descriptorSection(port, ring, queue)].start;
    this.#owners = sections[ownerSection(port, ring, queue)].start;
    this.#slots = sections[slotSection(port, ring, queue)].start;
    for (let i = 0; i < entries; i++) this.setSlot(i, NONE);
  }

  /** Returns one of the cells in {@linkcode RING}. */
  get(cell: number): number {
    return this.#journal.state[this.#ring + cell];
  }

  /** Sets one of the cells in {@linkcode RING}. */
  set(cell: number, value: number): void {
    this.#journal.set(this.#ring + cell, value);
  }

  /** Returns the words of a descriptor. */
  words(index: number): number[] {
    const at = this.#words + this.#wrap(index) * WORDS;
    return Array.from(this.#journal.state.subarray(at, at + WORDS));
  }

  /** Returns whether a descriptor in memory differs from its cells. */
  differs(index: number, memory: Uint32Array, from: number): boolean {
    const { state } = this.#journal, at = this.#words + this.#wrap(index) * WORDS;
    for (let word = 0; word < WORDS; word++) {
      if (state[at + word] !== memory[from + word]) return true;
    }
    return false;
  }

  /** Sets the words of a descriptor. */
  setWords(index: number, words: ArrayLike<number>): void {
    const at = this.#words + this.#wrap(index) * WORDS;
    for (let word = 0; word < WORDS; word++) this.#journal.set(at + word, words[word]);
  }

  /** Returns the owner of a descriptor. */
  owner(index: number): number {
    return this.#journal.state[this.#owners + this.#wrap(index)];
  }

  /** Sets the owner of a descriptor. */
  setOwner(index: number, owner: number): void {
    this.#journal.set(this.#owners + this.#wrap(index), owner);
  }

  /** Returns the buffer of a descriptor, or {@linkcode NONE}. */
  slot(index: number): number {
    return this.#journal.state[this.#slots + this.#wrap(index)];
  }

  /** Sets the buffer of a descriptor. */
  setSlot(index: number, buffer: number): void {
    this.#journal.set(this.#slots + this.#wrap(index), buffer);
  }

  #wrap(index: number): number {
    return index & this.mask;
  }
}
