/**
 * The cells of one receive or transmit virtqueue: its descriptor table, available and used ring, and who
 * has each descriptor.
 *
 * Positions count chains modulo 2^16, as the indices of both rings do. The cells of `RING` are indices of
 * descriptors instead: the first one of the chain at a position. So they point into the descriptor table,
 * whatever the number of descriptors of a chain.
 *
 * @module
 */

import type { QueueAreas } from "../../../virtio/transport.ts";
import {
  type Layout,
  NONE,
  OWNER,
  RING,
  type RingName,
  virtqueueSection,
} from "../../recording/layout.ts";
import type { DescriptorAccess } from "../../recording/step.ts";
import { RingCells, WORDS } from "../ring_cells.ts";
import type { Journal } from "../journal.ts";
import { queueName } from "./names.ts";

/** Places of `flags`, `idx` and the entries in the sections of both rings. */
const FLAGS = 0, INDEX = 1, ENTRIES = 2;

/** The cells of a virtqueue, and the queue in memory once the driver has set it up. */
export class VirtqueueCells {
  readonly ring: RingCells;
  /** `receiveq1`. */
  readonly name: string;
  /** Number of descriptors. */
  readonly entries: number;
  /** Descriptors of a chain. */
  readonly perChain: number;
  readonly #journal: Journal;
  readonly #availableCells: number;
  readonly #usedCells: number;
  #descriptors = new Uint32Array(0);
  #available = new Uint16Array(0);
  #used = new Uint32Array(0);
  #usedIndex = new Uint16Array(0);

  /** Adds the sections of a virtqueue to a layout. */
  static addTo(layout: Layout, name: RingName, entries: number): void {
    const { port, ring, queue } = name;
    RingCells.addTo(layout, name, entries);
    layout.add(virtqueueSection(port, ring, queue, "available"), ENTRIES + entries);
    layout.add(virtqueueSection(port, ring, queue, "used"), ENTRIES + 2 * entries);
  }

  /** Creates access to sections that the journal's layout has. */
  constructor(journal: Journal, name: RingName, entries: number, perChain: number) {
    const { port, ring, queue } = name, { sections } = journal.layout;
    this.ring = new RingCells(journal, name, entries);
    this.name = queueName(ring, queue);
    this.entries = entries;
    this.perChain = perChain;
    this.#journal = journal;
    this.#availableCells = sections[virtqueueSection(port, ring, queue, "available")].start;
    this.#usedCells = sections[virtqueueSection(port, ring, queue, "used")].start;
  }

  /** Takes the queue's place in memory. */
  attach({ memory: { buffer }, descriptors, available, used }: QueueAreas): void {
    const { entries } = this;
    this.#descriptors = new Uint32Array(buffer, descriptors, WORDS * entries);
    this.#available = new Uint16Array(buffer, available, ENTRIES + entries);
    this.#usedIndex = new Uint16Array(buffer, used, ENTRIES);
    this.#used = new Uint32Array(buffer, used, 1 + 2 * entries);
  }

  /** Whether the driver has set the queue up, and not closed it. */
  get attached(): boolean {
    return this.#available.length > 0;
  }

  /** Forgets the queue, whose memory may be gone. Returns the buffers that it had. */
  detach(): number[] {
    this.#available = new Uint16Array(0);
    const buffers: number[] = [];
    for (let index = 0; index < this.entries; index++) {
      const buffer = this.ring.slot(index);
      if (buffer !== NONE) buffers.push(buffer);
      this.ring.setSlot(index, NONE);
      this.ring.setOwner(index, OWNER.DRIVER);
    }
    for (let cell = 0; cell < RING.CELLS; cell++) this.ring.set(cell, 0);
    for (let at = 0; at < ENTRIES + this.entries; at++) {
      this.#journal.set(this.#availableCells + at, 0);
    }
    for (let at = 0; at < ENTRIES + 2 * this.entries; at++) {
      this.#journal.set(this.#usedCells + at, 0);
    }
    return buffers;
  }

  /** Index of the first descriptor of the chain at a position. */
  descriptorAt(position: number): number {
    return position * this.perChain & (this.entries - 1);
  }

  /** Place of a position in both rings. */
  placeOf(position: number): number {
    return position & (this.entries - 1);
  }

  // What memory contains.

  /** Returns the words of a descriptor. */
  words(index: number): number[] {
    return [...this.#descriptors.subarray(WORDS * index, WORDS * index + WORDS)];
  }

  /** Returns the id in a place of the available ring. */
  availableId(place: number): number {
    return this.#available[ENTRIES + place];
  }

  /** The index of the available ring. */
  get availableIndex(): number {
    return this.#available[INDEX];
  }

  /** The flags of the used ring. */
  get usedFlags(): number {
    return this.#usedIndex[FLAGS];
  }

  /** The index of the used ring. */
  get usedIndex(): number {
    return this.#usedIndex[INDEX];
  }

  /** Returns the id and the length in a place of the used ring. */
  usedEntry(place: number): { readonly id: number; readonly length: number } {
    return { id: this.#used[1 + 2 * place], length: this.#used[2 + 2 * place] };
  }

  // What the cells contain.

  /** Whether the cells of a place of the available ring have what memory has. */
  knowsAvailable(place: number): boolean {
    return this.#journal.state[this.#availableCells + ENTRIES + place] === this.availableId(place);
  }

  /** Takes over a place of the available ring from memory. */
  takeAvailable(place: number): void {
    this.#journal.set(this.#availableCells + ENTRIES + place, this.availableId(place));
  }

  /** Takes over the flags of the available ring from memory. */
  takeAvailableFlags(): void {
    this.#journal.set(this.#availableCells + FLAGS, this.#available[FLAGS]);
  }

  /** Sets the index of the available ring. */
  setAvailableIndex(position: number): void {
    this.#journal.set(this.#availableCells + INDEX, position);
    this.ring.set(RING.TAIL, this.descriptorAt(position));
  }

  /** Takes over the flags of the used ring from memory. */
  takeUsedFlags(): void {
    this.#journal.set(this.#usedCells + FLAGS, this.usedFlags);
  }

  /** Takes over a place of the used ring from memory. */
  takeUsed(place: number): void {
    const at = this.#usedCells + ENTRIES + 2 * place, { id, length } = this.usedEntry(place);
    this.#journal.set(at, id);
    this.#journal.set(at + 1, length);
  }

  /** Sets the index of the used ring. */
  setUsedIndex(position: number): void {
    this.#journal.set(this.#usedCells + INDEX, position);
  }

  /** Takes over a descriptor from memory; returns it as a step shows it. */
  takeDescriptor(index: number): DescriptorAccess {
    const { ring, queue } = this.ring.name, old = this.ring.words(index), words = this.words(index);
    this.ring.setWords(index, words);
    return { ring, queue, index, old, words, writtenBack: false, format: "virtio" };
  }

  /** Returns a descriptor as a step shows it that does not change it. */
  look(index: number): DescriptorAccess {
    const { ring, queue } = this.ring.name, words = this.ring.words(index);
    return { ring, queue, index, old: words, words, writtenBack: false, format: "virtio" };
  }

  /** Returns the first descriptor of the chain at a position, as {@linkcode look} does. */
  lookAt(position: number): DescriptorAccess {
    return this.look(this.descriptorAt(position));
  }

  /** Sets the owner of a chain's descriptors. */
  setOwner(id: number, owner: number): void {
    for (let i = 0; i < this.perChain; i++) this.ring.setOwner(id + i, owner);
  }
}
