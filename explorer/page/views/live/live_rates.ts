/**
 * Counts of a live run over time, as rates.
 *
 * @module
 */

import type { LiveState } from "../../../recording/live.ts";

/** The most points in time that are kept. */
const MOST = 600;

/** Rates of all counters of all ports. */
export class LiveRates {
  /** Seconds since the server started, of each point. */
  readonly times: number[] = [];
  /** Rates a second at each point: by counter, then by port. */
  readonly #rates = new Map<string, number[][]>();
  #before: LiveState | undefined;

  /** The names of counters. */
  get names(): string[] {
    return [...this.#rates.keys()];
  }

  /** Returns the rates of a counter a second at each point, for each port. */
  of(name: string): readonly (readonly number[])[] {
    return this.#rates.get(name) ?? [];
  }

  /** Whether a counter has counted at any point that is kept. */
  hasMoved(name: string): boolean {
    return this.of(name).some((series) => series.some((rate) => rate > 0));
  }

  /** Adds a state. A state at the time of the one before is left out. */
  add(state: LiveState): void {
    const before = this.#before;
    const elapsed = state.seconds - (before?.seconds ?? state.seconds);
    if (before !== undefined && elapsed <= 0) return;
    this.#before = state;
    this.times.push(state.seconds);
    state.counters.forEach((counters, port) => {
      for (const [name, count] of Object.entries(counters)) {
        const last = before?.counters[port]?.[name] ?? count;
        // Less than before after a reset of the device.
        const rate = elapsed === 0 ? 0 : Math.max(0, count - last) / elapsed;
        this.#series(name, port, state.counters.length).push(rate);
      }
    });
    if (this.times.length > MOST) this.#dropOldest();
  }

  #series(name: string, port: number, ports: number): number[] {
    let series = this.#rates.get(name);
    if (series === undefined) {
      const missing = this.times.length - 1; // points before the counter's first one
      series = Array.from({ length: ports }, () => Array<number>(missing).fill(0));
      this.#rates.set(name, series);
    }
    return series[port];
  }

  #dropOldest(): void {
    this.times.shift();
    for (const series of this.#rates.values()) for (const rates of series) rates.shift();
  }
}
