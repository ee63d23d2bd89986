/**
 * What programs print about their devices: counts of every second and totals, as text or as JSON.
 *
 * @module
 */

import { BIT_RATE_WIDTH, bitRate, PACKET_RATE_WIDTH, packetRate } from "../packets/units.ts";
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

/** Packets and bits a second, as wide as other rates. Bits are those that pass on the wire. */
function rates(packets: number, bytes: number, seconds: number): [packets: string, bits: string] {
  const bits = (bytes + packets * WIRE_OVERHEAD) * 8;
  return [
    packetRate(packets / seconds).padStart(PACKET_RATE_WIDTH),
    bitRate(bits / seconds).padStart(BIT_RATE_WIDTH),
  ];
}

/** What is printed of a device: the name and the value of each count. */
type Row = readonly (readonly [name: string, value: string])[];

/** Rates, and how often all else happened, of counts that one line covers. */
function rateRow(
  { rxPackets, rxBytes, txPackets, txBytes, ...others }: Counts,
  seconds: number,
): Row {
  return [
    ["rx", rates(rxPackets, rxBytes, seconds).join(" ")],
    ["tx", rates(txPackets, txBytes, seconds).join(" ")],
    ...otherColumns(others),
  ];
}

/** Packets, with their mean rates beside them, and how often all else happened. */
function totalRow(
  { rxPackets, rxBytes, txPackets, txBytes, ...others }: Counts,
  seconds: number,
): Row {
  const total = (packets: number, bytes: number) =>
    `${packets} (${rates(packets, bytes, seconds).map((text) => text.trim()).join(", ")})`;
  return [
    ["received", total(rxPackets, rxBytes)],
    ["sent", total(txPackets, txBytes)],
    ...otherColumns(others),
  ];
}

function otherColumns(counts: Readonly<Record<string, number>>): Row {
  return Object.entries(counts).map(([name, n]) => [name, String(n)]);
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
  /** When the work was over, if that was before the totals. */
  #end: number | undefined;
  /** Characters of the widest value of each column so far: lines align with those before them. */
  readonly #widths: number[] = [];

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
    else if (!quiet) this.#rates(counts, (now - this.#last) / 1000);
    this.#before = counts;
    this.#last = now;
  }

  /** The work is over: mean rates leave out the time from now on, in which only the rest arrives. */
  workEnded(): void {
    this.#end = performance.now();
  }

  /** Prints the totals and returns them. */
  total(): readonly Counts[] {
    const now = performance.now(), seconds = ((this.#end ?? now) - this.#start) / 1000;
    const counts = this.#counts();
    if (this.#options.json) {
      this.#json(counts, now, true);
    } else {
      this.#print(`totals after ${seconds.toFixed(1)} s:`);
      this.#widths.length = 0;
      this.#text(counts.map((c) => totalRow(c, seconds)));
    }
    return counts;
  }

  #json(counts: readonly Counts[], now: number, total: boolean): void {
    const ports = counts.map((c, i) => ({ address: this.#devices[i].address, ...c }));
    this.#print(JSON.stringify({ total, seconds: (now - this.#start) / 1000, ports }));
  }

  #rates(counts: readonly Counts[], seconds: number): void {
    this.#text(counts.map((c, i) => rateRow(difference(c, this.#before[i]), seconds)));
  }

  /** Prints a line for each device, with columns as wide as their widest value so far. */
  #text(rows: readonly Row[]): void {
    const widths = this.#widths;
    for (const row of rows) {
      row.forEach(([, value], i) => widths[i] = Math.max(widths[i] ?? 0, value.length));
    }
    const addresses = this.#devices.map(({ address }) => address);
    const widest = Math.max(...addresses.map((address) => address.length));
    rows.forEach((row, i) => {
      const cells = row.map(([name, value], column) => `${name} ${value.padStart(widths[column])}`);
      this.#print(`${`${addresses[i]}:`.padEnd(widest + 1)} ${cells.join(", ")}`);
    });
  }
}
