/**
 * What a fuzzer is: a target makes cases from seeds, runs them, and makes a failing case smaller.
 *
 * A case is plain data that JSON holds, so that it can be stored in the corpus and replayed. There
 * are two kinds. {@linkcode operations} makes lists of operations with a generator of its own, for
 * targets where speed matters; it shrinks a list by leaving out operations. {@linkcode values} takes
 * an arbitrary of fast-check, which also shrinks.
 *
 * @module
 */

import fc from "fast-check";
import { Random } from "./random.ts";

/** Plain data. */
export type Json = string | number | boolean | null | readonly Json[] | {
  readonly [name: string]: Json;
};

/** What an attempt did. */
export interface Attempt {
  readonly cases: number;
  /** What the target counts: operations, messages, frames, command lines. */
  readonly iterations: number;
  readonly finding?: Finding;
}

/** A case that fails, as small as it could be made. */
export interface Finding {
  readonly case: Json;
  readonly error: string;
}

/** A target that is ready to run. */
export interface Fuzzer extends AsyncDisposable {
  /** Makes the cases of a seed and runs them until one fails. */
  attempt(seed: number): Promise<Attempt>;
  /**
   * Runs a case of the corpus.
   *
   * @throws {Error} if the case fails.
   */
  replay(one: Json): Promise<void>;
  /** Returns the case of a seed, if each seed has one. */
  generate?(seed: number): Sequence<Json>;
}

/** A fuzzer and its name. */
export interface Target {
  readonly name: string;
  /** What it attacks, and what must hold. */
  readonly about: string;
  /** Attempts in an ordinary test run. */
  readonly attempts: number;
  /** Makes it ready. */
  open(): Fuzzer | Promise<Fuzzer>;
}

/** A list of operations, and what they begin with. */
export interface Sequence<Setup extends Json> {
  readonly setup: Setup;
  /** Operations, each a few numbers. Every part of the list must be a valid list. */
  readonly operations: readonly (readonly number[])[];
}

/** What a target with operations supplies. */
export interface Operator<Setup extends Json> {
  generate(random: Random): Sequence<Setup>;
  /**
   * Runs a case; returns the iterations, or nothing for one an operation.
   *
   * @throws {Error} for whatever is not expected.
   */
  run(one: Sequence<Setup>): number | void | Promise<number | void>;
  /** How often to run a smaller case until it counts as passed: several if threads race. */
  readonly tries?: number;
  close?(): void | Promise<void>;
}

/** Limits of shrinking. */
const MAX_RUNS = 5000, MAX_MS = 60_000;

/** Makes a fuzzer of operations. */
export function operations<Setup extends Json>(operator: Operator<Setup>): Fuzzer {
  const { tries = 1 } = operator;
  const errorOf = async (one: Sequence<Setup>): Promise<unknown> => {
    for (let i = 0; i < tries; i++) {
      try {
        await operator.run(one);
      } catch (error) {
        return error;
      }
    }
    return undefined;
  };
  return {
    async attempt(seed) {
      const one = operator.generate(new Random(seed));
      try {
        const iterations = await operator.run(one) ?? one.operations.length;
        return { cases: 1, iterations };
      } catch (error) {
        const small = await smaller(one, async (part) => await errorOf(part) !== undefined);
        const shown = await errorOf(small) ?? error;
        return {
          cases: 1,
          iterations: one.operations.length,
          finding: { case: small as unknown as Json, error: textOf(shown) },
        };
      }
    },
    async replay(one) {
      const error = await errorOf(one as unknown as Sequence<Setup>);
      if (error !== undefined) throw error;
    },
    generate: (seed) => operator.generate(new Random(seed)),
    [Symbol.asyncDispose]: async () => await operator.close?.(),
  };
}

/**
 * Leaves out operations, then makes their numbers smaller, as long as the case fails.
 *
 * @param milliseconds When to stop.
 */
export async function smaller<Setup extends Json>(
  one: Sequence<Setup>,
  fails: (part: Sequence<Setup>) => Promise<boolean>,
  milliseconds = MAX_MS,
): Promise<Sequence<Setup>> {
  const { setup } = one, until = performance.now() + milliseconds;
  let list = [...one.operations], runs = 0;
  const still = async (part: (readonly number[])[]) => {
    if (runs++ > MAX_RUNS || performance.now() > until) return false;
    if (!await fails({ setup, operations: part })) return false;
    list = part;
    return true;
  };
  for (let size = list.length >> 1; size >= 1; size = size > 1 ? size >> 1 : 0) {
    for (let again = true; again;) {
      again = false;
      for (let at = 0; at < list.length;) {
        if (await still(list.toSpliced(at, size))) again = size === 1;
        else at += size;
      }
    }
  }
  for (let i = 0; i < list.length; i++) {
    for (let k = 1; k < list[i].length; k++) {
      for (let value = list[i][k]; value > 0;) {
        const next = [0, value >>> 1, value - 1].filter((n) => n < value);
        let found = false;
        for (const n of next) {
          found = await still(list.with(i, list[i].with(k, n)));
          if (found) break;
        }
        if (!found) break;
        value = list[i][k];
      }
    }
  }
  return { setup, operations: list };
}

/** Cases that one attempt takes from an arbitrary: fast-check varies sizes among them. */
const RUNS = 100;

/** What a target with an arbitrary supplies. */
export interface Property<Case extends Json> {
  readonly arbitrary: fc.Arbitrary<Case>;
  /**
   * Runs a case; returns the iterations, or nothing for one.
   *
   * @throws {Error} for whatever is not expected.
   */
  run(one: Case): number | void | Promise<number | void>;
  /** Cases of an attempt (default: 100). */
  readonly runs?: number;
  close?(): void | Promise<void>;
}

/** Makes a fuzzer of an arbitrary. */
export function values<Case extends Json>(property: Property<Case>): Fuzzer {
  return {
    async attempt(seed) {
      let iterations = 0, cases = 0;
      const tried = fc.asyncProperty(property.arbitrary, async (one) => {
        iterations += await property.run(one) ?? 1;
        cases++;
      });
      const { failed, counterexample, errorInstance } = await fc.check(tried, {
        seed: seed | 0,
        numRuns: property.runs ?? RUNS,
        interruptAfterTimeLimit: MAX_MS,
      });
      if (!failed || counterexample === null) return { cases, iterations };
      return {
        ...{ cases, iterations },
        finding: { case: counterexample[0], error: textOf(errorInstance) },
      };
    },
    async replay(one) {
      await property.run(one as Case);
    },
    [Symbol.asyncDispose]: async () => await property.close?.(),
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.stack ?? `${error}` : `${error}`;
}

/** Throws an error unless a condition holds. */
export function holds(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}
