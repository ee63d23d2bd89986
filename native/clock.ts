/**
 * A clock and a timer for loops that move packets, and a pause for code that can await.
 *
 * @module
 */

import { stubs } from "./stubs.ts";

/**
 * Returns milliseconds since an arbitrary moment in the past. Loops that move packets use it because an
 * optimised call allocates nothing, while each call of `performance.now()` allocates a number.
 */
export function milliseconds(): number {
  return stubs.ixy_milliseconds();
}

/** Resolves after a number of milliseconds. Other tasks run meanwhile. */
export function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** A time span for loops that poll whether it is over. */
export class Timer {
  readonly #milliseconds: number;
  readonly #end = new Float64Array(1);

  /**
   * Creates a timer that starts now.
   *
   * @param milliseconds Length of the time span.
   */
  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
    this.restart();
  }

  /** Whether the time span is over. */
  get over(): boolean {
    return milliseconds() >= this.#end[0];
  }

  /** Starts the time span again. */
  restart(): void {
    this.#end[0] = milliseconds() + this.#milliseconds;
  }
}
