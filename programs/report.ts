/**
 * What programs print about their devices: counts of every second and totals, as text or as JSON.
 *
 * @module
 */

import type { Device } from "../src/device.ts";

/** Bytes that a packet takes on the wire beside its own: preamble, CRC, gap. */
export const WIRE_OVERHEAD = 24;

/** Counts of a device since it was opened. A program adds its own, which are printed last. */
export interface Counts {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly missed: number;
  readonly errors: number;
  readonly [name: string]: number;
}

/** The counts of a device, and a program's own. */
export function count(device: Device, own: Readonly<Record<string, number>> = {}): Counts {
  const s = device.statistics();
  return {
    rxPackets: s.rxPackets,
    rxBytes: s.rxBytes,
    txPackets: s.txPackets,
    txBytes: s.txBytes,
    missed: s.rxMissed,
    errors: s.rxErrors + s.rxTooLong + s.rxNoBuffer,
    ...own,
  };
}

function difference(now: Counts, before: Counts | undefined): Counts {
  if (before === undefined) return now;
  const entries = Object.entries(now).map(([name, n]) => [name, n - before[name]]);
  return Object.fromEntries(entries) as Counts;
}

function line(address: string, counts: Counts, seconds: number): string {
  const { rxPackets, rxBytes, txPackets, txBytes, ...others } = counts;
  const rate = (packets: number, bytes: number) => {
    const mbit = (bytes + packets * WIRE_OVERHEAD) * 8 / seconds / 1e6;
    return `${(packets / seconds / 1e6).toFixed(2)} Mpps ${mbit.toFixed(0)} Mbit/s`;
  };
  return `${address}: rx ${rate(rxPackets, rxBytes)}, tx ${rate(txPackets, txBytes)}, ` +
    Object.entries(others).map(([name, n]) => `${name} ${n}`).join(", ");
}

/** How to print a report. */
export interface ReportOptions {
  /** Whether lines are JSON. */
  readonly json: boolean;
  /** Whether there are totals only. */
  readonly quiet: boolean;
}

/** Prints counts, and remembers what it has printed. */
export class Report {
  readonly #options: ReportOptions;
  readonly #devices: readonly Device[];
  readonly #counts: () => readonly Counts[];
  readonly #print: (line: string) => void;
  readonly #start: number;
  #before: readonly Counts[] = [];
  #last: number;

  /**
   * A report whose clock starts now.
   *
   * @param counts Takes the counts of all devices.
   * @param print Takes each line; it goes to the standard output unless given.
   */
  constructor(
    options: ReportOptions,
    devices: readonly Device[],
    counts: () => readonly Counts[],
    print: (line: string) => void = console.log,
  ) {
    this.#options = options;
    this.#devices = devices;
    this.#counts = counts;
    this.#print = print;
    this.#start = this.#last = performance.now();
  }

  /** When its clock started, as `performance.now()` gave it. */
  get start(): number {
    return this.#start;
  }

  /** All devices are open: whoever waits for that may go on. */
  ready(): void {
    if (this.#options.json) this.#print(JSON.stringify({ ready: true }));
  }

  /** Prints what a second has added, if it is over. */
  second(now: number): void {
    if (now - this.#last < 1000) return;
    const counts = this.#counts();
    const { json, quiet } = this.#options;
    if (json && !quiet) this.#json(counts, now, false);
    else if (!quiet) this.#text(counts, this.#before, now - this.#last);
    this.#before = counts;
    this.#last = now;
  }

  /** Prints the totals and returns them. */
  total(): readonly Counts[] {
    const now = performance.now(), milliseconds = now - this.#start;
    const counts = this.#counts();
    if (this.#options.json) {
      this.#json(counts, now, true);
    } else {
      this.#print(`totals after ${(milliseconds / 1000).toFixed(1)} s:`);
      this.#text(counts, [], milliseconds);
    }
    return counts;
  }

  #json(counts: readonly Counts[], now: number, total: boolean): void {
    const ports = counts.map((c, i) => ({ address: this.#devices[i].address, ...c }));
    this.#print(JSON.stringify({ total, seconds: (now - this.#start) / 1000, ports }));
  }

  #text(counts: readonly Counts[], before: readonly Counts[], milliseconds: number): void {
    counts.forEach((c, i) => {
      this.#print(line(this.#devices[i].address, difference(c, before[i]), milliseconds / 1000));
    });
  }
}
