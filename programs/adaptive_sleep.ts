/**
 * When a polling program goes to sleep: after a tenth of a millisecond without a packet. A busy
 * program then pays nothing, and an idle one does not occupy a core.
 *
 * @module
 */

import type { Device, RxQueue } from "../src/device.ts";
import { Waiter } from "../src/waiter.ts";

/** Milliseconds without a packet after which sleeping is worth the system call. */
export const IDLE_MS = 0.1;
/**
 * The longest sleep, in milliseconds. A signal that another thread of the process takes does not
 * end the sleep, and the clock, statistics and devices have to be checked too.
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
   * Creates one for all receive queues and links of devices; returns undefined if the devices were
   * opened without interrupts.
   *
   * @param work Does a round of work: gives each queue a turn.
   */
  static of(devices: readonly Device[], work: () => void): AdaptiveSleep | undefined {
    const queues = devices.flatMap((device) => device.rxQueues);
    const all = queues.length > 0 && queues.every(({ interrupt }) => interrupt !== undefined);
    return all ? new AdaptiveSleep(devices, queues, work) : undefined;
  }

  private constructor(devices: readonly Device[], queues: readonly RxQueue[], work: () => void) {
    this.#queues = queues;
    this.#waiter = new Waiter(queues, devices);
    this.#look = () => {
      work();
      return this.#received();
    };
  }

  /** Returns whether packets were received since the last call. */
  #received(): boolean {
    let packets = 0;
    for (const queue of this.#queues) packets += queue.packets;
    const more = packets !== this.#packets;
    this.#packets = packets;
    return more;
  }

  /**
   * Sleeps until a packet arrives or a link changes, if no packet has arrived for
   * {@linkcode IDLE_MS}.
   *
   * @param now The time of `performance.now()`.
   * @param until The time at which to wake up at the latest.
   * @returns Whether a link has changed.
   */
  sleepIfIdle(now: number, until: number): boolean {
    if (this.#received()) {
      this.#busy = now;
      return false;
    }
    if (now - this.#busy < IDLE_MS) return false;
    const milliseconds = Math.max(0, Math.min(SLEEP_MS, until - now));
    if (this.#waiter.wait(this.#look, milliseconds)) this.#busy = performance.now();
    return this.#waiter.linkChanged;
  }
}
