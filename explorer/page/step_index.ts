/**
 * An index over a recording: the rows of the list, chapters, and where jumps lead.
 *
 * @module
 */

import type { Recording } from "../recording/recording.ts";
import type { Step } from "../recording/step.ts";
import { JUMPS } from "./jumps.ts";

/** A row of the list. `from` is the number of its first step. */
export type Row =
  | { readonly type: "chapter"; readonly from: number; readonly title: string }
  | { readonly type: "step"; readonly from: number; readonly inRun: boolean }
  /** Several alike steps. The steps themselves follow if it is unfolded. */
  | { readonly type: "run"; readonly from: number; readonly to: number; readonly open: boolean };

/** The beginning of a chapter. */
export interface Chapter {
  readonly title: string;
  readonly from: number;
}

/** Alike steps in a row, or a single step. */
export interface Run {
  /** Numbers of the first and the last step. */
  readonly from: number;
  readonly to: number;
  /** Where it begins on the timeline, in units: a step that is not in a long run is one. */
  readonly unit: number;
}

/** The fewest steps that are folded. */
const LEAST_RUN = 4;

/** What steps have in common that are folded; undefined for steps that never are. */
function alike(step: Step): string | undefined {
  const { kind, port, register, descriptor, chapter } = step;
  if (register !== undefined) return `${kind} ${port} ${register.name} ${chapter}`;
  if (kind !== "arm" || descriptor?.ring !== "rx") return undefined;
  return `arm ${port} ${descriptor.queue} ${chapter}`;
}

/** The index of one recording. */
export class StepIndex {
  readonly #recording: Recording;
  #runs: { from: number; to: number; unit: number }[] = [];
  #chapters: Chapter[] = [];
  #jumps: number[][] = JUMPS.map(() => []);
  /** Steps of each frame. */
  readonly #frames = new Map<number, number[]>();
  readonly #unfolded = new Set<number>();
  #rows: Row[] | undefined;
  #first = 0;
  #end = 0;
  #key: string | undefined;
  #chapter = "";

  /** Creates the index. {@linkcode StepIndex.prototype.update} fills it. */
  constructor(recording: Recording) {
    this.#recording = recording;
  }

  /** Takes steps into the index that the recording has got, and lets go of those that are gone. */
  update(): void {
    const { first, end } = this.#recording;
    if (first !== this.#first) this.#drop(first);
    if (end === this.#end) return;
    for (let i = Math.max(this.#end, first); i < end; i++) this.#append(i, this.#recording.at(i)!);
    this.#end = end;
    this.#rows = undefined;
  }

  /** All steps, as runs, in order. */
  get runs(): readonly Run[] {
    return this.#runs;
  }

  /** Length of the timeline, in units. */
  get units(): number {
    const last = this.#runs.at(-1);
    return last === undefined ? 0 : last.unit + unitsOf(last);
  }

  /** Returns where a step begins on the timeline, in units. */
  unitOf(step: number): number {
    const run = this.#runs[Math.max(0, lastAtMost(this.#runs, step, ({ from }) => from))];
    return run === undefined ? 0 : run.unit + (step - run.from) * unitsOf(run) / lengthOf(run);
  }

  /** Returns the step at a place on the timeline. */
  stepAt(unit: number): number {
    const run = this.#runs[Math.max(0, lastAtMost(this.#runs, unit, (run) => run.unit))];
    if (run === undefined) return -1;
    const step = run.from + Math.floor((unit - run.unit) * lengthOf(run) / unitsOf(run));
    return Math.max(run.from, Math.min(step, run.to));
  }

  /** The beginnings of chapters, in order. */
  get chapters(): readonly Chapter[] {
    return this.#chapters;
  }

  /** Steps that a jump leads to, in order. `jump` is an index into {@linkcode JUMPS}. */
  jumpsTo(jump: number): readonly number[] {
    return this.#jumps[jump];
  }

  /** Steps of a frame, in order. */
  stepsOf(frame: number): readonly number[] {
    return this.#frames.get(frame) ?? [];
  }

  /** The rows of the list, as runs are folded and unfolded. */
  get rows(): readonly Row[] {
    return this.#rows ??= this.#makeRows();
  }

  /** Unfolds a run, or folds it. */
  toggle(from: number): void {
    if (!this.#unfolded.delete(from)) this.#unfolded.add(from);
    this.#rows = undefined;
  }

  /** Returns the index of the row that shows a step; -1 if there is none. */
  rowOf(step: number): number {
    return lastAtMost(this.rows, step, (row) => row.from);
  }

  #append(number: number, step: Step): void {
    const key = alike(step);
    const title = step.chapter === undefined ? "" : `${step.chapter} · port ${step.port}`;
    const begins = title !== "" && title !== this.#chapter;
    if (begins) this.#chapters.push({ title, from: number });
    if (key !== undefined && key === this.#key && !begins) this.#runs.at(-1)!.to = number;
    else this.#runs.push({ from: number, to: number, unit: this.units });
    this.#key = key;
    if (title !== "") this.#chapter = title;
    if (step.frame !== undefined) {
      const steps = this.#frames.get(step.frame);
      if (steps === undefined) this.#frames.set(step.frame, [number]);
      else steps.push(number);
    }
    JUMPS.forEach((jump, i) => jump.matches(step) && this.#jumps[i].push(number));
  }

  #drop(first: number): void {
    this.#first = first;
    this.#runs = this.#runs.filter(({ to }) => to >= first);
    if (this.#runs.length > 0) this.#runs[0].from = Math.max(first, this.#runs[0].from);
    const before = this.#runs[0]?.unit ?? 0;
    for (const run of this.#runs) run.unit -= before;
    this.#chapters = this.#chapters.filter(({ from }) => from >= first);
    this.#jumps = this.#jumps.map((steps) => steps.filter((step) => step >= first));
    for (const [frame, steps] of this.#frames) {
      const kept = steps.filter((step) => step >= first);
      if (kept.length > 0) this.#frames.set(frame, kept);
      else this.#frames.delete(frame);
    }
    this.#rows = undefined;
  }

  #makeRows(): Row[] {
    const rows: Row[] = [];
    let chapter = 0;
    for (const { from, to } of this.#runs) {
      if (this.#chapters[chapter]?.from === from) {
        rows.push({ type: "chapter", from, title: this.#chapters[chapter++].title });
      }
      const folds = to - from >= LEAST_RUN - 1;
      const open = !folds || this.#unfolded.has(from);
      if (folds) rows.push({ type: "run", from, to, open });
      if (open) {
        for (let i = from; i <= to; i++) rows.push({ type: "step", from: i, inRun: folds });
      }
    }
    return rows;
  }
}

/** Number of steps of a run. */
export function lengthOf({ from, to }: Run): number {
  return to - from + 1;
}

/** Length of a run on the timeline, in units: long runs are cut, so that they leave room for others. */
export function unitsOf(run: Run): number {
  return Math.min(lengthOf(run), LEAST_RUN);
}

/** Returns the index of the last element, in ascending order of `value`, whose value is `most` or less. */
export function lastAtMost<T>(
  list: readonly T[],
  most: number,
  value: (element: T) => number,
): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value(list[middle]) <= most) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
