/**
 * The plot of latencies: percentiles of each forwarder at each load.
 *
 * @module
 */

import { packetRate } from "../../packets/units.ts";
import { LEAN } from "../forwarders.ts";
import type { Machine } from "../machine.ts";
import {
  counting,
  histogramOf,
  merge,
  type Point,
  type Suite,
  usualColumn,
  usualDistance,
} from "../results.ts";
import {
  axis,
  type Chart,
  DARK,
  draw,
  type Drawn,
  lookOf,
  ordered,
  type Part,
  smallPrint,
  title,
  valueAxis,
  where,
  WIDTH,
} from "./style.ts";

/** Pixels beside and between the panels. */
const LEFT = 64, RIGHT = 16, GAP = 34;
/** The highest share of packets that a panel shows: the slowest one of this number. */
const RAREST = 1e4;
/** The panels' loads at most. */
const PANELS = 3;
/** The range of the vertical axis in microseconds: slower packets are beyond it. */
const LEAST_US = 0.1, MOST_US = 1000;
/** Steps of a curve. */
const STEP = 1.1;

/** Draws a panel for each load, the lowest first. */
export function latency(suite: Suite, machine: Machine): string {
  const all = suite.series.flatMap(({ points }) => points.map(({ x }) => x));
  const loads = [...new Set(all)].toSorted((a, b) => a - b).slice(0, PANELS);
  const width = (WIDTH - LEFT - RIGHT - GAP * (loads.length - 1)) / loads.length;
  const left = (i: number) => LEFT + i * (width + GAP);
  const names = ordered(suite).map(({ name }) => name).filter((name) => name !== LEAN);
  const options: Chart = {
    title: [
      title("Time from a packet's arrival until it is sent on", [
        suite.setting,
        where(machine, usualDistance(suite)),
      ]),
      ...loads.map((load, i) => ({
        text: packetRate(load),
        left: left(i) + width / 2,
        top: 106,
        textAlign: "center" as const,
        textStyle: { fontSize: 13, color: "#000000" },
      })),
    ] as Part<"title">,
    legend: {
      top: 80,
      data: names,
      itemWidth: 28,
      itemStyle: { opacity: 0 },
      textStyle: { fontSize: 12, color: DARK },
    },
    grid: loads.map((_, i) => ({ left: left(i), width, top: 132, bottom: 92 })),
    xAxis: loads.map((_, i) => ({
      ...axis("percentile", {
        type: "log",
        min: 1,
        max: RAREST,
        axisLabel: { formatter: percentile, fontSize: 10 },
      }),
      gridIndex: i,
    })) as Part<"xAxis">,
    yAxis: loads.map((_, i) => ({
      ...valueAxis(i === 0 ? "microseconds" : "", {
        type: "log",
        min: LEAST_US,
        max: MOST_US,
        axisLabel: { show: i === 0 },
      }),
      gridIndex: i,
    })) as Part<"yAxis">,
    series: ordered(suite).filter(({ name }) => name !== LEAN).flatMap((series, place) =>
      loads.flatMap((load, i): Drawn[] => {
        const point = series.points.find(({ x }) => x === load);
        const data = point === undefined ? [] : tail(suite, point);
        const { colour, width: thick, line } = lookOf(series.name, place);
        return data.length === 0 ? [] : [{
          type: "line",
          name: series.name,
          data,
          xAxisIndex: i,
          yAxisIndex: i,
          color: colour,
          symbol: "none",
          lineStyle: { width: thick, type: line },
        }];
      })
    ),
    graphic: smallPrint([
      "limit (dashed): the leanest loop in C; nearly all of its time is the instrument's own share in all curves.",
      "From some hundred microseconds on, the tail is the time of other programs and of the host on this machine.",
    ]),
  };
  return draw(500, options);
}

/** Turns 1, 10, 100, … into the percentage of packets that are faster: 0, 90, 99, … */
function percentile(share: number): string {
  return String(Number((100 - 100 / share).toPrecision(8)));
}

/** Returns microseconds by share: of `share` packets, one takes longer. */
function tail(suite: Suite, point: Point): [number, number][] {
  const windows = counting(point, usualColumn(suite));
  const bins = merge(windows.map(({ latency = [] }) => latency));
  if (bins.length === 0) return [];
  const histogram = histogramOf(bins), data: [number, number][] = [];
  const rarest = Math.min(histogram.totalCount, RAREST);
  for (let share = 1; share < rarest; share *= STEP) {
    data.push([share, histogram.getValueAtPercentile(100 - 100 / share) / 1000]);
  }
  return data;
}
