/**
 * An index over a recording: the rows of the list, chapters, and where jumps lead.
 *
 * @module
 */

import type { Recording } from "../recording/recording.ts";
import type { Step } from "../recording/step.ts";
import { JUMPS } from "./jumps.ts";
import { lengthOf, type Run, Runs } from "./runs.ts";

/** A row of the list. `from` is the number of its first step. */
export type Row =
  | { readonly type: "chapter"; readonly from: number; readonly title: string }
  | { readonly type: "step"; readonly from: number; readonly inRun: boolean }
  /** The steps themselves follow if it is unfolded. */
  | { readonly type: "run"; readonly from: number; readonly run: Run; readonly open: boolean };

/** The beginning of a chapter. */
export interface Chapter {
  readonly title: string;
  readonly from: number;
}

/** The index of one recording. */
export class StepIndex {
  readonly #recording: Recording;
  readonly #runs = new Runs();
  #chapters: Chapter[] = [];
  #jumps: number[][] = JUMPS.map(() => []);
  /** Steps of each frame. */
  readonly #frames = new Map<number, number[]>();
  readonly #unfolded = new Set<number>();
  #rows: Row[] | undefined;
  #first = 0;
  #end = 0;
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
    return this.#runs.all;
  }

  /** Length of the timeline, in units. */
  get units(): number {
    return this.#runs.units;
  }

  /** Returns where a step begins on the timeline, in units. */
  unitOf(step: number): number {
    const run = this.runs[Math.max(0, lastAtMost(this.runs, step, ({ from }) => from))];
    return run === undefined ? 0 : run.unit + (step - run.from) * run.units / lengthOf(run);
  }

  /** Returns the step at a place on the timeline. */
  stepAt(unit: number): number {
    const run = this.runs[Math.max(0, lastAtMost(this.runs, unit, (run) => run.unit))];
    if (run === undefined) return -1;
    const step = run.from + Math.floor((unit - run.unit) * lengthOf(run) / run.units);
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

  /** Unfolds a run, or folds it. `from` is its first step. */
  toggle(from: number): void {
    if (!this.#unfolded.delete(from)) this.#unfolded.add(from);
    this.#rows = undefined;
  }

  /** Returns the index of the row that shows a step; -1 if there is none. */
  rowOf(step: number): number {
    return lastAtMost(this.rows, step, (row) => row.from);
  }

  #append(number: number, step: Step): void {
    const title = this.#chapterOf(step);
    const begins = title !== this.#chapter;
    if (begins) {
      this.#chapters.push({ title, from: number });
      this.#chapter = title;
    }
    this.#runs.append(number, step, begins);
    if (step.frame !== undefined) {
      const steps = this.#frames.get(step.frame);
      if (steps === undefined) this.#frames.set(step.frame, [number]);
      else steps.push(number);
    }
    JUMPS.forEach((jump, i) => jump.matches(step) && this.#jumps[i].push(number));
  }

  /** What the program did not call for has no chapter of the recorder: the device does it by itself. */
  #chapterOf({ chapter, port }: Step): string {
    if (chapter === undefined && this.#chapter === "") return "";
    return `${chapter ?? "the device"} · port ${port}`;
  }

  #drop(first: number): void {
    this.#first = first;
    this.#runs.drop(first);
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
    for (const run of this.runs) {
      const { from, to, period } = run;
      if (this.#chapters[chapter]?.from === from) {
        rows.push({ type: "chapter", from, title: this.#chapters[chapter++].title });
      }
      const inRun = period > 0;
      const open = !inRun || this.#unfolded.has(from);
      if (inRun) rows.push({ type: "run", from, run, open });
      if (open) { for (let i = from; i <= to; i++) rows.push({ type: "step", from: i, inRun }); }
    }
    return rows;
  }
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
