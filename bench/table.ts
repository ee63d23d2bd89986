/**
 * Results as text.
 *
 * @module
 */

import { bitRate, packetRate, packetRates } from "../packets/units.ts";
import { WIRE_OVERHEAD } from "../programs/report.ts";
import type { Machine } from "./machine.ts";
import {
  judge,
  PERCENTILES,
  type Suite,
  usualColumn,
  usualDistance,
  type Verdict,
} from "./results.ts";
import { SIZE } from "./suites.ts";

/** The header of the column with the suite's parameter. */
const PARAMETER = {
  throughput: "batch",
  sizes: "bytes",
  queues: "queues",
  latency: "offered",
  spread: "batch",
} as const;

/** Returns rows as lines, right-justified except for the first column. */
export function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ")
  ).join("\n");
}

/** Returns a suite's table, with its heading and footnote. */
export function table(suite: Suite, machine: Machine): string {
  const rows = suite.series.flatMap((series) =>
    series.points.map((point) => {
      const verdict = judge(suite, series, point, machine);
      const x = suite.name === "latency" ? packetRate(point.x) : String(point.x);
      return { series, point, verdict, cells: [series.name, x] };
    })
  );
  const own = suite.name === "latency" ? LATENCY : RATES;
  const header = ["forwarder", PARAMETER[suite.name], ...own.header];
  const body = rows.map((
    { cells, point, verdict },
  ) => [...cells, ...own.cells(verdict, suite.name === "sizes" ? point.x : SIZE)]);
  const column = usualColumn(suite), distance = usualDistance(suite, column);
  const lines = [
    `${suite.name}: ${suite.setting}; cores ${column}, ${
      distance.toFixed(0)
    } ns apart (there and back)`,
    "",
    align([header, ...body]),
  ];
  if (rows.some(({ verdict }) => verdict.limited)) {
    lines.push("* within 10 % of the limit of the device: the driver may be able to do more");
  }
  for (const { failure } of suite.series) if (failure !== undefined) lines.push(failure);
  return lines.join("\n");
}

const fixed = (n: number | undefined, digits: number) => n === undefined ? "-" : n.toFixed(digits);

/** Formats a packet rate given in millions. */
const millions = (mpps: number | undefined) => mpps === undefined ? "-" : packetRate(mpps * 1e6);

const RATES = {
  header: [
    "median",
    "",
    "quartiles",
    "bit rate",
    "ref. cycles",
    "cycles",
    "preempted",
    "windows",
    "discarded",
  ],
  cells(verdict: Verdict, size: number): string[] {
    const { mpps, limited, cycles, referenceCycles, preempted, discarded } = verdict;
    const bytes = size + WIRE_OVERHEAD;
    return [
      millions(mpps?.median),
      limited ? "*" : " ",
      mpps ? packetRates(mpps.q1 * 1e6, mpps.q3 * 1e6) : "-",
      mpps ? bitRate(mpps.median * 1e6 * bytes * 8) : "-",
      fixed(referenceCycles, 0),
      fixed(cycles, 0),
      fixed(preempted, 0),
      String(mpps?.n ?? 0),
      String(discarded),
    ];
  },
};

const LATENCY = {
  header: [
    "median",
    ...PERCENTILES.map((p) => `p${p}`),
    "max",
    "preempted",
    "windows",
    "discarded",
  ],
  cells({ mpps, latency, preempted, discarded }: Verdict): string[] {
    return [
      millions(mpps?.median),
      ...[...PERCENTILES.map(String), "max"].map((name) => fixed(latency?.[name], 2)),
      fixed(preempted, 0),
      String(mpps?.n ?? 0),
      String(discarded),
    ];
  },
};

/** Returns the notes for all tables. */
export function notes(machine: Machine, suites: readonly Suite[]): string {
  const counted = suites.some((suite) =>
    suite.series.some(({ points }) =>
      points.some(({ windows }) => windows[0]?.cycles !== undefined)
    )
  );
  return [
    "median, quartiles, bit rate: packets forwarded a second, both directions together.",
    ...(suites.some(({ name }) => name === "latency")
      ? ["p50 to max: percentiles of the latency, in microseconds."]
      : []),
    "limit: the leanest forwarder that the device allows; lean: the leanest in TypeScript.",
    "Only windows of one class of distances count (same: below 80 ns, near: below 250 ns, far); windows are " +
    "discarded if the distance changed.",
    "preempted: how often in a window the kernel gave one of the two cores to another program.",
    machine.tscMHz === undefined
      ? "ref. cycles: this machine may not have a constant time stamp counter."
      : `ref. cycles: time stamp counter (${machine.tscMHz} MHz) on the forwarder's cores, a packet.`,
    counted
      ? "cycles: counted by the processor, a packet."
      : "cycles: this machine does not allow counting processor cycles (perf_event_open).",
  ].join("\n");
}
