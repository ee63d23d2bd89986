/** The verdicts of the bench on its windows, and its instruments. */

import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { Counter, EVENTS } from "../../bench/cycles.ts";
import { columnOf, sameDistance } from "../../bench/distance.ts";
import { coarse, judge, merge, NOTHING, type Point, type Suite } from "../../bench/results.ts";
import { prepareResults, readResults, replaceFile } from "../../bench/results_file.ts";
import { startOf } from "../../bench/window.ts";
import { median, quantile, summarize } from "../../bench/statistics.ts";
import { Latency } from "../../sim/wires/latency.ts";
import { UsageError } from "../../src/errors.ts";
import { isRoot, TemporaryDirectory, tool, until } from "../support/processes.ts";
import { MACHINE } from "../support/bench_machine.ts";

/** Returns a point with windows at these rates, all at one distance. */
function point(x: number, rates: readonly number[], distance = 100): Point {
  const windows = rates.map((mpps) => ({
    mpps,
    distance: [distance, distance] as const,
    preempted: 0,
  }));
  return { x, workers: 1, windows, balance: NOTHING, starts: [] };
}

function suiteOf(own: Point, limit: Point): Suite {
  return {
    name: "sizes",
    setting: "a test",
    series: [{ name: "ixy.ts", points: [own] }, { name: "limit", points: [limit] }],
  };
}

/** Returns the verdict on the first point. */
function judged(suite: Suite) {
  return judge(suite, suite.series[0], suite.series[0].points[0], MACHINE);
}

Deno.test("judge() marks a rate within 10 % of the limit, and no other", () => {
  assertEquals(judged(suiteOf(point(60, [9]), point(60, [10]))).limited, true);
  assertEquals(judged(suiteOf(point(60, [8.9]), point(60, [10]))).limited, false);
  assertEquals(judged(suiteOf(point(60, [9]), point(1514, [9]))).limited, false);
});

Deno.test("judge() takes medians, and cycles of the time stamp counter from them", () => {
  const { mpps, referenceCycles, cycles } = judged(suiteOf(point(60, [5, 4, 9]), point(60, [20])));
  assertEquals([mpps?.n, mpps?.median, mpps?.min, mpps?.max], [3, 5, 4, 9]);
  assertEquals([referenceCycles, cycles], [400, undefined]);
});

Deno.test("judge() takes windows of one column only, and discards those whose distance changed", () => {
  const own = point(60, [5, 5, 5]);
  own.windows.push({ mpps: 50, distance: [100, 300], preempted: 0 }); // changed
  own.windows.push({ mpps: 60, distance: [240, 260], preempted: 0 }); // changed its column
  own.windows.push({ mpps: 70, distance: [300, 300], preempted: 0 }); // another column
  own.windows.push({ mpps: 90, distance: [NaN, NaN], preempted: 0 }); // unknown
  const suite = suiteOf(own, point(60, [9]));
  const { column, mpps, discarded } = judged(suite);
  assertEquals([column, mpps?.max, mpps?.n, discarded], ["near", 5, 3, 3]);
  const far = judge(suite, suite.series[0], own, MACHINE, "far");
  assertEquals([far.column, far.mpps?.max, far.mpps?.n, far.limited], ["far", 70, 1, false]);
});

Deno.test("columnOf() names the class of a distance", () => {
  const names = [51, 79, 80, 249, 250, 700].map(columnOf);
  assertEquals(names, ["same", "same", "near", "near", "far", "far"]);
  assertEquals(columnOf(NaN), undefined);
});

Deno.test("judge() has no verdict on a point without windows that count", () => {
  const own = point(60, [50], 300);
  const verdict = judged(suiteOf(own, point(60, [9, 9, 9])));
  assertEquals(verdict, { column: "near", discarded: 0, limited: false });
});

Deno.test("judge() takes the best limit of all batch sizes", () => {
  const suite: Suite = { ...suiteOf(point(1, [9]), point(1, [9])), name: "throughput" };
  assertEquals(judged(suite).limited, true);
  suite.series[1].points.push(point(32, [20]));
  assertEquals(judged(suite).limited, false);
});

Deno.test("startOf() tells when packets come, and when most of the median's rate is reached", () => {
  // In each 10 ms: nothing for 30 ms, then 1 Mpps for 50 ms, then 10 Mpps.
  const progress = [0, 0, 0, 0];
  for (let i = 0; i < 5; i++) progress.push(progress.at(-1)! + 10_000);
  for (let i = 0; i < 20; i++) progress.push(progress.at(-1)! + 100_000);
  const start = startOf(progress, 10, 4);
  assertEquals(start, { firstMs: 40, fullMs: 130, mpps: 10, rates: [0.4, 4.6, 10, 10] });
  assertEquals(startOf(progress, 100, 0), { firstMs: 40, mpps: 100 });
});

Deno.test("judge() returns percentiles of all windows together, in microseconds", () => {
  const own: Point = {
    ...point(1000000, []),
    windows: [
      { mpps: 1, distance: [100, 100], preempted: 0, latency: [[1000, 90]] },
      { mpps: 1, distance: [100, 100], preempted: 0, latency: [[1000, 9], [50000, 1]] },
    ],
  };
  const { latency } = judged(suiteOf(own, point(1000000, [9])));
  assertAlmostEquals(latency!["50"], 1, 0.01);
  assertAlmostEquals(latency!["99"], 1, 0.01);
  assertAlmostEquals(latency!["99.9"], 50, 0.5);
});

Deno.test("coarse() keeps every packet, with two digits of its time", () => {
  assertEquals(coarse([[990, 1], [1004, 2], [1040, 3], [12345, 4]]), [[990, 1], [1000, 5], [
    12000,
    4,
  ]]);
  assertEquals(merge([[[10, 1], [30, 1]], [[20, 2], [30, 3]]]), [[10, 1], [20, 2], [30, 4]]);
});

Deno.test("summarize() interpolates quartiles", () => {
  assertEquals(summarize([4, 1, 3, 2]), { n: 4, min: 1, q1: 1.75, median: 2.5, q3: 3.25, max: 4 });
  assertEquals(summarize([]), undefined);
  assertEquals([median([3, 1, 2]), quantile([1, 2], 1)], [2, 2]);
});

Deno.test("sameDistance() allows a quarter, or the error of the probe", () => {
  assertEquals([sameDistance(400, 500), sameDistance(400, 501)], [true, false]);
  assertEquals([sameDistance(50, 70), sameDistance(50, 71)], [true, false]);
  assertEquals(sameDistance(NaN, 100), false);
});

Deno.test("Counter counts events of another process", async () => {
  // Few virtual machines count cycles; every kernel counts the time that a thread runs.
  const child = new Deno.Command("sh", { args: ["-c", "while :; do :; done"] }).spawn();
  try {
    using counter = Counter.open(child.pid, EVENTS.taskClock);
    if (counter === undefined) throw new Error("the kernel lets this process count nothing");
    const before = counter.read();
    await until("the count to rise", () => counter.read() > before);
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
});

Deno.test("Latency has a bin for every packet that came back, in ascending order", () => {
  const latency = new Latency();
  for (let i = 0; i < 1000; i++) latency.sent(i);
  for (let i = 0; i < 999; i++) latency.back(i);
  const bins = latency.bins();
  assertEquals(bins.reduce((sum, [, frames]) => sum + frames, 0), 999);
  const times = bins.map(([nanoseconds]) => nanoseconds);
  assertEquals(times, times.toSorted((a, b) => a - b));
  assertEquals(new Set(times).size, times.length);
});

Deno.test("readResults() and prepareResults() refuse files that they cannot use", async () => {
  await using directory = await TemporaryDirectory.make();
  const { path } = directory, file = directory.file("file"), below = directory.file("file/below");
  Deno.writeTextFileSync(file, "kept");
  assertThrows(() => readResults(path), UsageError, `cannot read ${path}: is a directory`);
  assertThrows(() => readResults(below), UsageError, `cannot read ${below}: not a directory`);
  assertThrows(
    () => readResults(directory.file("none")),
    UsageError,
    "no such file: name a results file",
  );
  assertThrows(() => readResults(file), UsageError, "is not a results file");
  assertThrows(() => prepareResults(path), UsageError, `cannot write ${path}: is a directory`);
  assertThrows(() => prepareResults(below), UsageError, `cannot write ${below}: `);
  prepareResults(file);
  assertEquals(Deno.readTextFileSync(file), "kept");
  prepareResults(directory.file("new/results.json"));
  assertEquals([...Deno.readDirSync(directory.file("new"))], []);
});

Deno.test("replaceFile() follows links, keeps modes and devices, and a failure keeps the file", async () => {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("a"), link = directory.file("b");
  replaceFile(file, "one");
  assertEquals(Deno.statSync(file).mode! & 0o777, 0o666 & ~Deno.umask());
  Deno.symlinkSync("a", link);
  Deno.chmodSync(file, 0o640);
  replaceFile(link, "two");
  assertEquals(Deno.readTextFileSync(file), "two");
  assertEquals([Deno.statSync(file).mode! & 0o777, Deno.lstatSync(link).isSymlink], [0o640, true]);
  assertThrows(() => replaceFile(directory.path, "three"));
  assertThrows(() => replaceFile("/dev/full", "three"));
  assertEquals([...Deno.readDirSync(directory.path)].length, 2, "nothing beside them");
});

Deno.test("prepareResults() refuses a FIFO, and removes only what it has created", async () => {
  await using directory = await TemporaryDirectory.make();
  const fifo = directory.file("fifo"), device = directory.file("device");
  await tool("mkfifo", fifo);
  assertThrows(() => prepareResults(fifo), UsageError, "not a regular file");
  if (!isRoot) return;
  await tool("mknod", device, "c", "1", "3");
  prepareResults(device);
  assertEquals(Deno.statSync(device).isCharDevice, true);
});
