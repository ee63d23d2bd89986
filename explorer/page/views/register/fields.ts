/**
 * The fields of a register's value, as the register table divides it.
 *
 * @module
 */

import { REGISTERS } from "../../../../ixgbe/registers.ts";
import { hex, type Register } from "../../../../src/registers.ts";
import { valueOf } from "../descriptor/decode.ts";

/** A field with its values before and after a step. */
interface FieldValue {
  readonly name: string;
  /** Its bits in the register. */
  readonly mask: number;
  readonly old: string;
  readonly value: string;
  readonly changed: boolean;
}

/** Returns the register of the table by its name; undefined if the table has none. */
export function registerNamed(name: string): Register | undefined {
  return (REGISTERS as Readonly<Record<string, Register>>)[name];
}

/**
 * Returns the fields of a register, from bit 31 down. Bits that belong to no field come last, as one
 * field, if one of them is 1.
 */
export function fieldsOf(register: Register, old: number, value: number): readonly FieldValue[] {
  const { fields, named } = divide(register);
  const rows = fields.map(([name, mask]): FieldValue => {
    const text = (word: number) => {
      const bits = (word & mask) >>> 0, number = valueOf(mask, word);
      const known = named.get(name)?.find(([, value]) => value === bits);
      return known === undefined ? `${number}` : `${number}, ${known[0]}`;
    };
    return {
      name,
      mask,
      old: text(old),
      value: text(value),
      changed: ((old ^ value) & mask) !== 0,
    };
  });
  const rest = fields.reduce((bits, [, mask]) => bits & ~mask, -1) >>> 0;
  if (((old | value) & rest) === 0) return rows;
  const name = fields.length === 0 ? "value" : "other bits";
  const changed = ((old ^ value) & rest) !== 0;
  const text = (word: number) => hex(word & rest);
  return [...rows, { name, mask: rest, old: text(old), value: text(value), changed }];
}

type Named = readonly [name: string, mask: number];

/**
 * Divides the masks of a register into fields, and names for values of a field: `LMS_10G_SERIAL` is a
 * value of `LMS`, since its bits are among those of `LMS`.
 */
function divide(register: Register): { fields: readonly Named[]; named: Map<string, Named[]> } {
  const masks = Object.entries(register.fields);
  const fields: Named[] = [], named = new Map<string, Named[]>();
  for (const [name, mask] of masks) {
    const field = masks.find(([of, bits]) =>
      of !== name && name.startsWith(`${of}_`) && (mask & ~bits) === 0
    );
    if (field === undefined) fields.push([name, mask]);
    else named.set(field[0], [...named.get(field[0]) ?? [], [name, mask]]);
  }
  fields.sort(([, a], [, b]) => b - a);
  return { fields, named };
}

/** Returns the bits of a mask as the datasheet writes them: `31:16` or `7`. */
export function bitRange(mask: number): string {
  const high = 31 - Math.clz32(mask), low = 31 - Math.clz32(mask & -mask);
  const isRun = (mask >>> low) + 1 === 2 ** (high - low + 1);
  if (!isRun) return hex(mask);
  return high === low ? `${high}` : `${high}:${low}`;
}
