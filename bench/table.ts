/**
 * Results as text.
 *
 * @module
 */

import { bitRate, packetRate, packetRates } from "../packets/units.ts";
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
      const x = suite.name === "latency" ? packetRate(point.x) : String(point.x);
      const once = series.name === LIMIT && suite.name === "throughput";
      return { series, point, verdict, cells: [series.name, once ? "" : x] };
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

/** A rate of packets that is given in millions. */
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

/** What holds for all tables. */
export function notes(machine: Machine, suites: readonly Suite[]): string {
  const counted = suites.some((suite) =>
    suite.series.some(({ points }) =>
      points.some(({ windows }) => windows[0]?.cycles !== undefined)
    )
  );
  return [
    "median, quartiles, bit rate: of packets forwarded a second, both directions together.",
    ...(suites.some(({ name }) => name === "latency")
      ? ["p50 to max: percentiles of the latency, in microseconds."]
      : []),
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
