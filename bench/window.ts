/**
 * The measurements of a window and of a start, and how to read them from the JSON lines of the device and
 * of this project's forwarder.
 *
 * @module
 */

import type { LatencyBins } from "../sim/wires/latency.ts";

/** What the generators send. */
export interface Traffic {
  /** Bytes of a packet, without CRC. */
  readonly size: number;
  /**
   * Packets a second, both directions together; default: as many as the forwarder takes, of the software NIC
   * 10 Gbit/s each way.
   */
  readonly rate?: number;
  /** Flows, which spread over several queues; default: 1. */
  readonly flows?: number;
  /** Whether to measure the latency of each packet. */
  readonly latency?: boolean;
}

/** The measurements of a window. */
export interface Window {
  /** Millions of packets a second that came back, both directions together. */
  readonly mpps: number;
  /** Distance between the cores before and after, in nanoseconds. */
  readonly distance: readonly [number, number];
  /** How often the kernel gave a core of one of the two processes to another program. */
  readonly preempted: number;
  /** Cycles of the forwarder a packet, if the processor counts them. */
  readonly cycles?: number;
  /** Histogram of latencies, if they are measured. */
  readonly latency?: LatencyBins;
}

/** How a forwarder started, with packets waiting for it: times in milliseconds from its process's start. */
export interface Start {
  /** The first packet came back. */
  readonly firstMs: number;
  /** The rate reached 90 % of the median; undefined if not within the time that is recorded. */
  readonly fullMs?: number;
  /** Median of the windows of this run, in Mpps. */
  readonly mpps: number;
  /** Mpps in each `STEP_MS`, if they were to be kept. */
  readonly rates?: readonly number[];
}

/** Counts of all packets of a run. */
export interface Balance {
  readonly received: number;
  /** The device had no free descriptor: the load exceeds what the forwarder can take. */
  readonly missed: number;
  /** The forwarder's transmit ring was full, as it reports. */
  readonly dropped: number;
  /** Neither: a defect, unless the forwarder does not report drops. */
  readonly lost: number;
  readonly reordered: number;
  readonly corrupt: number;
}

/** A line of the device's counts; the last one has the totals. */
export interface SimLine {
  readonly total?: boolean;
  readonly seconds: number;
  /** Of the instrument's totals: packets back, every 10 ms since its generators started. */
  readonly progress?: readonly number[];
  readonly ports: readonly {
    readonly wireStatistics: Readonly<Record<string, number>>;
    readonly latency?: LatencyBins;
  }[];
}

/** A line of this project's forwarder; the last one has the totals. */
export interface FwdLine {
  readonly total?: boolean;
  readonly ports: readonly { readonly dropped: number }[];
}

/** Returns the sum of a count over both ports' wires. */
export function sum(line: SimLine, name: string): number {
  return line.ports.reduce((total, port) => total + port.wireStatistics[name], 0);
}

/** Milliseconds between two counts of {@linkcode SimLine.progress}. */
const SLICE_MS = 10;
/** Milliseconds of a step of {@linkcode Start.rates}. */
export const STEP_MS = 50;
/** The share of the median that counts as full speed. */
const FULL = 0.9;

/**
 * Returns how a forwarder started.
 *
 * @param progress The counts of the instrument's totals.
 * @param mpps Median of the windows.
 * @param keep How many steps of {@linkcode Start.rates} to keep.
 */
export function startOf(progress: readonly number[], mpps: number, keep: number): Start {
  const slices = STEP_MS / SLICE_MS;
  const first = progress.findIndex((count) => count > 0);
  // The end of a step, from one slice to the next.
  const full = progress.findIndex((count, i) => {
    return i >= slices && count - progress[i - slices] >= FULL * mpps * STEP_MS * 1000;
  });
  const steps = Math.min(keep, Math.floor((progress.length - 1) / slices));
  const rates = Array.from({ length: steps }, (_, i) => {
    const packets = progress[(i + 1) * slices] - progress[i * slices];
    return Math.round(packets / STEP_MS / 10) / 100;
  });
  return {
    firstMs: first * SLICE_MS,
    ...(full >= 0 && { fullMs: full * SLICE_MS }),
    mpps,
    ...(steps > 0 && { rates }),
  };
}

/** Returns the software NIC's `--wire` for a port. */
export function wireOf({ size, rate, flows, latency }: Traffic): string {
  const options = [
    `size=${size}`,
    ...(rate === undefined ? [] : [`rate=${Math.round(rate / 2)}`]),
    ...(flows === undefined ? [] : [`flows=${flows}`]),
    ...(latency ? ["latency=1"] : []),
  ];
  return `generator:${options.join()}`;
}

/** Returns the latency histogram of both ways, by nanoseconds. */
function bins(line: SimLine): Map<number, number> {
  const all = new Map<number, number>();
  for (const { latency = [] } of line.ports) {
    for (const [time, packets] of latency) all.set(time, (all.get(time) ?? 0) + packets);
  }
  return all;
}

/** Returns the latency histogram of the packets that came back between two lines. */
export function latencyBetween(first: SimLine, last: SimLine): LatencyBins {
  const before = bins(first);
  return [...bins(last)].map(([time, packets]) =>
    [time, packets - (before.get(time) ?? 0)] as const
  )
    .filter(([, packets]) => packets > 0).toSorted(([a], [b]) => a - b);
}
