/** The pictures of the bench: what each shows, and what it leaves out. */

import { assertEquals, assertMatch, assertNotMatch } from "@std/assert";
import { XMLValidator } from "fast-xml-parser";
import { type Plot, plotsOf } from "../../bench/plots.ts";
import { NOTHING, type Point, type Suite, type SuiteName } from "../../bench/results.ts";
import type { Start } from "../../bench/window.ts";
import { MACHINE } from "../support/bench_machine.ts";

/** Returns a point with one window at this rate. */
function point(x: number, mpps: number, starts: Start[] = []): Point {
  const latency: [number, number][] = [[1000, 900], [5000, 100]];
  const windows = [{ mpps, distance: [100, 100] as const, preempted: 0, latency }];
  return { x, workers: 1, windows, balance: NOTHING, starts };
}

function suite(name: SuiteName, series: Readonly<Record<string, Point[]>>): Suite {
  const all = Object.entries(series).map(([name, points]) => ({ name, points }));
  return { name, setting: "a test", series: all };
}

/** Returns the words of an SVG file. */
function wordsOf({ svg }: Plot): string[] {
  return [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, word]) => word);
}

/** Draws a suite; returns its pictures by name. */
function drawn(suite: Suite): Readonly<Record<string, Plot>> {
  const plots = plotsOf(suite, MACHINE);
  for (const { name, svg } of plots) assertEquals(XMLValidator.validate(svg), true, name);
  return Object.fromEntries(plots.map((plot) => [plot.name, plot]));
}

const BATCHES = suite("throughput", {
  "ixy.ts": [point(1, 10), point(32, 41)],
  other: [point(32, 23)],
  limit: [point(1, 12), point(32, 100)],
});

/** Returns the number of marks with a white middle. */
function hollow({ svg }: Plot): number {
  return [...svg.matchAll(/fill="#fff(fff)?" stroke="#d55e00"/g)].length;
}

Deno.test("plotsOf() names each forwarder of the throughput, and draws cycles beside it", () => {
  const { throughput, cycles } = drawn(BATCHES);
  for (const name of ["ixy.ts", "other", "limit"]) {
    assertEquals([throughput, cycles].map((plot) => wordsOf(plot).includes(name)), [true, true]);
  }
  for (const cycle of ["49", "87"]) assertEquals(wordsOf(cycles).includes(cycle), true, cycle); // of 2000 MHz
});

Deno.test("plotsOf() draws a rate within 10 % of the limit hollow, and no other", () => {
  assertEquals(hollow(drawn(BATCHES).throughput), 0); // the limit is the best of all batch sizes
  const near = suite("throughput", {
    "ixy.ts": [point(1, 10), point(32, 95)],
    limit: [point(32, 100)],
  });
  assertEquals(hollow(drawn(near).throughput), 1);
});

Deno.test("plotsOf() shows only what was measured, and names what is calculated", () => {
  const own = [point(1, 30), point(2, 28)];
  const { queues } = drawn(suite("queues", { "ixy.ts": own, other: [point(1, 20)], limit: own }));
  assertMatch(queues.svg, /calculated:/);
  assertMatch(queues.svg, /calculated, not measured/);
  assertEquals(wordsOf(queues).includes("other"), false); // one point makes no curve
  assertNotMatch(drawn(BATCHES).throughput.svg, /calculated|published/);
});

Deno.test("plotsOf() draws no panel for a load that is not there, and no curve of lean", () => {
  const { latency } = drawn(suite("latency", {
    "ixy.ts": [point(1e6, 1), point(2e6, 2)],
    lean: [point(1e6, 1)],
    limit: [point(1e6, 1)],
  }));
  const words = wordsOf(latency);
  assertEquals(words.filter((word) => word.endsWith("Mpps")), ["1.00 Mpps", "2.00 Mpps"]);
  assertEquals(words.includes("lean"), false);
});

Deno.test("plotsOf() draws starts only if some were recorded", () => {
  const start = { firstMs: 100, fullMs: 300, mpps: 10, rates: [0, 0, 5, 10] };
  const { starts } = drawn(suite("spread", { "ixy.ts": [point(1, 10, [start, start])] }));
  assertMatch(starts.svg, /medians of 2 starts/);
  assertEquals(drawn(suite("spread", { "ixy.ts": [point(1, 10)] })), {});
});

Deno.test("plotsOf() draws packet sizes beside what two wires carry", () => {
  const own = [point(60, 40), point(1514, 20)];
  const { sizes } = drawn(suite("sizes", { "ixy.ts": own, limit: own }));
  assertMatch(sizes.svg, /two wires of 10 Gbit\/s/);
});
