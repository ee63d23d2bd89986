/**
 * A chart of a counter's rate over time, with a line for each port.
 *
 * @module
 */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import type { LiveRates } from "./live_rates.ts";

/** Size of a chart in pixels. */
const WIDTH = 330, HEIGHT = 130;
/** The least height of the scale, in frames a second. */
const LEAST = 4;
/** Variables of the style sheet with the colour of each port's line; and how lines are dashed. */
const COLOURS = ["--group-register", "--group-frame", "--group-interrupt", "--group-program"];
const DASHES = [[], [6, 3], [2, 2], [8, 3, 2, 3]];

interface RateChartProps {
  readonly rates: LiveRates;
  /** Name of the counter. */
  readonly name: string;
  /** Number of points so far: the chart is drawn again when it changes. */
  readonly points: number;
}

/** A chart. The table of counters has the same numbers for readers who do not see it. */
export function RateChart({ rates, name, points }: RateChartProps) {
  const place = useRef<HTMLDivElement>(null), chart = useRef<uPlot | null>(null);
  const ports = rates.of(name).length;
  useEffect(() => {
    const made = new uPlot(optionsOf(ports), [[], ...rates.of(name).map(() => [])], place.current!);
    chart.current = made;
    return () => made.destroy();
  }, [rates, name, ports]);
  useEffect(() => {
    chart.current!.setData([[...rates.times], ...rates.of(name).map((series) => [...series])]);
  }, [rates, name, ports, points]);
  return (
    <figure class="chart">
      <figcaption>
        {name} a second
        {rates.of(name).map((_, port) => (
          <span key={port} class="chart-line">
            <svg width="24" height="8" aria-hidden="true">
              <path
                d="M0,4H24"
                style={{ stroke: `var(${COLOURS[port % COLOURS.length]})` }}
                stroke-dasharray={DASHES[port % DASHES.length].join(" ")}
              />
            </svg>
            port {port}
          </span>
        ))}
      </figcaption>
      <div ref={place} aria-hidden="true" />
    </figure>
  );
}

function optionsOf(ports: number): uPlot.Options {
  const axis = { stroke: () => colour("--muted"), grid: { stroke: () => colour("--line") } };
  return {
    width: WIDTH,
    height: HEIGHT,
    cursor: { show: false },
    legend: { show: false },
    scales: { x: { time: false }, y: { range: (_, __, most) => [0, Math.max(LEAST, most * 1.1)] } },
    axes: [
      { ...axis, size: 24, values: (_, seconds) => seconds.map((s) => `${s} s`) },
      { ...axis, size: 44, values: (_, rates) => rates.map(short) },
    ],
    series: [
      {},
      ...Array.from({ length: ports }, (_, port) => ({
        label: `port ${port}`,
        stroke: () => colour(COLOURS[port % COLOURS.length]),
        dash: DASHES[port % DASHES.length],
        width: 1.5,
      })),
    ],
  };
}

/** Returns a colour of the style sheet, as the theme has it now. */
function colour(variable: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(variable);
}

/** Returns a rate in a few characters: `1.2M`. */
export function short(rate: number): string {
  if (rate >= 1e6) return `${Number((rate / 1e6).toPrecision(3))}M`;
  if (rate >= 1e3) return `${Number((rate / 1e3).toPrecision(3))}k`;
  return `${Math.round(rate)}`;
}
