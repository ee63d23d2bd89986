/**
 * A recording: steps in order, and the state at each of them.
 *
 * @module
 */

import { Layout } from "./layout.ts";
import type { Step } from "./step.ts";

/** The most steps that are kept: the oldest go. */
const MAX_STEPS = 200_000;

/** Steps, and a cursor with the state after the step that it stands on. */
export class Recording {
  readonly layout: Layout;
  readonly #steps: Step[] = [];
  readonly #most: number;
  /** State after step `#position`. */
  readonly #state: Uint32Array;
  #first = 0;
  #position = -1;

  /**
   * Creates an empty recording.
   *
   * @param initial State before the first step.
   * @param most The most steps to keep.
   */
  constructor(layout: Layout, initial: Uint32Array, most = MAX_STEPS) {
    this.layout = layout;
    this.#state = initial.slice();
    this.#most = most;
  }

  /** Number of the oldest step that is kept, from 0. */
  get first(): number {
    return this.#first;
  }

  /** Number of steps so far, also of those that are gone. */
  get end(): number {
    return this.#first + this.#steps.length;
  }

  /** Number of the step that the cursor stands on; `first - 1` before the first one. */
  get position(): number {
    return this.#position;
  }

  /** The state after the step that the cursor stands on. It changes when the cursor moves. */
  get state(): Uint32Array {
    return this.#state;
  }

  /** Returns a step; undefined if it is gone or has not come. */
  at(number: number): Step | undefined {
    return this.#steps[number - this.#first];
  }

  /** Appends steps. The oldest go if there are too many. */
  push(...steps: readonly Step[]): void {
    for (const step of steps) this.#steps.push(step);
    const excess = this.#steps.length - this.#most;
    if (excess <= 0) return;
    const spare = excess + (this.#most >>> 3); // so that this happens seldom
    if (this.#position < this.#first + spare) this.moveTo(this.#first + spare);
    this.#steps.splice(0, spare);
    this.#first += spare;
  }

  /**
   * Moves the cursor, step by step, and the state with it.
   *
   * @param number Number of the step; limited to the steps that are kept.
   */
  moveTo(number: number): void {
    const to = Math.max(this.#first - 1, Math.min(number, this.end - 1));
    while (this.#position < to) {
      const { changes } = this.at(++this.#position)!;
      for (let i = 0; i < changes.length; i += 3) this.#state[changes[i]] = changes[i + 2];
    }
    while (this.#position > to) {
      const { changes } = this.at(this.#position--)!;
      for (let i = changes.length - 3; i >= 0; i -= 3) this.#state[changes[i]] = changes[i + 1];
    }
  }

  /**
   * Returns the number of the next step from `from` on, or backwards from there, that a condition
   * holds for; -1 without one.
   */
  find(from: number, condition: (step: Step) => boolean, direction: 1 | -1 = 1): number {
    for (let i = from; i >= this.#first && i < this.end; i += direction) {
      if (condition(this.at(i)!)) return i;
    }
    return -1;
  }
}
