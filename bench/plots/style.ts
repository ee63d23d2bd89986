/**
 * How all plots look: size, colours and marks of forwarders, axes, small print.
 *
 * @module
 */

import * as echarts from "echarts";
import { LEAN, LIMIT, OURS } from "../forwarders.ts";
import type { Machine } from "../machine.ts";
import type { Suite } from "../results.ts";

/** Width of a plot in pixels. */
export const WIDTH = 860;
/** Colour of text that is not a title. */
export const DARK = "#333333";

/** How a forwarder looks in every plot. */
export interface Look {
  readonly colour: string;
  readonly symbol: string;
  /** Width of its line. */
  readonly width: number;
  /** Yardsticks, which are no drivers, are dashed. */
  readonly line: "solid" | "dotted" | "dashed";
}

/** Looks of forwarders by name. Colours are distinct to colour-blind readers too (Okabe and Ito). */
const LOOKS: Readonly<Record<string, Look>> = {
  [OURS]: { colour: "#d55e00", symbol: "circle", width: 3.5, line: "solid" },
  [LEAN]: { colour: "#d55e00", symbol: "none", width: 1.2, line: "dashed" },
  [LIMIT]: { colour: "#777777", symbol: "none", width: 1.5, line: "dashed" },
  "ixy.c": { colour: "#0072b2", symbol: "rect", width: 2, line: "solid" },
  "ixy.rs": { colour: "#009e73", symbol: "triangle", width: 2, line: "solid" },
  "ixy.go": { colour: "#56b4e9", symbol: "diamond", width: 2, line: "solid" },
  "ixy.js": { colour: "#cc79a7", symbol: "roundRect", width: 2, line: "solid" },
  "ixy.ml": { colour: "#b58900", symbol: "pin", width: 2, line: "solid" },
  "DPDK vector": { colour: "#000000", symbol: "rect", width: 2, line: "solid" },
  "DPDK scalar": { colour: "#000000", symbol: "triangle", width: 1.5, line: "dotted" },
};
/** Looks of other names, in turns. */
const MORE: readonly Look[] = ["#e69f00", "#0072b2", "#009e73", "#cc79a7"].map((colour) => {
  return { colour, symbol: "arrow", width: 2, line: "solid" };
});

/** Returns the look of a forwarder; `i` is its place among all. */
export function lookOf(name: string, i: number): Look {
  return LOOKS[name] ?? MORE[i % MORE.length];
}

/** Options of a chart. */
export type Chart = echarts.EChartsOption;
/** A series of a chart. */
export type Drawn = echarts.SeriesOption;
/** A part of a chart that is there. */
export type Part<K extends keyof Chart> = NonNullable<Chart[K]>;

/** Draws a chart as an SVG file. */
export function draw(height: number, options: Chart): string {
  const size = { width: WIDTH, height };
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, ...size });
  try {
    const common: Chart = {
      animation: false,
      backgroundColor: "#ffffff",
      textStyle: { fontFamily: "sans-serif" },
    };
    chart.setOption({ ...common, ...options });
    return chart.renderToSVGString() + "\n";
  } finally {
    chart.dispose();
  }
}

/** Returns a title with lines of explanation, and the machine below them. */
export function title(text: string, lines: readonly string[]): Part<"title"> {
  return {
    text,
    subtext: lines.join("\n"),
    left: "center",
    top: 6,
    textStyle: { fontSize: 17, color: "#000000" },
    subtextStyle: { color: DARK, fontSize: 12, lineHeight: 16 },
  };
}

/** Describes where a suite was measured. */
export function where(machine: Machine, distance: number): string {
  const kind = machine.virtual ? " (virtual machine)" : "";
  return `${machine.cpu}${kind}, cores ${distance.toFixed(0)} ns apart`;
}

/** Returns small print below a chart. */
export function smallPrint(lines: readonly string[]): Part<"graphic"> {
  const style = { text: lines.join("\n"), fontSize: 11, lineHeight: 15, fill: DARK };
  return [{ type: "text", left: 16, bottom: 8, style }];
}

/** Returns a vertical axis of values from zero. */
export function valueAxis(name: string, more: object = {}): Part<"yAxis"> {
  return { type: "value", name, nameLocation: "middle", nameGap: 44, min: 0, ...more } as Part<
    "yAxis"
  >;
}

/** Returns a horizontal axis. */
export function axis(name: string, more: object): Part<"xAxis"> {
  return { name, nameLocation: "middle", nameGap: 28, ...more } as Part<"xAxis">;
}

/** Returns a horizontal axis of numbers that double from mark to mark. */
export function doublingAxis(name: string, min: number, max: number): Part<"xAxis"> {
  return axis(name, { type: "log", logBase: 2, min, max });
}

/** A point with spread. */
export interface Spread {
  readonly x: number;
  readonly median: number;
  readonly q1: number;
  readonly q3: number;
  /** Whether the instrument was the limit. */
  readonly limited: boolean;
}

/**
 * Returns medians as a line with its name at the end, and quartiles as bars. Hollow marks: limited by the
 * instrument.
 */
export function medians(name: string, points: readonly Spread[], look: Look): Drawn[] {
  if (points.length === 0) return [];
  const { colour, symbol, width, line } = look, yardstick = line === "dashed";
  return [
    {
      type: "line",
      name,
      data: points.map(({ x, median, limited }) => ({
        value: [x, median],
        symbol,
        itemStyle: limited
          ? { color: "#ffffff", borderColor: colour, borderWidth: 2 }
          : { color: colour },
      })),
      color: colour,
      symbolSize: symbol === "none" ? 0 : 9,
      showAllSymbol: true,
      lineStyle: { color: colour, width, type: line },
      endLabel: {
        show: true,
        formatter: name,
        color: colour,
        fontSize: 12,
        fontWeight: name === OURS ? "bold" : "normal",
        distance: 8,
      },
      labelLayout: { moveOverlap: "shiftY" },
      z: name === OURS ? 6 : yardstick ? 3 : 5,
    },
    ...(yardstick ? [] : [spread(points, colour)]),
  ];
}

/** Returns the quartiles of points as bars. */
function spread(points: readonly Spread[], colour: string): Drawn {
  const style = { stroke: colour, fill: "none", lineWidth: 1.2, opacity: 0.75 }, wing = 4;
  return {
    type: "custom",
    silent: true,
    data: points.map(({ x, q1, q3 }) => [x, q1, q3]),
    renderItem(_params, api) {
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const [, high] = api.coord([api.value(0), api.value(2)]);
      const bar = (x1: number, y1: number, x2: number, y2: number) => {
        return { type: "line" as const, shape: { x1, y1, x2, y2 }, style };
      };
      const children = [
        bar(x, low, x, high),
        bar(x - wing, low, x + wing, low),
        bar(x - wing, high, x + wing, high),
      ];
      return { type: "group", children };
    },
    z: 4,
  };
}

/** Returns the series of a suite in the order to draw them: yardsticks first, ours last. */
export function ordered(suite: Suite): Suite["series"] {
  const rank = (name: string) => name === OURS ? 2 : name === LIMIT || name === LEAN ? 0 : 1;
  return suite.series.toSorted((a, b) => rank(a.name) - rank(b.name));
}
