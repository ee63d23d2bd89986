/**
 * What programs print about their devices: counts every second and totals, as text or as JSON.
 *
 * @module
 */

import { visible } from "../native/files.ts";
import { BIT_RATE_WIDTH, bitRate, PACKET_RATE_WIDTH, packetRate } from "../packets/units.ts";
import { unstoppable } from "../native/stop.ts";
import type { Device } from "../src/device.ts";
import { out } from "./output.ts";

/** Bytes that a packet occupies on the wire in addition to its own: preamble, CRC, gap. */
export const WIRE_OVERHEAD = 24;

/**
 * Milliseconds between counts that are printed, and between those that are not: a card's counters have 32 bits, and
 * stay at their maximum until they are read (X550: section 8.2.2.17), after 288 s at 14.9 million packets a second.
 */
const SECOND_MS = 1000, QUIET_MS = 10_000;

/** Counts of a device since it was opened. A program adds its own, which come last. */
export interface Counts {
  readonly rxPackets: number;
  readonly rxBytes: number;
  readonly txPackets: number;
  readonly txBytes: number;
  readonly missed: number;
  readonly errors: number;
  readonly [name: string]: number;
}

/**
 * Returns the counts of a device, and the program's own.
 *
 * @param refresh Whether to read the device's own counters, which takes long.
 */
export function count(
  device: Device,
  own: Readonly<Record<string, number>> = {},
  refresh = true,
): Counts {
  const s = device.statistics(refresh);
  return {
    rxPackets: s.rxPackets,
    rxBytes: s.rxBytes,
    txPackets: s.txPackets,
    txBytes: s.txBytes,
    missed: s.rxMissed,
    errors: s.rxErrors + s.rxTooLong + s.rxNoBuffer,
    ...(s.txLost !== undefined && { lostInFlight: s.txLost }),
    ...own,
  };
}

function difference(now: Counts, before: Counts | undefined): Counts {
  if (before === undefined) return now;
  const entries = Object.entries(now).map(([name, n]) => [name, n - before[name]]);
  return Object.fromEntries(entries) as Counts;
}

/** Returns packets and bits a second, padded. Bits are those on the wire. */
function rates(packets: number, bytes: number, seconds: number): [packets: string, bits: string] {
  const bits = (bytes + packets * WIRE_OVERHEAD) * 8;
  return [
    packetRate(packets / seconds).padStart(PACKET_RATE_WIDTH),
    bitRate(bits / seconds).padStart(BIT_RATE_WIDTH),
  ];
}

/** A line about a device: the name and the value of each count. */
type Row = readonly (readonly [name: string, value: string])[];

/** Returns the line of one second: rates, then all other counts. */
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

/** Returns the line of the totals: packets with their mean rates, then all other counts. */
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
  return Object.entries(counts).map(([name, n]) => [words(name), String(n)]);
}

/** Returns the words of a name: `lost in flight` for `lostInFlight`. */
function words(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/** How to print a report. */
export interface ReportOptions {
  /** Whether lines are JSON. */
  readonly json: boolean;
  /** Whether to print totals only. */
  readonly quiet: boolean;
}

/** Prints counts every second, and totals. */
export class Report {
  readonly #options: ReportOptions;
  readonly #devices: readonly Device[];
  /** Runs as unstoppable work: a signal ends only the reopening of a device in the background. */
  readonly #counts: () => readonly Counts[];
  readonly #print: (line: string) => void;
  readonly #start: number;
  #before: readonly Counts[] = [];
  #last: number;
  /** When the work ended, if that was before the totals. */
  #end: number | undefined;
  /** Characters of the widest value of each column so far, so that lines align. */
  readonly #widths: number[] = [];

  /**
   * Creates a report whose clock starts now.
   *
   * @param counts Returns the counts of all devices.
   * @param print Prints a line; default: to the standard output.
   */
  constructor(
    options: ReportOptions,
    devices: readonly Device[],
    counts: () => readonly Counts[],
    print: (line: string) => void = out.print,
  ) {
    this.#options = options;
    this.#devices = devices;
    this.#counts = counts;
    this.#print = print;
    this.#start = this.#last = performance.now();
  }

  /** When its clock started, by `performance.now()`. */
  get start(): number {
    return this.#start;
  }

  /** Tells the reader of the JSON that all devices are open. */
  ready(): void {
    if (this.#options.json) this.#print(JSON.stringify({ ready: true }));
  }

  /**
   * Prints what the last second has added, if a second has passed. With `quiet`, only counts now and then, so
   * that the devices' counters do not overflow.
   */
  second(now: number): void {
    const { json, quiet } = this.#options;
    if (now - this.#last < (quiet ? QUIET_MS : SECOND_MS)) return;
    const counts = unstoppable(this.#counts);
    if (json && !quiet) this.#json(counts, now, false);
    else if (!quiet) this.#rates(counts, (now - this.#last) / 1000);
    this.#before = counts;
    this.#last = now;
  }

  /**
   * Ends the work: mean rates exclude the time from now on, in which only outstanding packets
   * arrive.
   */
  workEnded(): void {
    this.#end = performance.now();
  }

  /** Prints the totals and returns them. */
  total(): readonly Counts[] {
    const now = performance.now(), seconds = ((this.#end ?? now) - this.#start) / 1000;
    const counts = unstoppable(this.#counts);
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

  /** Prints a line for each device, with each column as wide as its widest value so far. */
  #text(rows: readonly Row[]): void {
    const widths = this.#widths;
    for (const row of rows) {
      row.forEach(([, value], i) => widths[i] = Math.max(widths[i] ?? 0, value.length));
    }
    const addresses = this.#devices.map(({ address }) => visible(address));
    const widest = Math.max(...addresses.map((address) => address.length));
    rows.forEach((row, i) => {
      const cells = row.map(([name, value], column) => `${name} ${value.padStart(widths[column])}`);
      this.#print(`${`${addresses[i]}:`.padEnd(widest + 1)} ${cells.join(", ")}`);
    });
  }
}
