/**
 * Results as SVG plots, drawn by ECharts without a browser.
 *
 * @module
 */

import type { Machine } from "./machine.ts";
import { latency } from "./plots/latency.ts";
import { cycles, queues, sizes, throughput } from "./plots/rates.ts";
import { starts } from "./plots/starts.ts";
import type { Suite, SuiteName } from "./results.ts";

/** Draws a plot of a suite as an SVG file; returns undefined if the suite lacks what it would show. */
type Draw = (suite: Suite, machine: Machine) => string | undefined;

/** The plots of each suite, by name. */
const PLOTS: Readonly<Record<SuiteName, Readonly<Record<string, Draw>>>> = {
  throughput: { throughput, cycles },
  sizes: { sizes },
  queues: { queues },
  latency: { latency },
  spread: { starts },
};

/** A plot. */
export interface Plot {
  /** Its name, without extension. */
  readonly name: string;
  /** The contents of its SVG file. */
  readonly svg: string;
}

/** Draws the plots of a suite. */
export function plotsOf(suite: Suite, machine: Machine): Plot[] {
  return Object.entries(PLOTS[suite.name]).flatMap(([name, draw]) => {
    const svg = draw(suite, machine);
    return svg === undefined ? [] : [{ name, svg }];
  });
}
