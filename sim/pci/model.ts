/**
 * The interface to the NIC model for servers of a port. The trace implements it, too.
 *
 * @module
 */

import type { ResetKind } from "../nic/nic.ts";

/** Takes the memory that the device may reach. */
export interface DmaTarget {
  /** Maps bus addresses from `iova` on to bytes of `memory` from `offset` on. */
  map(
    iova: number,
    memory: ArrayBuffer,
    offset: number,
    bytes: number,
    writable: boolean,
    readable: boolean,
  ): void;
  /** Unmaps bus addresses, and drops all views of their memory. */
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
  /** Sets Bus Master Enable: whether the device may reach memory. */
  setBusMaster(on: boolean): void;
  /** Resets the device as at power-on, or as by a function level reset. */
  reset(kind: ResetKind): void;
  /** Ends the client's use of the port: stops DMA, and does a function level reset. */
  disconnect(): void;
}
