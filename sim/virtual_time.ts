/**
 * Time that passes only when a program waits for it, and a machine that now and then stops the
 * program: for many starts of a driver on the NIC model in this thread, in little time, with the same
 * result for each seed.
 *
 * It replaces `performance.now()` and `setTimeout()`, with which the driver and the model tell the
 * time. Code that waits for anything else must not run meanwhile.
 *
 * @module
 */

import { Random } from "../packets/random.ts";

/** What one look at the clock takes, in milliseconds: a loop that polls it comes to its end. */
const LOOK_MS = 0.0002;

/** How the machine stops the program, as if others needed the processor. */
export interface Pauses {
  /** Share of the looks at the clock, and of register accesses, that are followed by a pause. */
  readonly share: number;
  /** Longest pause, in milliseconds. */
  readonly longest: number;
  /** Seed of the pauses: a whole number. */
  readonly seed: number;
}

/** The time of this thread, until it is disposed. */
export class VirtualTime implements Disposable {
  #now: number;
  #still = false;
  readonly #random: Random;
  readonly #pauses: Pauses;
  readonly #timers: { at: number; action: () => void }[] = [];
  readonly #now0 = performance.now;
  readonly #setTimeout = globalThis.setTimeout;

  /**
   * Replaces the time of this thread.
   *
   * @param now The time at the beginning, in milliseconds: that of an earlier time, to continue it.
   */
  constructor(pauses: Pauses = { share: 0, longest: 0, seed: 1 }, now = 1000) {
    this.#pauses = pauses;
    this.#now = now;
    this.#random = new Random(pauses.seed);
    performance.now = () => this.#still ? this.#now : this.pass(LOOK_MS);
    const replaced = (action: () => void, milliseconds = 0) => {
      this.#timers.push({ at: this.#now + milliseconds, action });
      queueMicrotask(() => this.#fire());
      return 0;
    };
    globalThis.setTimeout = replaced as unknown as typeof setTimeout;
  }

  /** The time in milliseconds. Looking at it here takes none. */
  get now(): number {
    return this.#now;
  }

  /** Lets time pass, and at times a pause; returns the time. */
  pass(milliseconds: number): number {
    this.#now += milliseconds;
    const { share, longest } = this.#pauses;
    if (share > 0 && this.#random.next() < share) this.#now += longest * this.#random.next();
    return this.#now;
  }

  /** Calls a function that looks on: its looks at the clock take no time. */
  still<T>(look: () => T): T {
    const before = this.#still;
    this.#still = true;
    try {
      return look();
    } finally {
      this.#still = before;
    }
  }

  /** Moves the time to the timer that is due first, and runs its action. */
  #fire(): void {
    const timers = this.#timers;
    const first = timers.reduce((least, { at }, i) => at < timers[least].at ? i : least, 0);
    const [{ at, action }] = timers.splice(first, 1);
    this.#now = Math.max(this.#now, at);
    action();
  }

  /** Gives the thread its own time back. */
  [Symbol.dispose](): void {
    performance.now = this.#now0;
    globalThis.setTimeout = this.#setTimeout;
  }
}
