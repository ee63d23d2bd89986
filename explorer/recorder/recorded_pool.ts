/**
 * The pool, and its cells: who has each buffer, and the frame in it.
 *
 * @module
 */

import type { Mempool } from "../../src/mempool.ts";
import { BUFFER, FRAME_SECTION, type Layout, NONE, POOL_SECTION } from "../recording/layout.ts";
import type { Step } from "../recording/step.ts";
import type { Journal } from "./journal.ts";

/** The pool of a recording. Methods that set cells belong to the next step. */
export class RecordedPool {
  readonly mempool: Mempool;
  readonly #journal: Journal;
  readonly #owners: number;
  readonly #frames: number;

  /** Adds the sections of a pool to a layout. */
  static addTo(layout: Layout, buffers: number): void {
    layout.add(POOL_SECTION, buffers);
    layout.add(FRAME_SECTION, buffers);
  }

  /** Creates access to sections that the journal's layout has. All buffers are free. */
  constructor(journal: Journal, mempool: Mempool) {
    const { sections } = journal.layout;
    this.mempool = mempool;
    this.#journal = journal;
    this.#owners = sections[POOL_SECTION].start;
    this.#frames = sections[FRAME_SECTION].start;
  }

  /** Sets who has a buffer. */
  setOwner(buffer: number, owner: number): void {
    this.#journal.set(this.#owners + buffer, owner);
  }

  /** Sets the number of the frame in a buffer; 0 for none. */
  setFrame(buffer: number, frame: number): void {
    this.#journal.set(this.#frames + buffer, frame);
  }

  /** Sets a buffer free: it has no frame. */
  release(buffer: number): void {
    this.setOwner(buffer, BUFFER.FREE);
    this.setFrame(buffer, 0);
  }

  /** Returns the buffer at a bus address; {@linkcode NONE} outside the pool. */
  bufferAt(address: number): number {
    const { memory, bufferSize, buffers } = this.mempool;
    const buffer = Math.floor((address - memory.busAddress(0, "iova")) / bufferSize);
    return buffer >= 0 && buffer < buffers ? buffer : NONE;
  }

  /** Returns the buffer whose address is in the first two words of a descriptor; else {@linkcode NONE}. */
  bufferOf([low, high]: ArrayLike<number> & Iterable<number>): number {
    return this.bufferAt(low + high * 2 ** 32);
  }

  /** Returns what a step says of a buffer: its number and the frame in it; nothing of {@linkcode NONE}. */
  about(buffer: number): Pick<Step, "buffer" | "frame"> {
    if (buffer === NONE) return {};
    const frame = this.#journal.state[this.#frames + buffer];
    return frame === 0 ? { buffer } : { buffer, frame };
  }
}
