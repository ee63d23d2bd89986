/**
 * What serves a port to a driver asks of the NIC model; a record of accesses can take its place.
 *
 * @module
 */

import type { ResetKind } from "../nic/nic.ts";

/** Where the memory that the device may reach is announced. */
export interface DmaTarget {
  /** Bus addresses from `iova` on are bytes of `memory` from `offset` on. */
  map(
    iova: number,
    memory: ArrayBuffer,
    offset: number,
    bytes: number,
    writable: boolean,
    readable: boolean,
  ): void;
  /** They are so no longer, and no view of the memory is kept. */
  unmap(iova: number, bytes: number): unknown;
}

/** One port's registers, memory and resets. */
export interface Model {
  /** The memory that the device may reach. */
  readonly dma: DmaTarget;
  /** Reads the register at an offset in BAR0, with its side effects. */
  read32(offset: number): number;
  /** Writes the register at an offset in BAR0, with its side effects. */
  write32(offset: number, value: number): void;
  /** Follows Bus Master Enable: whether the device may reach memory. */
  setBusMaster(on: boolean): void;
  /** Puts everything to its value after power-on, or after a function level reset. */
  reset(kind: ResetKind): void;
  /** The client is gone: no DMA any more, and registers as after a function level reset. */
  disconnect(): void;
}
