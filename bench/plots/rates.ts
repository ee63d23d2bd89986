/**
 * The plots of rates: by batch size, packet size and number of queues, and cycles a packet.
 *
 * @module
 */

import { lineRate } from "../../sim/wires/generator.ts";
import { LEAN, LIMIT, OURS } from "../forwarders.ts";
import type { Machine } from "../machine.ts";
import { judge, type Series, type Suite, usualDistance } from "../results.ts";
import { SIZE } from "../suites.ts";
import {
  axis,
  type Chart,
  doublingAxis,
  draw,
  type Drawn,
  lookOf,
  medians,
  ordered,
  smallPrint,
  type Spread,
  title,
  valueAxis,
  where,
} from "./style.ts";

/** Pixels for titles, small print, and the names at the ends of lines. */
const GRID = { left: 70, right: 118, top: 84, bottom: 96 };
/** The batch size of the plot of cycles. */
const BATCH = 32;
/** Numbers of cores to calculate rates for. */
const CORES = [1, 2, 4, 8, 16];

const BARS = "Lines: medians of windows; bars: quartiles. ";
const HOLLOW = "Hollow marks: within 10 % of the limit, which may be the instrument's.";
const YARDSTICKS = `Dashed, no drivers: ${LIMIT} (leanest loop in C) and ${LEAN} (in TypeScript).`;

/** Returns the points of a series that have a rate, in order. */
function pointsOf(suite: Suite, series: Series, machine: Machine): Spread[] {
  return series.points.toSorted((a, b) => a.x - b.x).flatMap((point) => {
    const { mpps, limited } = judge(suite, series, point, machine);
    return mpps === undefined ? [] : [{ x: point.x, ...mpps, limited }];
  });
}

/** Returns the rates of all forwarders as lines; of those with few points only if asked for. */
function lines(suite: Suite, machine: Machine, least = 1): Drawn[] {
  return ordered(suite).flatMap((series, i) => {
    const points = pointsOf(suite, series, machine);
    return points.length < least ? [] : medians(series.name, points, lookOf(series.name, i));
  });
}

/** Returns all values of the suite's parameter, in order. */
function parameters(suite: Suite): number[] {
  const all = suite.series.flatMap(({ points }) => points.map(({ x }) => x));
  return [...new Set(all)].toSorted((a, b) => a - b);
}

function whereOf(suite: Suite, machine: Machine): string {
  return where(machine, usualDistance(suite));
}

/** Draws rates by batch size. */
export function throughput(suite: Suite, machine: Machine): string {
  const xs = parameters(suite);
  return draw(540, {
    title: title("Packets forwarded by one core, by batch size", [
      suite.setting,
      whereOf(suite, machine),
    ]),
    grid: GRID,
    xAxis: doublingAxis("batch size (packets)", xs[0], xs.at(-1)!),
    yAxis: valueAxis("million packets a second, both directions"),
    series: lines(suite, machine),
    graphic: smallPrint([BARS + HOLLOW, YARDSTICKS]),
  });
}

/** Draws rates by packet size, with those of the wires. */
export function sizes(suite: Suite, machine: Machine): string {
  const xs = parameters(suite), series = lines(suite, machine);
  const highest = Math.max(
    ...suite.series.flatMap((one) => pointsOf(suite, one, machine).map(({ q3 }) => q3)),
  );
  const wires = xs.map((size) => [size, 2 * lineRate(size) / 1e6]).filter(([, y]) => y < highest);
  series.push({
    type: "line",
    data: wires,
    color: "#999999",
    symbol: "none",
    lineStyle: { width: 1.5, type: "dotted" },
  });
  return draw(500, {
    title: title("Packets forwarded by one core, by packet size", [
      suite.setting,
      whereOf(suite, machine),
    ]),
    grid: GRID,
    xAxis: axis("bytes of a packet, without CRC", {
      type: "value",
      min: 0,
      max: xs.at(-1)!,
      interval: 200,
    }),
    yAxis: valueAxis("million packets a second, both directions"),
    series,
    graphic: smallPrint([BARS + HOLLOW, `${YARDSTICKS} Dotted: two wires of 10 Gbit/s.`]),
  });
}

/** Draws rates by number of queues on one core, and calculates those of several cores. */
export function queues(suite: Suite, machine: Machine): string {
  const own = suite.series.find(({ name }) => name === OURS);
  const single = own && pointsOf(suite, own, machine).find(({ x }) => x === 1);
  const calculated: Drawn[] = single === undefined ? [] : [{
    type: "line",
    data: CORES.map((cores) => [cores, cores * single.median]),
    color: lookOf(OURS, 0).colour,
    symbol: "none",
    lineStyle: { width: 1.5, type: "dotted" },
    endLabel: {
      show: true,
      formatter: "calculated:\na core for\neach queue",
      color: lookOf(OURS, 0).colour,
      fontSize: 12,
      distance: 8,
    },
  }];
  const wires = 2 * lineRate(SIZE) / 1e6;
  const options: Chart = {
    title: title("Packets forwarded, by number of queues of each port", [
      suite.setting,
      whereOf(suite, machine),
    ]),
    grid: GRID,
    xAxis: doublingAxis(
      "receive and transmit queues of each port (dotted: and cores)",
      1,
      CORES.at(-1)!,
    ),
    yAxis: valueAxis("million packets a second, both directions", {
      type: "log",
      logBase: 2,
      min: 8,
    }),
    series: [...lines(suite, machine, 2), ...calculated, {
      type: "line",
      data: [[1, wires], [CORES.at(-1)!, wires]],
      color: "#999999",
      symbol: "none",
      lineStyle: { width: 1, type: "dotted" },
      endLabel: { show: true, formatter: "2 x 10 Gbit/s", color: "#666666", fontSize: 12 },
    }],
    graphic: smallPrint([
      `${BARS}Measured: all queues on one core. Dashed, no drivers: limit, lean.`,
      "Dotted: calculated, not measured: the rate of one queue on one core times cores, since workers share nothing.",
    ]),
  };
  return draw(520, options);
}

/** Draws cycles a packet as bars. */
export function cycles(suite: Suite, machine: Machine): string | undefined {
  const bars = suite.series.flatMap((series, i) => {
    const point = series.points.find(({ x }) => x === BATCH);
    const verdict = point && judge(suite, series, point, machine);
    const value = verdict?.cycles ?? verdict?.referenceCycles;
    if (verdict === undefined || value === undefined) return [];
    return [{ name: series.name, value, counted: verdict.cycles !== undefined, i }];
  }).toSorted((a, b) => b.value - a.value);
  if (bars.length === 0) return undefined;
  const kind = bars[0].counted
    ? "cycles that the processor counts"
    : `cycles of the time stamp counter (${machine.tscMHz} MHz), working or waiting`;
  return draw(130 + 30 * bars.length, {
    title: title(`Cycles a packet, in batches of ${BATCH}`, [
      suite.setting,
      whereOf(suite, machine),
    ]),
    grid: { left: 110, right: 60, top: 76, bottom: 52 },
    xAxis: axis(`${kind}: less is better`, { type: "value", min: 0 }),
    yAxis: {
      type: "category",
      data: bars.map(({ name }) => name),
      axisTick: { show: false },
      axisLabel: { fontSize: 12, color: "#000000" },
    },
    series: [{
      type: "bar",
      barWidth: 17,
      data: bars.map(({ name, value, i }) => {
        const { colour, line } = lookOf(name, i);
        return {
          value: Math.round(value),
          itemStyle: { color: colour, opacity: line === "dashed" ? 0.35 : 1 },
        };
      }),
      label: { show: true, position: "right", color: "#000000" },
    }],
  });
}
