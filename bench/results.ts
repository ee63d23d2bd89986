/**
 * What the bench has measured, and what is to be said of it: medians and spread of the windows that
 * count, what is the software NIC's limit and not the driver's, percentiles of latency.
 *
 * @module
 */

import { dirname } from "node:path";
import { build } from "hdr-histogram-js";
import { UsageError } from "../src/errors.ts";
import type { LatencyBins } from "../sim/wires/latency.ts";
import { sameDistance } from "./distance.ts";
import { LIMIT } from "./forwarders.ts";
import type { Machine } from "./machine.ts";
import { median, summarize, type Summary } from "./statistics.ts";
import type { Balance, Window } from "./window.ts";

/** What is measured. */
export const SUITES = ["throughput", "sizes", "queues", "latency"] as const;
/** One of them. */
export type SuiteName = typeof SUITES[number];

/** All windows of a forwarder at one value of the suite's parameter. */
export interface Point {
  /** Batch size, bytes of a packet, queues, or packets a second offered. */
  readonly x: number;
  /** Threads of the forwarder. */
  readonly workers: number;
  windows: Window[];
  /** What became of all packets, those outside windows included. */
  balance: Balance;
}

/** All that was measured of one forwarder. */
export interface Series {
  readonly name: string;
  readonly points: Point[];
}

/** The measurements of one suite. */
export interface Suite {
  readonly name: SuiteName;
  /** What does not change from point to point, in words. */
  readonly setting: string;
  readonly series: Series[];
}

/** What a file of results has. */
export interface Results {
  readonly machine: Machine;
  readonly suites: Suite[];
}

/** What is said of a point. */
export interface Verdict {
  /** Millions of packets a second, of the windows that count; undefined if none does. */
  readonly mpps?: Summary;
  /** Windows that do not count: the cores' distance changed, or was another than in most. */
  readonly discarded: number;
  /** Whether the software NIC can do little more: within 10 %. */
  readonly limited: boolean;
  /** How often a window was disturbed: the kernel gave a core to another program for a while. */
  readonly preempted?: number;
  /** Cycles of the processor a packet, where it counts them. */
  readonly cycles?: number;
  /** Cycles of the time stamp counter a packet: a core's time, not its work. */
  readonly referenceCycles?: number;
  /** Microseconds, by percentile. */
  readonly latency?: Readonly<Record<string, number>>;
}

/** A rate above this share of the software NIC's own is marked. */
const NEAR_LIMIT = 0.9;
/** Percentiles that are said. */
export const PERCENTILES = [50, 90, 99, 99.9, 99.99, 99.999] as const;
/** Significant digits of a histogram: of its percentiles, and of what is kept in a file. */
const DIGITS = 3, KEPT_DIGITS = 2;
/** The longest time in nanoseconds that a histogram has room for. */
const LONGEST_NS = 1e10;

/** No packets. */
export const NOTHING: Balance = {
  received: 0,
  missed: 0,
  dropped: 0,
  lost: 0,
  reordered: 0,
  corrupt: 0,
};

/** The sum of two balances. */
export function plus(a: Balance, b: Balance): Balance {
  const names = Object.keys(NOTHING) as (keyof Balance)[];
  return Object.fromEntries(names.map((name) => [name, a[name] + b[name]])) as unknown as Balance;
}

/** The distance in nanoseconds at which most windows of a suite were measured; NaN of none. */
export function usualDistance(suite: Suite): number {
  const windows = suite.series.flatMap(({ points }) => points.flatMap((point) => point.windows));
  return median(windows.filter(isSteady).map(({ distance }) => distance[0]));
}

function isSteady({ distance: [before, after] }: Window): boolean {
  return sameDistance(before, after);
}

/** The windows of a point that count. */
export function counting(point: Point, distance: number): Window[] {
  return point.windows.filter((window) =>
    isSteady(window) && sameDistance(window.distance[0], distance)
  );
}

/** The rate that the software NIC reaches at a point; undefined if that was not measured. */
function limitAt(suite: Suite, x: number, distance: number): number | undefined {
  const points = suite.series.find(({ name }) => name === LIMIT)?.points ?? [];
  // Batch sizes mean nothing to it: it is measured once.
  const point = suite.name === "throughput" ? points[0] : points.find((other) => other.x === x);
  if (point === undefined) return undefined;
  return summarize(counting(point, distance).map(({ mpps }) => mpps))?.median;
}

/** What is to be said of a point. */
export function judge(suite: Suite, series: Series, point: Point, machine: Machine): Verdict {
  const distance = usualDistance(suite), windows = counting(point, distance);
  const mpps = summarize(windows.map((window) => window.mpps));
  const discarded = point.windows.length - windows.length;
  if (mpps === undefined) return { discarded, limited: false };
  const limit = limitAt(suite, point.x, distance);
  const cycles = windows.flatMap((window) => window.cycles ?? []);
  const latency = merge(
    windows.flatMap((window) => window.latency === undefined ? [] : [window.latency]),
  );
  return {
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

/** Several histograms as one. */
export function merge(histograms: readonly LatencyBins[]): LatencyBins {
  const all = new Map<number, number>();
  for (const bins of histograms) {
    for (const [time, packets] of bins) all.set(time, (all.get(time) ?? 0) + packets);
  }
  return [...all].toSorted(([a], [b]) => a - b);
}

/** A histogram with fewer bins, for a file. */
export function coarse(bins: LatencyBins): LatencyBins {
  return merge([bins.map(([time, packets]) => [Number(time.toPrecision(KEPT_DIGITS)), packets])]);
}

function percentiles(bins: LatencyBins): Record<string, number> {
  const histogram = histogramOf(bins), max = histogram.maxValue;
  const all = PERCENTILES.map((p) => {
    // Of a bin the histogram gives the longest time, which may be longer than any packet's.
    return [String(p), Math.min(max, histogram.getValueAtPercentile(p))] as const;
  });
  return Object.fromEntries([...all, ["max", max] as const].map(([name, ns]) => [name, ns / 1000]));
}

/** A histogram that knows percentiles. */
export function histogramOf(bins: LatencyBins) {
  const histogram = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: LONGEST_NS,
    numberOfSignificantValueDigits: DIGITS,
  });
  for (const [time, packets] of bins) histogram.recordValueWithCount(time, packets);
  return histogram;
}

/** Results as a file has them: with what is said of each point. */
export function withVerdicts({ machine, suites }: Results): unknown {
  return {
    machine,
    suites: suites.map((suite) => ({
      ...suite,
      distance: usualDistance(suite),
      series: suite.series.map((series) => ({
        ...series,
        points: series.points.map((point) => ({
          ...point,
          verdict: judge(suite, series, point, machine),
        })),
      })),
    })),
  };
}

/**
 * Reads a file of results.
 *
 * @throws {UsageError} if it is none.
 */
export function readResults(path: string): Results {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) throw new UsageError(`there is no file ${path}`);
    throw refused("read", path, error);
  }
  try {
    const { machine, suites } = JSON.parse(text);
    if (machine === undefined || !Array.isArray(suites)) throw new SyntaxError("no suites in it");
    return { machine, suites };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UsageError(`${path} holds no results of the bench: ${error.message}`);
  }
}

/** Whether there is a file. */
export function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Makes sure that a file of results can be written, and makes its directory. Does not change the file.
 *
 * @throws {UsageError} if it cannot be.
 */
export function prepareResults(path: string): void {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true });
    const isNew = !isFile(path);
    Deno.openSync(path, { append: true, create: true }).close();
    if (isNew) Deno.removeSync(path); // what is empty holds no results
  } catch (error) {
    throw refused("write", path, error);
  }
}

/** What to throw if a file cannot be used. */
function refused(what: string, path: string, error: unknown): unknown {
  const reason = error instanceof Error && /^(.+) \(os error \d+\)/.exec(error.message)?.[1];
  return reason ? new UsageError(`cannot ${what} ${path}: ${reason.toLowerCase()}`) : error;
}

/** Writes a file of results. */
export function writeResults(path: string, results: Results): void {
  // A line for each window: what is read by people are the verdicts.
  const lines = JSON.stringify(withVerdicts(results), null, 1)
    .replace(/\[\n\s+(-?[\d.e+]+),\n\s+(-?[\d.e+]+)\n\s+\]/g, "[$1,$2]")
    .replace(/"latency": \[[^"]*?\]\n/g, (bins) => bins.replace(/\n\s*/g, "") + "\n");
  Deno.writeTextFileSync(path, lines + "\n");
}
