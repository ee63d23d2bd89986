/**
 * Dumps a register map: reads what can be read without a change in the device, and shows each register
 * by the names of its table. Knows no device: which registers change by being read, it is told.
 *
 * @module
 */

import type { Bar } from "../src/pci/function.ts";
import { UsageError } from "../src/errors.ts";
import { hex, nameOf, offsetOf, type Register } from "../src/registers.ts";

/** Registers that are left alone. */
export interface Reading {
  /** Why reading the register changes the device, or undefined if it does not. */
  readonly changes: (register: Register) => string | undefined;
  /** Why the register is never read, or undefined if it may be. */
  readonly never: (register: Register) => string | undefined;
  /** Whether to read those that change by it. */
  readonly all: boolean;
}

/** A register's copy as it was read. */
export interface RegisterValue {
  /** Its name: `LINKS`, `RDT[3]`. */
  readonly name: string;
  /** Its offset in BAR 0, in bytes. */
  readonly offset: number;
  /** What it reads. */
  readonly value: number;
  /** Its fields, shifted to bit 0. */
  readonly fields: Readonly<Record<string, number>>;
}

/** Registers that were not read. */
export interface Skipped {
  /** Their name, without an index. */
  readonly name: string;
  /** Why. */
  readonly reason: string;
}

/** What was read, and what was not. */
export interface Dump {
  /** Every copy of every register that was read, in the table's order. */
  readonly registers: readonly RegisterValue[];
  /** Registers that were left alone. */
  readonly skipped: readonly Skipped[];
}

/**
 * The registers of a table that have these names; all of them if there is no name.
 *
 * @throws {UsageError} if the table has no such register.
 */
export function select(
  table: Readonly<Record<string, Register>>,
  names: readonly string[],
): Register[] {
  if (names.length === 0) return Object.values(table);
  return names.map((name) => {
    if (Object.hasOwn(table, name.toUpperCase())) return table[name.toUpperCase()];
    throw new UsageError(
      `"${name}" is no register: names are the datasheet's, such as LINKS or RDT`,
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

/** The fields of a value, shifted to bit 0. */
function fields(register: Register, value: number): Record<string, number> {
  return Object.fromEntries(
    Object.entries(register.fields).map(([name, mask]) => {
      const shift = 31 - Math.clz32(mask & -mask);
      return [name, ((value & mask) >>> 0) / 2 ** shift];
    }),
  );
}

/** Lines for people: offset, name, value, fields that are not 0; equal copies in a row as one. */
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
