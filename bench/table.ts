/**
 * Results as text.
 *
 * @module
 */

import { WIRE_OVERHEAD } from "../programs/report.ts";
import { LIMIT } from "./forwarders.ts";
import type { Machine } from "./machine.ts";
import { judge, PERCENTILES, type Suite, usualDistance, type Verdict } from "./results.ts";
import { SIZE } from "./suites.ts";

/** What stands above a column with the suite's parameter. */
const PARAMETER = {
  throughput: "batch",
  sizes: "bytes",
  queues: "queues",
  latency: "offered",
} as const;

/** Rows as lines, right-justified but for the first column. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  return rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i])).join("  ")
  ).join("\n");
}

/** A suite's table, with what it says beside. */
export function table(suite: Suite, machine: Machine): string {
  const rows = suite.series.flatMap((series) =>
    series.points.map((point) => {
      const verdict = judge(suite, series, point, machine);
      const x = series.name === LIMIT && suite.name === "throughput" ? "" : String(point.x);
      return { series, point, verdict, cells: [series.name, x] };
    })
  );
  const own = suite.name === "latency" ? LATENCY : RATES;
  const header = ["forwarder", PARAMETER[suite.name], ...own.header];
  const body = rows.map((
    { cells, point, verdict },
  ) => [...cells, ...own.cells(verdict, suite.name === "sizes" ? point.x : SIZE)]);
  const distance = usualDistance(suite);
  const lines = [
    `${suite.name}: ${suite.setting}; cores ${distance.toFixed(0)} ns apart (there and back)`,
    "",
    align([header, ...body]),
  ];
  if (rows.some(({ verdict }) => verdict.limited)) {
    lines.push("* within 10 % of what the software NIC can do: the driver may be able to do more");
  }
  return lines.join("\n");
}

const fixed = (n: number | undefined, digits: number) => n === undefined ? "-" : n.toFixed(digits);

const RATES = {
  header: [
    "Mpps",
    "",
    "quartiles",
    "Gbit/s",
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
      fixed(mpps?.median, 2),
      limited ? "*" : " ",
      mpps ? `${mpps.q1.toFixed(2)}-${mpps.q3.toFixed(2)}` : "-",
      fixed(mpps && mpps.median * bytes * 8 / 1000, 2),
      fixed(referenceCycles, 0),
      fixed(cycles, 0),
      fixed(preempted, 0),
      String(mpps?.n ?? 0),
      String(discarded),
    ];
  },
};

const LATENCY = {
  header: ["Mpps", ...PERCENTILES.map((p) => `p${p}`), "max", "preempted", "windows", "discarded"],
  cells({ mpps, latency, preempted, discarded }: Verdict): string[] {
    return [
      fixed(mpps?.median, 2),
      ...[...PERCENTILES.map(String), "max"].map((name) => fixed(latency?.[name], 2)),
      fixed(preempted, 0),
      String(mpps?.n ?? 0),
      String(discarded),
    ];
  },
};

/** What holds for all tables. */
export function notes(machine: Machine, suites: readonly Suite[]): string {
  const counted = suites.some((suite) =>
    suite.series.some(({ points }) =>
      points.some(({ windows }) => windows[0]?.cycles !== undefined)
    )
  );
  return [
    "limit: the software NIC with the least that can be done in the forwarder's place.",
    "Windows are discarded where the distance of the two cores changed, or was unlike the others'.",
    "preempted: how often in a window the kernel gave one of the two cores to another program.",
    machine.tscMHz === undefined
      ? "ref. cycles: the time stamp counter of this machine is not known to be constant."
      : `ref. cycles: of the forwarder's cores a packet, at ${machine.tscMHz} MHz (time stamp counter).`,
    counted
      ? "cycles: as the processor counts them."
      : "cycles: this machine lets nobody count the processor's own cycles (perf_event_open).",
  ].join("\n");
}
