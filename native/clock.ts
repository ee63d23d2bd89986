/**
 * A clock and a timer for loops that move packets, and waits with a deadline for all other code.
 *
 * @module
 */

import { checkStop } from "./stop.ts";
import { stubs } from "./stubs.ts";

/**
 * Returns milliseconds since an arbitrary moment in the past. Loops that move packets use it because an
 * optimised call allocates nothing, while each call of `performance.now()` allocates a number.
 */
export function milliseconds(): number {
  return stubs.ixy_milliseconds();
}

/**
 * Resolves after a number of milliseconds. Other tasks run meanwhile.
 *
 * @throws {StopError} as {@linkcode checkStop} does.
 */
export async function delay(milliseconds: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
  checkStop();
}

/**
 * Polls a condition until it holds. The last look comes after the deadline, because on a loaded machine this
 * thread may not have run until then.
 *
 * @param milliseconds The longest time to wait.
 * @param pause Milliseconds between two looks (default: 1).
 * @returns Whether the condition held in time.
 * @throws {StopError} as {@linkcode checkStop} does.
 */
export async function waitUntil(
  milliseconds: number,
  condition: () => boolean | Promise<boolean>,
  pause = 1,
): Promise<boolean> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const late = performance.now() >= deadline;
    if (await condition()) return true;
    if (late) return false;
    await delay(pause);
  }
}

/** As {@linkcode waitUntil}, but without awaiting or a pause: for closing, and for short waits. */
export function spinUntil(milliseconds: number, condition: () => boolean): boolean {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const late = performance.now() >= deadline;
    if (condition()) return true;
    if (late) return false;
    checkStop();
  }
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
