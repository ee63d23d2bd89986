/**
 * The journal: state of driver and devices in cells, and the steps that change them.
 *
 * @module
 */

import type { Layout } from "../recording/layout.ts";
import type { Step } from "../recording/step.ts";

/** A step as a recorder describes it; the journal adds what changed. */
export type Entry = Omit<Step, "changes" | "times" | "chapter">;

/** What most steps change. They share it, also in a message: 200,000 arrays of their own would take much memory. */
const NOTHING = new Uint32Array(0);

/** Writes steps in order. Set the cells that a step changes, then add the step. */
export class Journal {
  readonly layout: Layout;
  /** The state after all steps, and the cells that were set since the last one. */
  readonly state: Uint32Array;
  /** The chapter of the next steps: a part of the initialisation, or the program's call. */
  chapter = "";
  #emit: (step: Step) => void;
  /** Cells that were set since the last step, with their values before. */
  readonly #before = new Map<number, number>();
  #count = 0;
  /** The last step, which is kept here as long as it may be repeated. */
  #last: Step | undefined;

  /**
   * Creates a journal whose cells are 0.
   *
   * @param layout All sections: they must not change afterwards.
   * @param emit Takes each step.
   */
  constructor(layout: Layout, emit: (step: Step) => void) {
    this.layout = layout;
    this.state = new Uint32Array(layout.length);
    this.#emit = emit;
  }

  /** Returns the state as it is now; the next step does not contain what was set until now. */
  begin(): Uint32Array {
    this.#before.clear();
    return this.state.slice();
  }

  /** Sets a cell. The next step contains the change. */
  set(cell: number, value: number): void {
    const old = this.state[cell];
    if (old === value >>> 0) return;
    if (!this.#before.has(cell)) this.#before.set(cell, old);
    this.state[cell] = value;
  }

  /** Number of steps so far. */
  get count(): number {
    return this.#count;
  }

  /** Adds a step with all cells that were set since the last one. */
  add(entry: Entry): void {
    this.flush();
    this.#count++;
    const changes = this.#changes(this.#before);
    this.#before.clear();
    this.#last = { ...entry, ...this.chapter && { chapter: this.chapter }, changes };
  }

  /**
   * Counts the last step once more, if it is the same as what happens now, and changes nothing:
   * `reads RXDCTL[0]` until it changes is one step.
   *
   * @returns Whether it did; if not, add a step.
   */
  repeat(same: (last: Step) => boolean): boolean {
    const last = this.#last;
    if (last === undefined || last.chapter !== (this.chapter || undefined) || !same(last)) {
      return false;
    }
    if (this.#changes(this.#before).length > 0) return false;
    this.#last = { ...last, times: (last.times ?? 1) + 1 };
    return true;
  }

  /**
   * Counts the last step once more with all that was set since, if what happens now goes on with it.
   *
   * @returns Whether it did; if not, add a step.
   */
  extend(goesOn: (last: Step) => boolean): boolean {
    const last = this.#last;
    if (last === undefined || last.chapter !== (this.chapter || undefined) || !goesOn(last)) {
      return false;
    }
    this.amend();
    this.#last = { ...this.#last!, times: (last.times ?? 1) + 1 };
    return true;
  }

  /** Adds the cells that were set since the last step to that step, if it was not emitted yet. */
  amend(): void {
    if (this.#last === undefined || this.#before.size === 0) return;
    const cells = new Map<number, number>();
    const { changes } = this.#last;
    for (let i = 0; i < changes.length; i += 3) cells.set(changes[i], changes[i + 1]);
    for (const [cell, old] of this.#before) if (!cells.has(cell)) cells.set(cell, old);
    this.#before.clear();
    this.#last = { ...this.#last, changes: this.#changes(cells) };
  }

  /** Emits the last step. Call it after each action. */
  flush(): void {
    if (this.#last !== undefined) this.#emit(this.#last);
    this.#last = undefined;
  }

  /** Emits nothing from now on. */
  end(): void {
    this.#emit = () => {};
  }

  #changes(before: ReadonlyMap<number, number>): Uint32Array {
    const changes: number[] = [];
    for (const [cell, old] of before) {
      if (this.state[cell] !== old) changes.push(cell, old, this.state[cell]);
    }
    return changes.length === 0 ? NOTHING : Uint32Array.from(changes);
  }
}
