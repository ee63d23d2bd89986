/**
 * Results as SVG plots, drawn by ECharts without a browser.
 *
 * @module
 */

import * as echarts from "echarts";
import { packetRate } from "../packets/units.ts";
import { lineRate } from "../sim/wires/generator.ts";
import { LIMIT, OURS } from "./forwarders.ts";
import type { Machine } from "./machine.ts";
import * as published from "./published.ts";
import {
  counting,
  histogramOf,
  judge,
  merge,
  type Series,
  type Suite,
  type SuiteName,
  usualColumn,
  usualDistance,
} from "./results.ts";

/** Size of a plot in pixels. */
const WIDTH = 860, HEIGHT = 520;
/** Colours that are distinct to colour-blind readers too (Okabe and Ito). */
const COLOURS = ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const GREY = "#999999", DARK = "#333333";
/** Colours and marks of published series. */
const PALE = [
  ...["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#edc948"],
  ...["#76b7b2", "#9c755f", "#ff9da7", "#e15759", "#bab0ac"],
];
const SYMBOLS = ["triangle", "rect", "diamond", "roundRect", "arrow"];

type Part<K extends keyof echarts.EChartsOption> = NonNullable<echarts.EChartsOption[K]>;
type Line = echarts.LineSeriesOption | echarts.ScatterSeriesOption;

/** Returns the plot of a suite as an SVG file; undefined if it has none. */
export function plot(suite: Suite, machine: Machine): string | undefined {
  const { name } = suite;
  if (name === "spread") return undefined;
  const chart = echarts.init(null, null, {
    renderer: "svg",
    ssr: true,
    width: WIDTH,
    height: HEIGHT,
  });
  try {
    chart.setOption({ ...frame(suite, TITLES[name], machine), ...PICTURES[name](suite, machine) });
    return chart.renderToSVGString() + "\n";
  } finally {
    chart.dispose();
  }
}

/** The suites with a plot. */
type Plotted = Exclude<SuiteName, "spread">;

const TITLES: Readonly<Record<Plotted, string>> = {
  throughput: "Bidirectional forwarding by batch size",
  sizes: "Bidirectional forwarding by packet size",
  queues: "Bidirectional forwarding by number of queues",
  latency: "Forwarding latency",
};

/** Returns the common options of all plots. */
function frame(suite: Suite, title: string, machine: Machine): echarts.EChartsOption {
  const where = `${machine.cpu}${machine.virtual ? " (virtual machine)" : ""}`;
  const distance = usualDistance(suite).toFixed(0);
  return {
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: "sans-serif" },
    title: {
      text: title,
      subtext: `${where}, cores ${distance} ns apart\n${suite.setting}`,
      left: "center",
      subtextStyle: { color: DARK, fontSize: 11 },
    },
    legend: { right: 8, top: "middle", orient: "vertical", textStyle: { fontSize: 11 } },
    grid: { left: 64, right: 190, top: 88, bottom: 96 },
  };
}

/** Returns small print below a plot. */
function smallPrint(text: string): Part<"graphic"> {
  const style = { text, fontSize: 10, fill: DARK };
  return [{ type: "text", left: 16, bottom: 8, style }];
}

const MARKED = "hollow: within 10 % of the software NIC's own limit; dots: single windows";

/** Returns medians as a line, and each window as a dot. */
function measured(suite: Suite, series: Series, machine: Machine, colour: string): Line[] {
  const column = usualColumn(suite);
  const points = series.points.toSorted((a, b) => a.x - b.x);
  const medians = points.flatMap((point) => {
    const { mpps, limited } = judge(suite, series, point, machine);
    if (mpps === undefined) return [];
    return [{ value: [point.x, mpps.median], symbol: limited ? "emptyCircle" : "circle" }];
  });
  const dots = points.flatMap((point) =>
    counting(point, column).map(({ mpps }) => [point.x, mpps])
  );
  return [
    {
      type: "line",
      name: series.name,
      data: medians,
      color: colour,
      symbolSize: series.name === LIMIT ? 0 : 8,
      lineStyle: { width: series.name === LIMIT ? 1.5 : 3, ...dashed(series.name === LIMIT) },
      z: 5,
    },
    {
      type: "scatter",
      data: dots,
      color: colour,
      symbolSize: 4,
      itemStyle: { opacity: 0.35 },
      silent: true,
    },
  ];
}

function dashed(on: boolean): { type?: "dashed" } {
  return on ? { type: "dashed" } : {};
}

function colourOf(name: string, i: number): string {
  return name === LIMIT ? DARK : name === OURS ? COLOURS[0] : COLOURS[1 + i % (COLOURS.length - 1)];
}

function allMeasured(suite: Suite, machine: Machine): Line[] {
  return suite.series.flatMap((series, i) =>
    measured(suite, series, machine, colourOf(series.name, i))
  );
}

/** Returns published series. */
function others(
  figures: Readonly<Record<string, readonly number[]>>,
  xs: readonly number[],
): Line[] {
  return Object.entries(figures).map(([language, values], i) => ({
    type: "line",
    name: `${language} †`,
    data: xs.map((x, k) => [x, values[k]]),
    color: PALE[i % PALE.length],
    symbol: SYMBOLS[i % SYMBOLS.length],
    symbolSize: 6,
    lineStyle: { width: 1, opacity: 0.6 },
    itemStyle: { opacity: 0.6 },
  }));
}

function valueAxis(name: string): Part<"yAxis"> {
  return { type: "value", name, nameLocation: "middle", nameGap: 40, min: 0 };
}

function axis(name: string, more: object): Part<"xAxis"> {
  return { name, nameLocation: "middle", nameGap: 28, ...more } as Part<"xAxis">;
}

/** The own options of each plot. */
const PICTURES: Readonly<
  Record<Plotted, (suite: Suite, machine: Machine) => echarts.EChartsOption>
> = {
  throughput(suite, machine) {
    const { min, max } = { min: published.BATCHES[0], max: published.BATCHES.at(-1)! };
    // The software NIC's limit has no batch size: it applies to all.
    const limit = suite.series.find(({ name }) => name === LIMIT);
    const reach = (series: Series): Series => ({
      ...series,
      points: [min, max].map((x) => ({ ...series.points[0], x })),
    });
    const own = {
      ...suite,
      series: suite.series.map((series) => series === limit ? reach(series) : series),
    };
    return {
      xAxis: axis("batch size (packets)", { type: "log", logBase: 2, min, max }),
      yAxis: valueAxis("Mpps, both directions"),
      series: [
        ...allMeasured(own, machine),
        ...others(published.THROUGHPUT, published.BATCHES),
      ],
      graphic: smallPrint(
        `${MARKED}\n† published, other machine: ${published.THROUGHPUT_SETTING};\n` +
          `  ${published.CITATION}`,
      ),
    };
  },
  sizes(suite, machine) {
    const sizes = [...new Set(suite.series.flatMap(({ points }) => points.map(({ x }) => x)))];
    return {
      xAxis: axis("bytes of a packet, without CRC", {
        type: "value",
        min: 0,
        max: 1600,
        interval: 400,
      }),
      yAxis: valueAxis("Mpps, both directions"),
      series: [...allMeasured(suite, machine), {
        type: "line",
        name: "2 x 10 Gbit/s",
        data: sizes.toSorted((a, b) => a - b).map((size) => [size, 2 * lineRate(size) / 1e6])
          .filter(([, mpps]) => mpps < 2 * highest(suite)),
        color: GREY,
        symbol: "none",
        lineStyle: { width: 1, type: "dotted" },
      }],
      graphic: smallPrint(MARKED),
    };
  },
  queues(suite, machine) {
    const threads = suite.series.find(({ name }) => name === OURS)?.points
      .map(({ x, workers }) => `${x}: ${workers}`).join(", ");
    return {
      xAxis: axis("receive and transmit queues of each port", {
        type: "log",
        logBase: 2,
        min: 1,
        max: Math.max(2, ...suite.series[0].points.map(({ x }) => x)),
      }),
      yAxis: valueAxis("Mpps, both directions"),
      series: allMeasured(suite, machine),
      graphic: smallPrint(`${MARKED}\nqueues: threads of the forwarder: ${threads}`),
    };
  },
  latency(suite) {
    return {
      xAxis: axis("percentile", {
        type: "log",
        min: 1,
        max: 1e6,
        axisLabel: { formatter: percentile },
      }),
      yAxis: { ...valueAxis("microseconds"), type: "log", min: 0.1 } as Part<"yAxis">,
      series: [
        ...suite.series.flatMap((series) => tails(suite, series)),
        ...others(published.LATENCY, published.PERCENTILES.map((p) => 1 / (1 - p / 100))),
      ],
      graphic: smallPrint(
        "limit (dashed): the software NIC with a minimal forwarder: its own share\n" +
          `† published, other machine: ${published.LATENCY_SETTING};\n  ${published.CITATION}`,
      ),
    };
  },
};

/** Returns the highest rate of a suite, in Mpps. */
function highest(suite: Suite): number {
  const windows = suite.series.flatMap(({ points }) => points.flatMap((point) => point.windows));
  return Math.max(...windows.map(({ mpps }) => mpps));
}

/** Turns 1, 10, 100, … into the percentage of packets that are faster: 0, 90, 99, … */
function percentile(share: number): string {
  return String(Number((100 - 100 / share).toPrecision(8)));
}

/** Returns the tail of the latency at each load. */
function tails(suite: Suite, series: Series): Line[] {
  const column = usualColumn(suite);
  return series.points.flatMap((point, i): Line[] => {
    const bins = merge(counting(point, column).map(({ latency = [] }) => latency));
    if (bins.length === 0) return [];
    const histogram = histogramOf(bins), data: [number, number][] = [];
    for (let share = 1; share < histogram.totalCount && share < 1e6; share *= 1.1) {
      data.push([share, histogram.getValueAtPercentile(100 - 100 / share) / 1000]);
    }
    data.push([Math.min(histogram.totalCount, 1e6), histogram.maxValue / 1000]);
    const isLimit = series.name === LIMIT;
    return [{
      type: "line",
      name: `${series.name}, ${packetRate(point.x)}`,
      data,
      color: COLOURS[i % COLOURS.length],
      symbol: "none",
      lineStyle: { width: isLimit ? 1 : 2.5, ...dashed(isLimit) },
    }];
  });
}
