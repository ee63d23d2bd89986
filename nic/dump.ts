/**
 * Dumps a register map: reads the registers that reading does not change, and formats them with the
 * names of their table. Independent of the device: the caller says which registers reading changes.
 *
 * @module
 */

import type { Bar } from "../src/pci/function.ts";
import { UsageError } from "../src/errors.ts";
import { hex, nameOf, offsetOf, type Register } from "../src/registers.ts";

/** Which registers to skip. */
export interface Reading {
  /** Returns how reading the register changes the device, or undefined if it does not. */
  readonly changes: (register: Register) => string | undefined;
  /** Returns why the register must never be read, or undefined if it may be. */
  readonly never: (register: Register) => string | undefined;
  /** Whether to read registers that reading changes. */
  readonly all: boolean;
}

/** The value of a register. */
export interface RegisterValue {
  /** Its name: `LINKS`, `RDT[3]`. */
  readonly name: string;
  /** Its offset in BAR 0, in bytes. */
  readonly offset: number;
  /** Its value. */
  readonly value: number;
  /** Its fields, shifted to bit 0. */
  readonly fields: Readonly<Record<string, number>>;
}

/** A register that was not read. */
export interface Skipped {
  /** Its name, without an index. */
  readonly name: string;
  /** Why it was not read. */
  readonly reason: string;
}

/** Registers that were read, and those that were skipped. */
export interface Dump {
  /** All registers that were read, each index of an array on its own, in the table's order. */
  readonly registers: readonly RegisterValue[];
  /** Registers that were skipped. */
  readonly skipped: readonly Skipped[];
}

/**
 * Returns the registers of a table with these names; all if there are no names.
 *
 * @throws {UsageError} if the table lacks a name.
 */
export function select(
  table: Readonly<Record<string, Register>>,
  names: readonly string[],
): Register[] {
  if (names.length === 0) return Object.values(table);
  return names.map((name) => {
    if (Object.hasOwn(table, name.toUpperCase())) return table[name.toUpperCase()];
    throw new UsageError(
      `"${name}" is not a register: use a name of the datasheet, such as LINKS or RDT`,
    );
  });
}

/** Reads registers. */
export function dump(bar: Bar, registers: readonly Register[], reading: Reading): Dump {
  const values: RegisterValue[] = [], skipped: Skipped[] = [];
  for (const register of registers) {
    const changes = reading.all ? undefined : reading.changes(register);
    const reason = reading.never(register) ?? changes;
    if (reason !== undefined) {
      skipped.push({ name: register.name, reason });
      continue;
    }
    for (let index = 0; index < register.count; index++) {
      const offset = offsetOf(register, index);
      const value = bar.read(offset, 4) >>> 0;
      values.push({
        name: nameOf(register, index),
        offset,
        value,
        fields: fields(register, value),
      });
    }
  }
  return { registers: values, skipped };
}

/** Returns the fields of a value, shifted to bit 0. */
function fields(register: Register, value: number): Record<string, number> {
  return Object.fromEntries(
    Object.entries(register.fields).map(([name, mask]) => {
      const shift = 31 - Math.clz32(mask & -mask);
      return [name, ((value & mask) >>> 0) / 2 ** shift];
    }),
  );
}

/**
 * Formats registers as lines of text: offset, name, value, fields that are not 0. Equal values of
 * adjacent indices share a line.
 */
export function* format({ registers }: Dump, table: readonly Register[]): Generator<string> {
  const byName = new Map(table.map((register) => [register.name, register]));
  for (let i = 0; i < registers.length;) {
    const { name, offset, value } = registers[i];
    const base = name.split("[")[0];
    let end = i + 1;
    while (
      end < registers.length && registers[end].name.startsWith(`${base}[`) &&
      registers[end].value === value
    ) end++;
    const last = registers[end - 1].name;
    const shown = end - i === 1 ? name : `${name.slice(0, -1)}..${last.slice(base.length + 1)}`;
    const register = byName.get(base)!;
    const set = Object.entries(registers[i].fields).filter(([, bits]) => bits !== 0)
      .map(([field, bits]) => isFlag(register, field) ? field : `${field}=${bits}`).join(" ");
    yield `${offset.toString(16).padStart(5, "0")}  ${shown.padEnd(18)} ${hex(value)}  ` +
      `${register.meaning}${set === "" ? "" : `: ${set}`}`;
    i = end;
  }
}

function isFlag(register: Register, field: string): boolean {
  const mask = register.fields[field];
  return (mask & (mask - 1)) === 0;
}
