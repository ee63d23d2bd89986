/**
 * When a program that polls goes to sleep: once no packet has arrived for a tenth of a millisecond. So
 * it costs a busy program nothing, and an idle one no core.
 *
 * @module
 */

import type { Device, RxQueue } from "../src/device.ts";
import { Waiter } from "../src/waiter.ts";

/** Without a packet for so long, in milliseconds, sleeping is worth the way to the kernel and back. */
const IDLE_MS = 0.1;
/**
 * The longest sleep, in milliseconds: signals do not end one that another thread of the process takes
 * them in, and clock, statistics and devices are to be looked at too.
 */
const SLEEP_MS = 100;

/** Decides, between rounds of work, whether to sleep. */
export class AdaptiveSleep {
  readonly #queues: readonly RxQueue[];
  readonly #waiter: Waiter;
  readonly #look: () => boolean;
  #packets = 0;
  /** When packets were seen last, in milliseconds of `performance.now()`. */
  #busy = 0;

  /**
   * The decider for all receive queues of devices; undefined if they were not opened with interrupts.
   *
   * @param work Does a round of work: looks at each queue once.
   */
  static of(devices: readonly Device[], work: () => void): AdaptiveSleep | undefined {
    const queues = devices.flatMap((device) => device.rxQueues);
    const all = queues.length > 0 && queues.every(({ interrupt }) => interrupt !== undefined);
    return all ? new AdaptiveSleep(queues, work) : undefined;
  }

  private constructor(queues: readonly RxQueue[], work: () => void) {
    this.#queues = queues;
    this.#waiter = new Waiter(queues);
    this.#look = () => {
      work();
      return this.#received();
    };
  }

  /** Whether packets were received since this was asked last. */
  #received(): boolean {
    let packets = 0;
    for (const queue of this.#queues) packets += queue.packets;
    const more = packets !== this.#packets;
    this.#packets = packets;
    return more;
  }

  /**
   * Sleeps until a packet arrives, if none has for a while.
   *
   * @param now The time of `performance.now()`.
   * @param until The time at which to be awake in any case.
   */
  sleepIfIdle(now: number, until: number): void {
    if (this.#received()) {
      this.#busy = now;
    } else if (now - this.#busy >= IDLE_MS) {
      const milliseconds = Math.max(0, Math.min(SLEEP_MS, until - now));
      if (this.#waiter.wait(this.#look, milliseconds)) this.#busy = performance.now();
    }
  }
}
