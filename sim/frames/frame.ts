/**
 * Lengths of frames, and the six sizes by which the statistics registers count frames (datasheet section 8.2.3.23).
 *
 * @module
 */

import { REGISTERS } from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";

/** Lengths of frames in bytes; an object for the reason that `descriptors.ts` has. */
export const FRAME = {
  /** A CRC. */
  CRC: 4,
  /** The shortest frame, without CRC: the only length of the first size. */
  SHORTEST: 60,
  /** The longest frame without CRC: 15.5 KB with it (7.2.3.2.2). */
  LONGEST: 15_868,
} as const;

/** Counters of received frames, by {@linkcode sizeClass}. */
export const RECEIVED_SIZES: readonly Register[] = [
  REGISTERS.PRC64,
  REGISTERS.PRC127,
  REGISTERS.PRC255,
  REGISTERS.PRC511,
  REGISTERS.PRC1023,
  REGISTERS.PRC1522,
];

/** Counters of sent frames, by {@linkcode sizeClass}. */
export const SENT_SIZES: readonly Register[] = [
  REGISTERS.PTC64,
  REGISTERS.PTC127,
  REGISTERS.PTC255,
  REGISTERS.PTC511,
  REGISTERS.PTC1023,
  REGISTERS.PTC1522,
];

/**
 * Which of the six sizes a frame has.
 *
 * @param length Bytes without CRC.
 * @returns 0 to 5.
 */
export function sizeClass(length: number): number {
  if (length <= FRAME.SHORTEST) return 0;
  if (length <= 123) return 1;
  if (length <= 251) return 2;
  if (length <= 507) return 3;
  return length <= 1019 ? 4 : 5;
}
