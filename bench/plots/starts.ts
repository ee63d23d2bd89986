/**
 * The plot of starts: rates from the start of a forwarder's process on, and the rate that each start reaches.
 *
 * @module
 */

import { LEAN, LIMIT } from "../forwarders.ts";
import type { Machine } from "../machine.ts";
import { type Series, type Suite, usualDistance } from "../results.ts";
import { median } from "../statistics.ts";
import { STEP_MS } from "../window.ts";
import {
  axis,
  type Chart,
  draw,
  type Drawn,
  type Look,
  lookOf,
  ordered,
  type Part,
  smallPrint,
  title,
  valueAxis,
  where,
} from "./style.ts";

/** Pixels of the left panel, and where the right one starts. */
const PANEL = 430, RIGHT = 590;
/** How far the dots of the right panel lie apart, as a share of a column. */
const SCATTER = 0.3;

/** Draws both; returns undefined if no start was recorded. */
export function starts(suite: Suite, machine: Machine): string | undefined {
  const shown = ordered(suite).filter(({ name, points }) =>
    name !== LIMIT && name !== LEAN && points.some((point) => point.starts.length > 0)
  );
  if (shown.length === 0) return undefined;
  const names = shown.map(({ name }) => name).toReversed();
  const number = Math.max(...shown.map((series) => startsOf(series).length));
  const options: Chart = {
    title: title("From the start of the process to full speed", [
      suite.setting,
      where(machine, usualDistance(suite)),
    ]),
    grid: [
      { left: 64, width: PANEL, top: 84, bottom: 92 },
      { left: RIGHT, right: 20, top: 84, bottom: 92 },
    ],
    xAxis: [
      axis("seconds since the start of the process", { type: "value", min: 0, max: 2 }),
      {
        ...axis("million packets a second of each start", {
          type: "value",
          min: 0,
          axisLine: { onZero: false },
        }),
        gridIndex: 1,
      },
    ] as Part<"xAxis">,
    yAxis: [
      valueAxis("million packets a second"),
      {
        type: "value",
        gridIndex: 1,
        min: -0.5,
        max: names.length - 0.5,
        interval: 1,
        axisLabel: { show: false },
        splitLine: { show: false },
        axisTick: { show: false },
      },
    ] as Part<"yAxis">,
    series: shown.flatMap((series, i) => {
      return both(series, lookOf(series.name, i), names.indexOf(series.name));
    }),
    graphic: smallPrint([
      `Left: medians of ${number} starts, in steps of ${STEP_MS} ms; packets wait from the start on.`,
      "Right: each dot is the rate of one start, once it is warm.",
    ]),
  };
  return draw(460, options);
}

function startsOf({ points }: Series): Series["points"][number]["starts"] {
  return points.flatMap((point) => point.starts);
}

/** Returns a forwarder's curve and dots. */
function both(series: Series, { colour, width, line }: Look, row: number): Drawn[] {
  const all = startsOf(series),
    kept = all.flatMap(({ rates = [] }) => rates.length > 0 ? [rates] : []);
  const steps = Math.min(...kept.map((rates) => rates.length));
  const curve = Array.from({ length: kept.length === 0 ? 0 : steps }, (_, i) => {
    return [(i + 0.5) * STEP_MS / 1000, median(kept.map((rates) => rates[i]))];
  });
  const apart = (i: number) => row + SCATTER * (2 * (i + 0.5) / all.length - 1);
  const dots = all.map(({ mpps }, i) => [mpps, apart(i)]);
  return [
    {
      type: "line",
      name: series.name,
      data: curve,
      color: colour,
      symbol: "none",
      lineStyle: { width, type: line },
    },
    {
      type: "scatter",
      data: dots,
      xAxisIndex: 1,
      yAxisIndex: 1,
      symbolSize: 5,
      itemStyle: { color: colour, opacity: 0.7 },
      markPoint: {
        silent: true,
        symbol: "rect",
        symbolSize: 0.1,
        data: [{ name: series.name, coord: [0, row] }],
        label: {
          formatter: series.name,
          position: "left",
          color: colour,
          fontSize: 12,
          distance: 8,
        },
      },
    },
  ];
}
