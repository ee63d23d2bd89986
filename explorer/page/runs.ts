/**
 * Runs: register accesses that repeat, as when a table is filled. The list shows a run as one row.
 *
 * @module
 */

import type { Step } from "../recording/step.ts";

/** Steps that repeat, or a single step. */
export interface Run {
  /** Numbers of the first and the last step. */
  readonly from: number;
  readonly to: number;
  /** After how many steps it repeats; 0 for a single step. */
  readonly period: number;
  /** Where it begins on the timeline, and its length there, in units. */
  readonly unit: number;
  readonly units: number;
}

/** The longest period that is looked for. */
const MOST_PERIOD = 4;
/** The fewest steps of a run, and the fewest repetitions. */
const LEAST_STEPS = 4, LEAST_TIMES = 3;
/**
 * Lengths on the timeline, in units: of a register access, of a run, and of any other step. An
 * initialisation has thousands of accesses, and leaves room for the frames' way.
 */
const ACCESS_UNITS = 1, RUN_UNITS = 4, STEP_UNITS = 3;

/** Number of steps of a run. */
export function lengthOf({ from, to }: Run): number {
  return to - from + 1;
}

/** What steps have in common that repeat; undefined for steps that are in no run. */
function keyOf({ kind, port, register }: Step): string | undefined {
  return register && `${kind} ${port} ${register.name}`;
}

/** Finds runs in steps as they come. */
export class Runs {
  #runs: { from: number; to: number; period: number; unit: number; units: number }[] = [];
  /** Keys of the last steps, newest last, as far as they may belong to one run. */
  #keys: string[] = [];

  /** All runs, in order; each step is in one. */
  get all(): readonly Run[] {
    return this.#runs;
  }

  /** Length of all runs on the timeline, in units. */
  get units(): number {
    const last = this.#runs.at(-1);
    return last === undefined ? 0 : last.unit + last.units;
  }

  /**
   * Appends a step.
   *
   * @param begins Whether it begins a chapter: no run goes on over that.
   */
  append(number: number, step: Step, begins: boolean): void {
    const key = keyOf(step);
    const keys = this.#keys;
    const last = this.#runs.at(-1);
    if (begins) keys.length = 0;
    if (
      key !== undefined && last !== undefined && last.period > 0 && keys.at(-last.period) === key
    ) {
      last.to = number;
      keys.push(key);
      keys.shift();
      return;
    }
    if (last !== undefined && last.period > 0 || key === undefined) keys.length = 0;
    const units = key === undefined ? STEP_UNITS : ACCESS_UNITS;
    this.#runs.push({ from: number, to: number, period: 0, unit: this.units, units });
    if (key === undefined) return;
    keys.push(key);
    if (keys.length > MOST_PERIOD * LEAST_TIMES) keys.shift();
    for (let period = 1; period <= MOST_PERIOD; period++) {
      if (this.#repeats(period)) return this.#join(period);
    }
  }

  /** Lets go of steps before `first`. */
  drop(first: number): void {
    this.#runs = this.#runs.filter(({ to }) => to >= first);
    if (this.#runs.length === 0) return;
    const [oldest] = this.#runs;
    oldest.from = Math.max(first, oldest.from);
    const before = oldest.unit;
    for (const run of this.#runs) run.unit -= before;
  }

  /** Returns whether the last steps, which are single ones, repeat. */
  #repeats(period: number): boolean {
    const keys = this.#keys;
    const length = Math.max(LEAST_STEPS, LEAST_TIMES * period);
    if (keys.length < length) return false;
    for (let i = keys.length - 1; i >= keys.length - length + period; i--) {
      if (keys[i] !== keys[i - period]) return false;
    }
    return true;
  }

  /** Makes the last steps one run. */
  #join(period: number): void {
    const length = Math.max(LEAST_STEPS, LEAST_TIMES * period);
    const { to } = this.#runs.at(-1)!;
    const [{ from, unit }] = this.#runs.splice(-length);
    this.#runs.push({ from, to, period, unit, units: RUN_UNITS });
    this.#keys = this.#keys.slice(-period);
  }
}
