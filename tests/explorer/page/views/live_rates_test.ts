/** Rates of a live run's counters. */

import { assertEquals } from "@std/assert";
import { LiveRates } from "../../../../explorer/page/views/live/live_rates.ts";
import type { LiveState } from "../../../../explorer/recording/live.ts";

function state(seconds: number, ...counters: Record<string, number>[]): LiveState {
  return {
    type: "state",
    seconds,
    paused: false,
    connected: counters.map(() => true),
    counters,
    violations: [],
    cells: [],
  };
}

Deno.test("LiveRates.of() has a rate a second for each port and point", () => {
  const rates = new LiveRates();
  rates.add(state(1, { received: 100 }, { received: 0 }));
  rates.add(state(1.5, { received: 200 }, { received: 1 }));
  rates.add(state(3.5, { received: 200 }, { received: 5 }));
  assertEquals(rates.times, [1, 1.5, 3.5]);
  assertEquals(rates.of("received"), [[0, 200, 0], [0, 2, 2]]);
  assertEquals(rates.of("sent"), []);
});

Deno.test("LiveRates.add() leaves out a second state of the same time, and takes a reset as no frames", () => {
  const rates = new LiveRates();
  rates.add(state(1, { received: 100 }));
  rates.add(state(1, { received: 150 }));
  rates.add(state(2, { received: 10 }));
  assertEquals(rates.of("received"), [[0, 0]]);
  assertEquals([rates.hasMoved("received"), rates.hasMoved("sent")], [false, false]);
});

Deno.test("LiveRates.add() gives a counter that comes later zeros before it", () => {
  const rates = new LiveRates();
  rates.add(state(1, { received: 1 }));
  rates.add(state(2, { received: 1, missed: 7 }));
  rates.add(state(3, { received: 1, missed: 9 }));
  assertEquals(rates.of("missed"), [[0, 0, 2]]);
});

Deno.test("LiveRates.add() keeps a bounded number of points", () => {
  const rates = new LiveRates();
  for (let i = 0; i < 1000; i++) rates.add(state(i, { received: i }));
  assertEquals([rates.times.length, rates.of("received")[0].length], [600, 600]);
  assertEquals(rates.times[0], 400);
});
