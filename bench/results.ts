/**
 * The results of the bench, and verdicts on them: medians and spread of the windows that count,
 * whether the software NIC is the limit, and percentiles of latency.
 *
 * @module
 */

import { build } from "hdr-histogram-js";
import type { LatencyBins } from "../sim/wires/latency.ts";
import { type Column, columnOf, COLUMNS, sameDistance } from "./distance.ts";
import { LIMIT } from "./forwarders.ts";
import type { Machine } from "./machine.ts";
import { median, summarize, type Summary } from "./statistics.ts";
import type { Balance, Start, Window } from "./window.ts";

/** The suites of measurements. */
export const SUITES = ["throughput", "sizes", "queues", "latency", "spread"] as const;
/** The name of a suite. */
export type SuiteName = typeof SUITES[number];

/** All windows of a forwarder at one value of the suite's parameter. */
export interface Point {
  /** Batch size, bytes of a packet, queues, or packets a second offered. */
  readonly x: number;
  /** Threads of the forwarder. */
  readonly workers: number;
  windows: Window[];
  /** Counts of all packets, those outside windows included. */
  balance: Balance;
  /** Its starts, in order, where the device records them. */
  starts: Start[];
}

/** All measurements of one forwarder. */
export interface Series {
  readonly name: string;
  readonly points: Point[];
  /** Why its points are incomplete, in a sentence: the forwarder failed. */
  failure?: string;
}

/** The measurements of one suite. */
export interface Suite {
  readonly name: SuiteName;
  /** What is the same at all points, in words. */
  readonly setting: string;
  readonly series: Series[];
}

/** The contents of a results file. */
export interface Results {
  readonly machine: Machine;
  readonly suites: Suite[];
}

/** The verdict on a point: on its windows at distances of one column. */
export interface Verdict {
  readonly column: Column;
  /** Millions of packets a second, of the windows that count; undefined if none does. */
  readonly mpps?: Summary;
  /** Windows that do not count in any column: the cores' distance changed. */
  readonly discarded: number;
  /** Whether the rate is within 10 % of the device's limit. */
  readonly limited: boolean;
  /** Median number of times a window that the kernel gave a core to another program. */
  readonly preempted?: number;
  /** Processor cycles a packet, if the processor counts them. */
  readonly cycles?: number;
  /** Cycles of the time stamp counter a packet, working or waiting. */
  readonly referenceCycles?: number;
  /** Microseconds by percentile. */
  readonly latency?: Readonly<Record<string, number>>;
}

/** Rates from this share of the device's limit on are marked. */
const NEAR_LIMIT = 0.9;
/** Percentiles of a verdict. */
export const PERCENTILES = [50, 90, 99, 99.9, 99.99, 99.999] as const;
/** Significant digits of percentiles, and of the times in a results file. */
const DIGITS = 3, KEPT_DIGITS = 2;
/** The longest time that a histogram can hold, in nanoseconds. */
const LONGEST_NS = 1e10;

/** The balance of no packets. */
export const NOTHING: Balance = {
  received: 0,
  missed: 0,
  dropped: 0,
  lost: 0,
  reordered: 0,
  corrupt: 0,
};

/** Returns the sum of two balances. */
export function plus(a: Balance, b: Balance): Balance {
  const names = Object.keys(NOTHING) as (keyof Balance)[];
  return Object.fromEntries(names.map((name) => [name, a[name] + b[name]])) as unknown as Balance;
}

/** Returns all steady windows of a suite. */
function steadyWindows(suite: Suite): Window[] {
  const points = suite.series.flatMap(({ points }) => points);
  return points.flatMap(({ windows }) => windows.filter(isSteady));
}

/** Returns the column with most steady windows of a suite. */
export function usualColumn(suite: Suite): Column {
  const windows = steadyWindows(suite);
  const count = (column: Column) =>
    windows.filter(({ distance }) => columnOf(distance[0]) === column).length;
  return COLUMNS.map(({ name }) => name).reduce((a, b) => count(b) > count(a) ? b : a);
}

/** Returns the median distance of the windows of a suite in a column, in nanoseconds; NaN without any. */
export function usualDistance(suite: Suite, column: Column = usualColumn(suite)): number {
  const distances = steadyWindows(suite).map(({ distance }) => distance[0]);
  return median(distances.filter((distance) => columnOf(distance) === column));
}

function isSteady({ distance: [before, after] }: Window): boolean {
  return sameDistance(before, after) && columnOf(before) === columnOf(after);
}

/** Returns the windows of a point that count in a column. */
export function counting(point: Point, column: Column): Window[] {
  return point.windows.filter((window) =>
    isSteady(window) && columnOf(window.distance[0]) === column
  );
}

function medianOf(point: Point, column: Column): number | undefined {
  return summarize(counting(point, column).map(({ mpps }) => mpps))?.median;
}

/** Returns the limit of the device at a point; undefined if it was not measured. */
function limitAt(suite: Suite, x: number, column: Column): number | undefined {
  const points = suite.series.find(({ name }) => name === LIMIT)?.points ?? [];
  // The device's limit does not depend on the forwarder's batch size: the best one shows it.
  const those = suite.name === "throughput" ? points : points.filter((other) => other.x === x);
  const medians = those.flatMap((point) => medianOf(point, column) ?? []);
  return medians.length === 0 ? undefined : Math.max(...medians);
}

/** Returns the verdict on a point, by default in the suite's usual column. */
export function judge(
  suite: Suite,
  series: Series,
  point: Point,
  machine: Machine,
  column: Column = usualColumn(suite),
): Verdict {
  const windows = counting(point, column);
  const mpps = summarize(windows.map((window) => window.mpps));
  const discarded = point.windows.filter((window) => !isSteady(window)).length;
  if (mpps === undefined) return { column, discarded, limited: false };
  const limit = limitAt(suite, point.x, column);
  const cycles = windows.flatMap((window) => window.cycles ?? []);
  const latency = merge(
    windows.flatMap((window) => window.latency === undefined ? [] : [window.latency]),
  );
  return {
    column,
    mpps,
    discarded,
    limited: series.name !== LIMIT && suite.name !== "latency" && limit !== undefined &&
      mpps.median >= NEAR_LIMIT * limit,
    preempted: median(windows.map((window) => window.preempted)),
    ...(cycles.length > 0 && { cycles: median(cycles) }),
    ...(machine.tscMHz !== undefined && suite.name !== "latency" && {
      referenceCycles: point.workers * machine.tscMHz / mpps.median,
    }),
    ...(latency.length > 0 && { latency: percentiles(latency) }),
  };
}

/** Merges histograms. */
export function merge(histograms: readonly LatencyBins[]): LatencyBins {
  const all = new Map<number, number>();
  for (const bins of histograms) {
    for (const [time, packets] of bins) all.set(time, (all.get(time) ?? 0) + packets);
  }
  return [...all].toSorted(([a], [b]) => a - b);
}

/** Returns a histogram with fewer bins, for a results file. */
export function coarse(bins: LatencyBins): LatencyBins {
  return merge([bins.map(([time, packets]) => [Number(time.toPrecision(KEPT_DIGITS)), packets])]);
}

function percentiles(bins: LatencyBins): Record<string, number> {
  const histogram = histogramOf(bins), max = histogram.maxValue;
  const all = PERCENTILES.map((p) => {
    // The histogram returns the upper end of a bin, which may exceed the longest time.
    return [String(p), Math.min(max, histogram.getValueAtPercentile(p))] as const;
  });
  return Object.fromEntries([...all, ["max", max] as const].map(([name, ns]) => [name, ns / 1000]));
}

/** Returns a histogram that can compute percentiles. */
export function histogramOf(bins: LatencyBins) {
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LONGEST_NS,
    numberOfSignificantValueDigits: DIGITS,
  });
  for (const [time, packets] of bins) histogram.recordValueWithCount(time, packets);
  return histogram;
}

/** Returns the verdicts on a point in all columns that have windows of it. */
function verdicts(suite: Suite, series: Series, point: Point, machine: Machine) {
  const columns = COLUMNS.map(({ name }) => name).filter((name) =>
    counting(point, name).length > 0
  );
  return Object.fromEntries(
    columns.map((name) => [name, judge(suite, series, point, machine, name)]),
  );
}

/** Returns results with the verdict on each point, for a results file. */
export function withVerdicts({ machine, suites }: Results): unknown {
  return {
    machine,
    suites: suites.map((suite) => ({
      ...suite,
      column: usualColumn(suite),
      distance: usualDistance(suite),
      series: suite.series.map((series) => ({
        ...series,
        points: series.points.map((point) => ({
          ...point,
          verdict: judge(suite, series, point, machine),
          columns: verdicts(suite, series, point, machine),
        })),
      })),
    })),
  };
}
