/**
 * The time of a recording. It goes on from action to action, and is real in between.
 *
 * @module
 */

import { VirtualTime } from "../../sim/virtual_time.ts";

/** The clock of driver, device and program. */
export class Clock {
  #now = 1000;
  #time: VirtualTime | undefined;

  /** Makes the time of this thread virtual until the result is disposed. */
  start(): Disposable {
    const time = this.#time = new VirtualTime(undefined, this.#now);
    return {
      [Symbol.dispose]: () => {
        this.#now = time.now;
        this.#time = undefined;
        time[Symbol.dispose]();
      },
    };
  }

  /** Lets milliseconds pass. */
  pass(milliseconds: number): void {
    this.#time?.pass(milliseconds);
  }

  /** Calls a function that looks on, for which no time passes: recording changes nothing. */
  still<T>(look: () => T): T {
    return this.#time ? this.#time.still(look) : look();
  }
}
