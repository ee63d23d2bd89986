/**
 * Values of a descriptor's bits.
 *
 * @module
 */

import type { Bits, Format } from "./formats.ts";

/** Bits of a descriptor with their values before and after a step, as text. */
export interface Decoded {
  readonly bits: Bits;
  readonly old: string;
  readonly value: string;
  /** Whether the step changes them. */
  readonly changed: boolean;
  /** Whether it is a flag: a single bit. */
  readonly isFlag: boolean;
  /** For a flag: whether it is 1 after the step. */
  readonly isSet: boolean;
}

/**
 * Returns the bits of a format, each with its value before and after a step.
 *
 * @param old The four words before the step.
 * @param words The four words after it.
 */
export function decode(
  format: Format,
  old: ArrayLike<number>,
  words: ArrayLike<number>,
): readonly Decoded[] {
  return format.bits.map((bits) => {
    const before = textOf(bits, old), value = textOf(bits, words);
    const isFlag = !bits.isAddress && (bits.mask & (bits.mask - 1)) === 0;
    const isSet = isFlag && (words[bits.word] & bits.mask) !== 0;
    return { bits, old: before, value, changed: before !== value, isFlag, isSet };
  });
}

/** Returns the value of some bits, in the lowest bits of a number. */
export function valueOf(mask: number, word: number): number {
  return mask === 0 ? 0 : ((word & mask) >>> 0) / ((mask & -mask) >>> 0);
}

function textOf(bits: Bits, words: ArrayLike<number>): string {
  const word = words[bits.word];
  if (bits.isAddress) {
    const number = BigInt(words[bits.word + 1]) << 32n | BigInt(word >>> 0);
    return `0x${number.toString(16)}`;
  }
  const value = valueOf(bits.mask, word), name = bits.values?.[value];
  if (bits.isHex) return `0x${value.toString(16).padStart(8, "0")}`;
  return name === undefined ? `${value}` : `${value}, ${name}`;
}
