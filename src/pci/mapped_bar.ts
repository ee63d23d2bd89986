/**
 * A BAR as registers: loads and stores in areas that are mapped into this process, and system calls or
 * messages in all others.
 *
 * @module
 */

import type { Mapping } from "../../native/mapping.ts";
import type { Bar, Doorbell } from "./function.ts";

/** Access to a region of a function that is not mapped. Offsets are in bytes. */
export interface RegionAccess {
  /** Reads a register of 1, 2 or 4 bytes; `offset` is a multiple of its size. */
  read(offset: number, bytes: 1 | 2 | 4): number;
  /** Writes a register of 1, 2 or 4 bytes; `offset` is a multiple of its size. */
  write(offset: number, bytes: 1 | 2 | 4, value: number): void;
  /** Releases what only this region uses. Idempotent. */
  close?(): void;
}

/** A mapped area of a region. */
export class MappedArea {
  /** Offset of its first byte in the region. */
  readonly offset: number;
  /** The area as registers of 1, 2 or 4 bytes; empty after it is unmapped. */
  readonly words: { readonly 1: Uint8Array; readonly 2: Uint16Array; readonly 4: Uint32Array };
  readonly #mapping: Mapping;

  /**
   * Creates an area, which owns the mapping from then on.
   *
   * @param offset Offset of its first byte in the region.
   */
  constructor(mapping: Mapping, offset: number) {
    const { buffer } = mapping;
    this.offset = offset;
    this.words = {
      1: new Uint8Array(buffer),
      2: new Uint16Array(buffer),
      4: new Uint32Array(buffer),
    };
    this.#mapping = mapping;
  }

  /** Returns whether the byte at this offset of the region is in the area. */
  has(offset: number): boolean {
    return offset >= this.offset && offset < this.offset + this.#mapping.bytes;
  }

  /** Whether the area is in a peer's file that was truncated, and was accessed since. */
  get lost(): boolean {
    return this.#mapping.lost;
  }

  /** Unmaps the area and empties its views. Idempotent. */
  unmap(): void {
    this.#mapping.unmap();
  }
}

/**
 * A BAR with mapped areas. A load from a mapped area while COMMAND disables memory space kills the
 * process with SIGBUS.
 */
export class MappedBar implements Bar {
  readonly size: number;
  readonly #areas: readonly MappedArea[];
  readonly #access: RegionAccess | undefined;
  readonly #doorbellsOnly: boolean;

  /**
   * Creates a BAR, which owns its areas from then on.
   *
   * @param size Size of the BAR in bytes.
   * @param areas The mapped areas.
   * @param access Access to everything outside the areas; not needed if they cover the whole BAR.
   * @param doorbellsOnly Whether the areas are only for doorbells, and all other access uses `access`.
   */
  constructor(
    size: number,
    areas: readonly MappedArea[],
    access?: RegionAccess,
    doorbellsOnly = false,
  ) {
    this.size = size;
    this.#areas = areas;
    this.#access = access;
    this.#doorbellsOnly = doorbellsOnly;
  }

  read(offset: number, bytes: 1 | 2 | 4): number {
    const area = this.#doorbellsOnly ? undefined : this.#area(offset);
    if (!area) return this.#unmapped(offset).read(offset, bytes);
    return area.words[bytes][(offset - area.offset) / bytes];
  }

  write(offset: number, bytes: 1 | 2 | 4, value: number): void {
    const area = this.#doorbellsOnly ? undefined : this.#area(offset);
    if (area) area.words[bytes][(offset - area.offset) / bytes] = value;
    else this.#unmapped(offset).write(offset, bytes, value);
  }

  doorbell(offset: number): Doorbell {
    const area = this.#area(offset);
    if (area) return { words: area.words[4], index: (offset - area.offset) >> 2, write: undefined };
    const access = this.#unmapped(offset);
    return {
      words: new Uint32Array(1),
      index: 0,
      write: (value) => access.write(offset, 4, value),
    };
  }

  /** Unmaps all areas, which empties their views, and closes `access`. Idempotent. */
  close(): void {
    for (const area of this.#areas) area.unmap();
    this.#access?.close?.();
  }

  #area(offset: number): MappedArea | undefined {
    return this.#areas.find((area) => area.has(offset));
  }

  #unmapped(offset: number): RegionAccess {
    if (this.#access) return this.#access;
    throw new RangeError(`register at ${offset} lies outside a BAR of ${this.size} bytes`);
  }
}
