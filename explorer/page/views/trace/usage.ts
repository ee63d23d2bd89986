/**
 * How a driver uses registers: how often it reads and writes each, and in which order it writes them for
 * the first time. Two drivers can be compared by it.
 *
 * @module
 */

import type { Step } from "../../../recording/step.ts";

/** How a driver uses a register, or all copies of it. */
export interface Usage {
  readonly name: string;
  readonly reads: number;
  readonly writes: number;
  /** Number of the step that accesses it first. */
  readonly first: number;
  /** Its place in the order of first writes, from 1, and the number of that step; undefined without one. */
  readonly firstWrite: { readonly place: number; readonly step: number } | undefined;
  /** The first values that it writes, each once for each copy of the register. */
  readonly written: readonly Written[];
  /** Why it writes the register first, or reads it if it never writes it; if the recording says so. */
  readonly why: string | undefined;
}

/** A value that is written to a register. */
export interface Written {
  readonly index: number;
  readonly value: number;
}

/** The most values of a register that are kept: a tail is written with each batch. */
const MOST_VALUES = 8;

/** A register that one of two drivers uses, or both. */
export interface Comparison {
  readonly name: string;
  readonly theirs: Usage | undefined;
  readonly ours: Usage | undefined;
}

/**
 * Returns how steps use the registers of a port, in the order of first accesses.
 *
 * @param from Number of the first step.
 */
export function usageOf(steps: Iterable<Step>, port: number, from = 0): Usage[] {
  const usages = new Map<string, Usage>();
  let number = from - 1, writtenRegisters = 0;
  for (const { kind, port: at, register, why, times = 1 } of steps) {
    number++;
    if (register === undefined || at !== port) continue;
    const { name } = register, isWrite = kind === "write";
    const usage = usages.get(name) ??
      { name, reads: 0, writes: 0, first: number, firstWrite: undefined, written: [], why };
    const isFirstWrite = isWrite && usage.firstWrite === undefined;
    usages.set(name, {
      ...usage,
      reads: usage.reads + (isWrite ? 0 : times),
      writes: usage.writes + (isWrite ? times : 0),
      firstWrite: isFirstWrite ? { place: ++writtenRegisters, step: number } : usage.firstWrite,
      written: isWrite ? withValue(usage.written, register) : usage.written,
      why: isFirstWrite ? why : usage.why,
    });
  }
  return [...usages.values()];
}

/** Returns values with one more, if it is new and there is room. */
function withValue(written: readonly Written[], { index, value }: Written): readonly Written[] {
  const known = written.some((other) => other.index === index && other.value === value);
  return known || written.length >= MOST_VALUES ? written : [...written, { index, value }];
}

/**
 * Puts two drivers' uses side by side: in the order of theirs, each register that only we use after the one
 * that we access before it.
 */
export function compare(theirs: readonly Usage[], ours: readonly Usage[]): Comparison[] {
  const own = new Map(ours.map((usage) => [usage.name, usage]));
  const rows = theirs.map((usage): Comparison => ({
    name: usage.name,
    theirs: usage,
    ours: own.get(usage.name),
  }));
  let after = -1;
  for (const usage of ours) {
    const at = rows.findIndex(({ name }) => name === usage.name);
    if (at >= 0) {
      after = at;
    } else {
      rows.splice(++after, 0, { name: usage.name, theirs: undefined, ours: usage });
    }
  }
  return rows;
}
