/**
 * The suites: the points of each, the forwarders at each point, and how to measure them in turns.
 *
 * @module
 */

import { DeviceError, UsageError } from "../src/errors.ts";
import type { Compiled } from "./compiler.ts";
import { packetRate } from "../packets/units.ts";
import type { Progress } from "../programs/progress.ts";
import { makeDevices } from "./devices.ts";
import type { DistanceProbe } from "./distance.ts";
import { type Forwarder, lean, LIMIT, limit, OURS, ours, type Work } from "./forwarders.ts";
import type { Options } from "./options.ts";
import {
  coarse,
  NOTHING,
  plus,
  type Point,
  type Series,
  type Suite,
  type SuiteName,
} from "./results.ts";
import { type Finish, Run } from "./run.ts";
import type { Traffic, Window } from "./window.ts";

/** Bytes of a packet, without CRC, in suites that do not vary it. */
export const SIZE = 60;
/** Batch size in suites that do not vary it. */
const BATCH = 32;
/** Batch size of the starts to compare: how a compiler treats the code shows most with small ones. */
const SPREAD_BATCH = 1;
/** Flows that spread over several queues. */
const FLOWS = 64;
/** Length of a window in milliseconds; for latency, longer, because it needs more packets. */
const WINDOW_MS = 200, TIMED_WINDOW_MS = 500;
/** Milliseconds of traffic before the first window of a run, for the compilers; in a start to look at. */
const WARM_UP_MS = 1200, LOOK_MS = 2500;
/** Steps of a start to keep: two seconds. */
const STEPS = 40;

/** One forwarder at one value of the parameter. */
export interface Job {
  readonly x: number;
  readonly work: Work;
  readonly forwarder: Forwarder;
  readonly traffic: Traffic;
}

/** What the suites need to plan their runs. */
export interface Rig {
  readonly options: Options;
  /** The programs of the instrument; undefined with the software NIC. */
  readonly programs: Compiled | undefined;
}

/**
 * Returns the jobs of a point: those of this forwarder, of the minimal ones, and of other forwarders that
 * support the point.
 */
function jobs(
  x: number,
  work: Work,
  traffic: Traffic,
  { options, programs }: Rig,
  supported: (other: Options["others"][number]) => boolean = () => true,
): Job[] {
  const forwarders = [
    ours(work),
    ...options.others.filter(supported).map((other) => other.make(work)),
    ...(programs === undefined ? [] : [lean(work)]),
    limit(work, programs),
  ];
  return forwarders.map((forwarder) => {
    // The minimal forwarders have one thread.
    const { workers } = forwarder.lossless && !forwarder.counts ? ONE : work;
    return { x, work: { ...work, workers }, forwarder, traffic };
  });
}

/**
 * Returns the number of threads: one a queue, but at most one a core besides the software NIC's.
 */
function workersFor(queues: number, options: Options): number {
  return Math.min(queues, options.cores.length - 1);
}

const ONE = { batch: BATCH, queues: 1, workers: 1 } as const;

/** The points of each suite. */
const PLANS: Readonly<Record<SuiteName, (rig: Rig) => Job[]>> = {
  throughput(rig) {
    // A forwarder without an option for the batch size is measured once.
    const { batches } = rig.options, once = batches.includes(BATCH) ? BATCH : batches[0];
    return batches.flatMap((batch) => {
      const all = jobs(batch, { ...ONE, batch }, { size: SIZE }, rig, (other) => {
        return other.takesBatch || batch === once;
      });
      // The limit of the software NIC takes no batch size either.
      const every = rig.programs !== undefined || batch === once;
      return every ? all : all.filter(({ forwarder }) => forwarder.name !== LIMIT);
    });
  },
  sizes: (rig) => rig.options.sizes.flatMap((size) => jobs(size, ONE, { size }, rig)),
  queues: (rig) =>
    rig.options.queues.flatMap((queues) => {
      const work = { batch: BATCH, queues, workers: workersFor(queues, rig.options) };
      return jobs(queues, work, { size: SIZE, flows: FLOWS }, rig, (other) => {
        return other.takesQueues || queues === 1;
      });
    }),
  latency: (rig) =>
    rig.options.loads.flatMap((rate) => {
      return jobs(rate, ONE, { size: SIZE, rate, latency: true }, rig);
    }),
  spread(rig) {
    const work = { ...ONE, batch: SPREAD_BATCH };
    const runs = jobs(SPREAD_BATCH, work, { size: SIZE }, rig, ({ takesBatch }) => takesBatch);
    return Array.from({ length: rig.options.starts }, () => runs).flat();
  },
};

/** Returns the runs of a round of a suite, in order. */
export function planOf(name: SuiteName, rig: Rig): Job[] {
  return PLANS[name](rig);
}

/** Returns what is the same at all points of a suite, in words. */
function settingOf(name: SuiteName, options: Options): string {
  const beside: Record<SuiteName, string> = {
    throughput: `${SIZE}-byte packets, one queue, one core`,
    sizes: `batches of ${BATCH}, one queue, one core`,
    queues: `${SIZE}-byte packets of ${FLOWS} flows, batches of ${BATCH}, ` +
      `${options.cores.length - 1} core(s) beside the device's`,
    latency: `${SIZE}-byte packets, batches of ${BATCH}, one queue, one core`,
    spread: `${SIZE}-byte packets, batches of ${SPREAD_BATCH}, one queue, one core`,
  };
  const device = options.device === "instrument"
    ? "the instrument"
    : "the software NIC (vfio-user)";
  return `${beside[name]}; ${device}`;
}

/** Returns the series of a forwarder; creates it if it is new. */
function seriesOf(suite: Suite, { forwarder: { name } }: Job): Series {
  let series = suite.series.find((other) => other.name === name);
  if (series === undefined) suite.series.push(series = { name, points: [] });
  return series;
}

/** Returns the point of a job; creates it if it is new. */
function pointOf(series: Series, { x, work }: Job): Point {
  let point = series.points.find((other) => other.x === x);
  if (point === undefined) {
    point = { x, workers: work.workers, windows: [], balance: NOTHING, starts: [] };
    series.points.push(point);
    series.points.sort((a, b) => a.x - b.x);
  }
  return point;
}

/** Runs a job once. */
async function measure(
  job: Job,
  spread: boolean,
  { options, programs }: Rig,
  probe: DistanceProbe,
): Promise<Finish & { windows: Window[] }> {
  const timed = job.traffic.latency === true;
  const length = timed ? TIMED_WINDOW_MS : WINDOW_MS;
  const cores = options.cores.slice(-1 - job.work.workers);
  await using devices = await makeDevices(options.device, programs?.instrument, job.forwarder.uio);
  const warmUp = spread && devices.startsEarly ? LOOK_MS : WARM_UP_MS;
  await using run = await Run.start(devices, job.forwarder, job.traffic, cores, probe, warmUp);
  const windows: Window[] = [];
  for (let left = options.seconds * 1000; left > 0; left -= length) {
    const window = await run.window(length, timed);
    windows.push(window.latency ? { ...window, latency: coarse(window.latency) } : window);
  }
  return { windows, ...await run.finish(spread ? STEPS : 0) };
}

/**
 * Measures a suite, in turns because shared machines drift, and adds results as they come. A forwarder that
 * fails is measured no more in this suite; its series says why.
 *
 * @param suite The suite to add results to.
 * @param progress Shows the number of completed runs, and the rates of each.
 * @throws {DeviceError} if this project's forwarder, or the device, fails.
 */
export async function runSuite(
  suite: Suite,
  rig: Rig,
  probe: DistanceProbe,
  progress: Progress,
): Promise<void> {
  const spread = suite.name === "spread", rounds = spread ? 1 : rig.options.rounds;
  const plan = planOf(suite.name, rig), total = rounds * plan.length;
  let done = 0;
  for (let round = 0; round < rounds; round++) {
    for (const job of plan) {
      const series = seriesOf(suite, job), { name } = job.forwarder;
      progress.show(suite.name, { done: done++, total, unit: "runs" });
      if (series.failure !== undefined) continue;
      try {
        const point = pointOf(series, job);
        const { windows, balance, start } = await measure(job, spread, rig, probe);
        point.windows.push(...windows);
        point.balance = plus(point.balance, balance);
        if (start !== undefined) point.starts.push(start);
        const rates = windows.map(({ mpps }) => packetRate(mpps * 1e6)).join(", ");
        const run = `${suite.name} ${job.x} ${name}, round ${round + 1}`;
        progress.print(() => console.error(`${run}: ${rates}`));
      } catch (error) {
        if (!(error instanceof DeviceError) || error.device !== name || name === OURS) throw error;
        series.failure = error.message;
        progress.print(() => console.error(`${suite.name} ${job.x} ${error.message}`));
      }
    }
  }
}

/**
 * Returns the suite with this name; creates it if it is new.
 *
 * @throws {UsageError} if it was measured in another setting.
 */
export function suiteOf(suites: Suite[], name: SuiteName, options: Options): Suite {
  const setting = settingOf(name, options);
  let suite = suites.find((other) => other.name === name);
  if (suite === undefined) suites.push(suite = { name, setting, series: [] });
  if (suite.setting === setting) return suite;
  throw new UsageError(
    `the results of ${name} have the setting "${suite.setting}", not "${setting}": use another file`,
  );
}
