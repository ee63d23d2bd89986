/**
 * A clock for loops that move packets, and a pause for all else.
 *
 * @module
 */

import { stubs } from "./stubs.ts";

/**
 * Milliseconds since some moment in the past, for loops that move packets: it leaves nothing on the heap
 * where the compiler knows it, while each call of `performance.now()` makes a number there.
 */
export function milliseconds(): number {
  return stubs.ixy_milliseconds();
}

/** Resolves after so many milliseconds, in which other tasks run. */
export function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** A time span that is asked again and again whether it is over. */
export class Timer {
  readonly #milliseconds: number;
  readonly #end = new Float64Array(1);

  /**
   * Begins now.
   *
   * @param milliseconds How long it is.
   */
  constructor(milliseconds: number) {
    this.#milliseconds = milliseconds;
    this.restart();
  }

  /** Whether it is over. */
  get over(): boolean {
    return milliseconds() >= this.#end[0];
  }

  /** Begins again, now. */
  restart(): void {
    this.#end[0] = milliseconds() + this.#milliseconds;
  }
}
