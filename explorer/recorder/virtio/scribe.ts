/**
 * What all parts of the VirtIO recorder write with: the journal, the cells of the pool, and the buffers
 * behind addresses.
 *
 * @module
 */

import type { Mempool } from "../../../src/mempool.ts";
import { BUFFER } from "../../recording/layout.ts";
import type { PoolCells } from "../cells.ts";
import type { Entry, Journal } from "../journal.ts";

/** The journal, and what steps refer to. */
export class Scribe {
  readonly journal: Journal;
  readonly pool: Mempool;
  readonly cells: PoolCells;

  /** Creates a scribe for a pool whose cells are in the journal's layout. */
  constructor(journal: Journal, pool: Mempool, cells: PoolCells) {
    this.journal = journal;
    this.pool = pool;
    this.cells = cells;
  }

  /** Adds a step with all cells that were set since the last one. */
  add(entry: Entry): void {
    this.journal.add(entry);
  }

  /** Returns the buffer at an I/O virtual address; undefined outside the pool. */
  bufferAt(address: number): number | undefined {
    const { memory, bufferSize, buffers } = this.pool;
    const buffer = Math.floor((address - memory.busAddress(0, "iova")) / bufferSize);
    return buffer >= 0 && buffer < buffers ? buffer : undefined;
  }

  /** Returns the buffer that a descriptor points to; undefined outside the pool. */
  bufferOf([low, high]: readonly number[]): number | undefined {
    return this.bufferAt(low + high * 2 ** 32);
  }

  /** A buffer is free. */
  release(buffer: number): void {
    this.cells.setOwner(buffer, BUFFER.FREE);
    this.cells.setFrame(buffer, 0);
  }

  /** Returns parts of a step about a buffer: the buffer, and the frame in it. */
  about(buffer: number | undefined): { readonly buffer?: number; readonly frame?: number } {
    if (buffer === undefined) return {};
    const frame = this.cells.frame(buffer);
    return { buffer, ...frame !== undefined && { frame } };
  }
}
