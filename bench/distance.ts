/**
 * The distance between two cores: the time that a cache line takes from one to the other and back.
 *
 * The host of a virtual machine moves its cores every few seconds, from two threads of one core to
 * opposite ends of a die, and throughput follows. A figure counts only if the distance before and
 * after it is the same.
 *
 * @module
 */

import { type Order, STOP, WORDS } from "./distance_line.ts";
import { median } from "./statistics.ts";

/** Slices of a measurement, whose median is the result, and milliseconds of each. */
const SLICES = 15, SLICE_MS = 1;
/** Slices before the first measurement, for the compiler. */
const WARM_UP_SLICES = 60;
/** Deadline for a probe, in milliseconds. */
const DEADLINE_MS = 10000;
/** How much equal distances may differ, as a share and in nanoseconds. */
const SAME_SHARE = 0.25, SAME_NS = 20;

/** Returns whether two distances in nanoseconds count as equal. */
export function sameDistance(a: number, b: number): boolean {
  return Math.abs(a - b) <= Math.max(SAME_NS, SAME_SHARE * Math.min(a, b));
}

/** The classes of distances, with the limit of each in nanoseconds: verdicts never mix two. */
export const COLUMNS = [
  { name: "same", below: 80 }, // two threads of one core
  { name: "near", below: 250 },
  { name: "far", below: Infinity },
] as const;
/** The name of a class of distances. */
export type Column = typeof COLUMNS[number]["name"];

/** Returns the class of a distance in nanoseconds; undefined if it is not known. */
export function columnOf(nanoseconds: number): Column | undefined {
  return COLUMNS.find(({ below }) => nanoseconds < below)?.name;
}

/** A thread on a core. */
class Player implements Disposable {
  readonly #worker = new Worker(new URL("./distance_player.ts", import.meta.url), {
    type: "module",
  });

  constructor(core: number, words: Int32Array) {
    this.#worker.postMessage({ core, words } satisfies Order);
  }

  /** Sends an order; returns its result. */
  async play(slices: number): Promise<number[]> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      return await new Promise<number[]>((resolve, reject) => {
        const late = new Error(`the probe of core distance took longer than ${DEADLINE_MS} ms`);
        timer = setTimeout(() => reject(late), DEADLINE_MS);
        this.#worker.onmessage = ({ data }) => resolve(data);
        this.#worker.onerror = (event) => {
          event.preventDefault();
          reject(new Error(`the probe of core distance failed: ${event.message}`));
        };
        this.#worker.postMessage({ slices, milliseconds: SLICE_MS } satisfies Order);
      });
    } finally {
      clearTimeout(timer);
    }
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** Two threads on two cores, which sleep between measurements. */
export class DistanceProbe implements Disposable {
  readonly #words = new Int32Array(new SharedArrayBuffer(WORDS * 4));
  readonly #players: readonly [Player, Player];
  #warm = false;

  /** Starts a thread on each of two cores. */
  constructor(here: number, there: number) {
    this.#players = [new Player(here, this.#words), new Player(there, this.#words)];
  }

  /** Returns the round trip in nanoseconds; NaN if one of the threads did not run. */
  async measure(): Promise<number> {
    if (!this.#warm) await this.#round(WARM_UP_SLICES);
    this.#warm = true;
    return Math.round(await this.#round(SLICES));
  }

  async #round(slices: number): Promise<number> {
    const [sender, echo] = this.#players;
    this.#words[STOP] = 0;
    const answering = echo.play(0);
    const times = await sender.play(slices);
    await answering;
    return median(times.filter((time) => !Number.isNaN(time)));
  }

  [Symbol.dispose](): void {
    for (const player of this.#players) player[Symbol.dispose]();
  }
}
