/**
 * Memory of the driver, as a device of the same thread reaches it: by bus addresses.
 *
 * @module
 */

import type { DmaMemory } from "../../../../src/dma.ts";

/** The memory that a driver has mapped for a device. */
export class DriverMemory {
  readonly #memories: DmaMemory[] = [];

  /** Number of bytes mapped. */
  get bytes(): number {
    return this.#memories.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Maps a piece of memory: it cannot be freed before {@linkcode DriverMemory.prototype.release}. */
  map(memory: DmaMemory): void {
    this.#memories.push(memory);
    memory.pin();
  }

  /** Unmaps all memory. */
  release(): void {
    for (const memory of this.#memories.splice(0)) memory.unpin();
  }

  /** Returns the bytes at an I/O virtual address; undefined if not all of them are mapped. */
  find(address: number, bytes: number): Uint8Array<ArrayBuffer> | undefined {
    for (const memory of this.#memories) {
      const offset = address - memory.busAddress(0, "iova");
      if (offset < 0 || offset + bytes > memory.bytes) continue;
      return new Uint8Array(memory.buffer, offset, bytes);
    }
    return undefined;
  }
}
