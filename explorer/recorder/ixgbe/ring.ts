/**
 * What receive and transmit rings have in common: their place in memory, and who has their descriptors.
 *
 * @module
 */

import { OWNER, RING, type RingName } from "../../recording/layout.ts";
import { RingCells, WORDS } from "../ring_cells.ts";
import type { PortContext } from "./port.ts";

/** A ring, as driver and device change it. Its methods set cells; the next step contains the changes. */
export abstract class Ring {
  readonly cells: RingCells;
  protected readonly context: PortContext;
  /** The ring's memory, once the driver has told the device where it is. */
  protected memory: Uint32Array | undefined;

  constructor(context: PortContext, name: RingName, entries: number) {
    this.context = context;
    this.cells = new RingCells(context.journal, name, entries);
  }

  /** Whether the ring's memory is known. */
  get located(): boolean {
    return this.memory !== undefined;
  }

  /** The driver has told the device where the ring is. */
  locate(memory: Uint32Array): void {
    this.memory = memory;
  }

  /** Records the descriptors that the device has written back since the ring was looked at last. */
  abstract deviceWrote(stack?: string): void;

  /** Takes over head, tail, and whether the queue is enabled. */
  follow(runs: boolean, head: number, tail: number): void {
    if (this.cells.get(RING.RUNS) === 1 && !runs) this.#stopped();
    this.cells.set(RING.RUNS, Number(runs));
    this.cells.set(RING.HEAD, head);
    this.#passed(tail);
    this.cells.set(RING.TAIL, tail);
  }

  /** The driver has passed the descriptors up to `tail` to the device. */
  #passed(tail: number): void {
    const { cells } = this;
    if (tail >= cells.entries) return; // the device ignores it
    for (let i = cells.get(RING.TAIL) & cells.mask; i !== tail; i = (i + 1) & cells.mask) {
      if (cells.owner(i) === OWNER.ARMED) cells.setOwner(i, OWNER.DEVICE);
    }
  }

  /** The queue was disabled or reset: the device has no descriptor any more. */
  #stopped(): void {
    const { cells } = this;
    for (let i = 0; i < cells.entries; i++) {
      if (cells.owner(i) === OWNER.DEVICE) cells.setOwner(i, OWNER.ARMED);
    }
  }

  /** Returns the descriptor at an index of memory; -1 if it is not this ring's. */
  indexOf(descriptors: Uint32Array, at: number): number {
    const { memory } = this;
    if (memory === undefined || memory.buffer !== descriptors.buffer) return -1;
    const word = (descriptors.byteOffset - memory.byteOffset) / 4 + at;
    return word >= 0 && word < memory.length ? Math.floor(word / WORDS) : -1;
  }

  /** Returns the words of a descriptor in memory. */
  protected inMemory(index: number): Uint32Array {
    return this.memory!.subarray(index * WORDS, (index + 1) * WORDS);
  }

  /** Whether a descriptor in memory differs from its cells. */
  protected differs(index: number): boolean {
    return this.memory !== undefined && this.cells.differs(index, this.memory, index * WORDS);
  }
}
