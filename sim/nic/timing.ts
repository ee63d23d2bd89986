/**
 * What takes time in the modelled device, and how long. Without delays everything happens at once.
 * With them, an effect becomes an event: registers show the old state until a clock has passed it.
 *
 * Delays are drawn from a generator with a seed: the same seed and accesses at the same times give
 * the same delays.
 *
 * @module
 */

import { Random } from "../../packets/random.ts";

/** What can take time, in milliseconds. */
export interface Delays {
  /** Until the reset bits of CTRL clear themselves. Writes are lost until then. */
  readonly reset?: number;
  /** From a reset to EEC.AUTO_RD, and to RDRXCTL.DMAIDONE. */
  readonly eeprom?: number;
  /** From a reset until firmware has configured the device (EEMNGCTL) and releases the PHY. */
  readonly firmware?: number;
  /** For which firmware holds a semaphore, at a quarter of the driver's attempts to take one. */
  readonly semaphore?: number;
  /** For an MDIO frame, or a word of the EEPROM. */
  readonly bus?: number;
  /** From a change of the link's settings until the link is up. */
  readonly link?: number;
  /** Until a queue is enabled or disabled, and until the receive path is empty. */
  readonly queue?: number;
  /** Until filled or sent descriptors are written back, and until DMA stops. */
  readonly dma?: number;
}

/** What can take time. */
export type DelayName = keyof Delays;

/** Delays of the order of a real card's. */
export const CARD: Required<Delays> = {
  reset: 1,
  eeprom: 20,
  firmware: 50,
  semaphore: 2,
  bus: 0.05,
  link: 300,
  queue: 1,
  dma: 0.02,
};

/** Longest delay, in milliseconds. */
export const MAX_DELAY = 60_000;

/** The names of all delays. */
export const DELAY_NAMES = Object.keys(CARD) as readonly DelayName[];

/** Options of a {@linkcode Timing}. */
export interface TimingOptions {
  /** The delays; default: none. */
  readonly delays?: Delays;
  /** How far a delay may differ from its value, 0 to 1 as a share of it; default: 0. */
  readonly jitter?: number;
  /** Seed of the delays, a whole number; default: 1. */
  readonly seed?: number;
  /** Returns the time in milliseconds; default: `performance.now()`. */
  readonly clock?: () => number;
}

/** Something that is still to happen. */
interface Event {
  readonly at: number;
  readonly key: string;
  readonly action: () => void;
}

/** The delays of one device, and its events. */
export class Timing {
  /** Whether events are still to happen: {@linkcode Timing.prototype.run} is to be called then. */
  waiting = false;
  readonly #delays: Delays;
  readonly #jitter: number;
  readonly #clock: () => number;
  readonly #random: Random;
  /** In the order of their times. */
  #events: Event[] = [];

  constructor({ delays = {}, jitter = 0, seed = 1, clock }: TimingOptions = {}) {
    this.#delays = delays;
    this.#jitter = jitter;
    this.#clock = clock ?? (() => performance.now());
    this.#random = new Random(seed);
  }

  /** Returns the time in milliseconds. */
  now(): number {
    return this.#clock();
  }

  /** Whether something takes time. */
  takes(name: DelayName): boolean {
    return (this.#delays[name] ?? 0) > 0;
  }

  /** Returns how long something takes this time, in milliseconds; 0 without a delay. */
  draw(name: DelayName): number {
    if (!this.takes(name)) return 0;
    return this.#delays[name]! * (1 + this.#jitter * (2 * this.#random.next() - 1));
  }

  /** Returns whether a chance of `share` has come true; false without a delay of this name. */
  happens(name: DelayName, share: number): boolean {
    return this.takes(name) && this.#random.next() < share;
  }

  /**
   * Does something after a delay; at once without one.
   *
   * @param key Names the event, for {@linkcode Timing.prototype.cancel}.
   */
  after(name: DelayName, key: string, action: () => void): void {
    if (!this.takes(name)) return action();
    const at = this.now() + this.draw(name);
    const place = this.#events.findLastIndex((event) => event.at <= at) + 1;
    this.#events.splice(place, 0, { at, key, action });
    this.waiting = true;
  }

  /** Whether an event is still to happen. */
  isPending(key: string): boolean {
    return this.#events.some((event) => event.key === key);
  }

  /** Cancels all events of a key that are still to happen; returns whether there were any. */
  cancel(key: string): boolean {
    return this.cancelAll((other) => other === key);
  }

  /** Cancels events by their keys; returns whether there were any. */
  cancelAll(matches: (key: string) => boolean): boolean {
    const before = this.#events.length;
    this.#events = this.#events.filter(({ key }) => !matches(key));
    this.waiting = this.#events.length > 0;
    return this.#events.length < before;
  }

  /** Does what is due. */
  run(): void {
    const now = this.now();
    while (this.#events.length > 0 && this.#events[0].at <= now) this.#events.shift()!.action();
    this.waiting = this.#events.length > 0;
  }
}
