/**
 * The rows of the table of registers: which registers it shows, with their values and how often they
 * were accessed.
 *
 * @module
 */

import { REGISTERS } from "../../../../ixgbe/registers.ts";
import { offsetOf, type Register } from "../../../../src/registers.ts";
import { registerSection } from "../../../recording/layout.ts";
import type { RecordingIndex } from "../recording_index.ts";
import { cellsOf, changedCells, type Scene } from "../scene.ts";

/** A copy of a register at a step. */
export interface RegisterCopy {
  readonly index: number;
  readonly value: number;
  readonly reads: number;
  readonly writes: number;
  /** Whether the current step changes or accesses it. */
  readonly isCurrent: boolean;
}

/** A register with those of its copies that differ from their value after reset or were accessed. */
export interface RegisterRow {
  readonly register: Register;
  readonly copies: readonly RegisterCopy[];
  /** Sums over all copies. */
  readonly reads: number;
  readonly writes: number;
}

/** All registers, with the cell of each copy in a port's section, and what a search looks at. */
const ALL = Object.values(REGISTERS as Readonly<Record<string, Register>>).map((register) => ({
  register,
  cells: Uint32Array.from({ length: register.count }, (_, i) => offsetOf(register, i) >>> 2),
  text: textOf(register),
}));

/**
 * Returns the rows of a port, in the datasheet's order.
 *
 * @param search Words that name, meaning or section must contain. Without one, registers that were
 * neither accessed nor differ from their value after reset are left out; with one, they are shown.
 */
export function registerRows(
  scene: Scene,
  index: RecordingIndex,
  position: number,
  port: number,
  search: string,
): RegisterRow[] {
  const values = cellsOf(scene, registerSection(port));
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const current = currentCells(scene, port), rows: RegisterRow[] = [];
  for (const { register, cells, text } of ALL) {
    if (!words.every((word) => text.includes(word))) continue;
    const copies = copiesOf(register, cells, values, index.accessed(port, register.name, position))
      .map((i): RegisterCopy => {
        const { reads, writes } = index.counts(port, register.name, i, position);
        return {
          index: i,
          value: values[cells[i]],
          reads,
          writes,
          isCurrent: current.has(cells[i]),
        };
      });
    if (copies.length === 0 && words.length === 0) continue;
    const sum = (of: "reads" | "writes") => copies.reduce((n, copy) => n + copy[of], 0);
    rows.push({ register, copies, reads: sum("reads"), writes: sum("writes") });
  }
  return rows;
}

/** Returns the copies that differ from their value after reset, or were accessed, in order. */
function copiesOf(
  register: Register,
  cells: Uint32Array,
  values: Uint32Array,
  accessed: readonly number[],
): number[] {
  const copies = new Set(accessed), reset = register.reset >>> 0;
  for (let i = 0; i < cells.length; i++) if (values[cells[i]] !== reset) copies.add(i);
  return [...copies].sort((a, b) => a - b);
}

/** Returns the cells of a port's registers that the current step changes or accesses. */
function currentCells(scene: Scene, port: number): Set<number> {
  const cells = changedCells(scene, registerSection(port)), { step } = scene;
  if (step?.port === port && step.register !== undefined) cells.add(step.register.offset >>> 2);
  return cells;
}

/** Returns what a search looks at, in small letters. */
function textOf({ name, section, meaning, fields }: Register): string {
  return `${name} ${section} ${meaning} ${Object.keys(fields).join(" ")}`.toLowerCase();
}
