/**
 * The suites: the points of each, the forwarders at each point, and how to measure them in turns.
 *
 * @module
 */

import { DeviceError, UsageError } from "../src/errors.ts";
import { packetRate } from "../packets/units.ts";
import type { Progress } from "../programs/progress.ts";
import { makeDevices } from "./devices.ts";
import type { DistanceProbe } from "./distance.ts";
import { type Forwarder, limit, ours, type Work } from "./forwarders.ts";
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
import { Run } from "./run.ts";
import type { Balance, Traffic, Window } from "./window.ts";

/** Bytes of a packet, without CRC, in suites that do not vary it. */
export const SIZE = 60;
/** Batch size in suites that do not vary it. */
const BATCH = 32;
/** Flows that spread over several queues. */
const FLOWS = 64;
/** Length of a window in milliseconds; for latency, longer, because it needs more packets. */
const WINDOW_MS = 400, TIMED_WINDOW_MS = 1000;
/** Milliseconds of traffic before the first window of a run, for the compilers. */
const WARM_UP_MS = 1500;

/** One forwarder at one value of the parameter. */
interface Job {
  readonly x: number;
  readonly work: Work;
  readonly forwarder: Forwarder;
  readonly traffic: Traffic;
}

/** Returns the jobs of a point; with the other forwarder only if it supports the point. */
function jobs(x: number, work: Work, traffic: Traffic, options: Options, other: boolean): Job[] {
  const forwarders = [ours(work), ...(other && options.against ? [options.against(work)] : [])];
  return forwarders.map((forwarder) => ({ x, work, forwarder, traffic }));
}

function limitJob(x: number, work: Work, traffic: Traffic): Job {
  return { x, work, forwarder: limit(work), traffic };
}

/**
 * Returns the number of threads: one a queue, but at most one a core besides the software NIC's.
 */
function workersFor(queues: number, options: Options): number {
  return Math.min(queues, options.cores.length - 1);
}

/** The points of each suite. */
const PLANS: Readonly<Record<SuiteName, (options: Options) => Job[]>> = {
  throughput(options) {
    // A forwarder without an option for the batch size is measured once.
    const once = options.batches.includes(BATCH) ? BATCH : options.batches[0];
    const work = { batch: BATCH, queues: 1, workers: 1 };
    return [
      ...options.batches.flatMap((batch) => {
        const other = options.takesBatch || batch === once;
        return jobs(batch, { ...work, batch }, { size: SIZE }, options, other);
      }),
      limitJob(0, work, { size: SIZE }),
    ];
  },
  sizes(options) {
    const work = { batch: BATCH, queues: 1, workers: 1 };
    return options.sizes.flatMap((size) => [
      ...jobs(size, work, { size }, options, true),
      limitJob(size, work, { size }),
    ]);
  },
  queues(options) {
    return options.queues.flatMap((queues) => {
      const work = { batch: BATCH, queues, workers: workersFor(queues, options) };
      const traffic = { size: SIZE, flows: FLOWS };
      return [
        ...jobs(queues, work, traffic, options, options.takesQueues || queues === 1),
        limitJob(queues, { ...work, workers: 1 }, traffic),
      ];
    });
  },
  latency(options) {
    const work = { batch: BATCH, queues: 1, workers: 1 };
    return options.loads.flatMap((rate) => {
      const traffic = { size: SIZE, rate, latency: true };
      return [...jobs(rate, work, traffic, options, true), limitJob(rate, work, traffic)];
    });
  },
};

/** Returns what is the same at all points of a suite, in words. */
function settingOf(name: SuiteName, options: Options): string {
  const beside: Record<SuiteName, string> = {
    throughput: `${SIZE}-byte packets, one queue, one core`,
    sizes: `batches of ${BATCH}, one queue, one core`,
    queues: `${SIZE}-byte packets of ${FLOWS} flows, batches of ${BATCH}, ` +
      `${options.cores.length - 1} core(s) beside the software NIC's`,
    latency: `${SIZE}-byte packets, batches of ${BATCH}, one queue, one core`,
  };
  return `${beside[name]}; software NIC by ${options.device}`;
}

/** Returns the point of a job; creates it if it is new. */
function pointOf(suite: Suite, { forwarder, x, work }: Job): Point {
  let series: Series | undefined = suite.series.find(({ name }) => name === forwarder.name);
  if (series === undefined) suite.series.push(series = { name: forwarder.name, points: [] });
  let point = series.points.find((other) => other.x === x);
  if (point === undefined) {
    point = { x, workers: work.workers, windows: [], balance: NOTHING };
    series.points.push(point);
  }
  return point;
}

/** Runs a job once. */
async function measure(
  job: Job,
  options: Options,
  probe: DistanceProbe,
): Promise<{ windows: Window[]; balance: Balance }> {
  const timed = job.traffic.latency === true;
  const length = timed ? TIMED_WINDOW_MS : WINDOW_MS;
  const cores = options.cores.slice(-1 - job.work.workers);
  await using devices = await makeDevices(options.device);
  await using run = await Run.start(devices, job.forwarder, job.traffic, cores, probe, WARM_UP_MS);
  const windows: Window[] = [];
  for (let left = options.seconds * 1000; left > 0; left -= length) {
    const window = await run.window(length, timed);
    windows.push(window.latency ? { ...window, latency: coarse(window.latency) } : window);
  }
  const balance = await run.finish();
  if (balance.reordered + balance.corrupt > 0 || (job.forwarder.ready && balance.lost > 0)) {
    throw new DeviceError(
      job.forwarder.name,
      `of ${balance.received} packets lost ${balance.lost}, reordered ${balance.reordered} and ` +
        `damaged ${balance.corrupt}: its figures are worth nothing`,
    );
  }
  return { windows, balance };
}

/**
 * Measures a suite, in turns because shared machines drift, and adds results as they come.
 *
 * @param suite The suite to add results to.
 * @param progress Shows the number of completed runs, and the rates of each.
 * @throws {DeviceError} if a forwarder fails, or loses, reorders or damages packets.
 */
export async function runSuite(
  suite: Suite,
  options: Options,
  probe: DistanceProbe,
  progress: Progress,
): Promise<void> {
  const plan = PLANS[suite.name](options), total = options.rounds * plan.length;
  let done = 0;
  for (let round = 0; round < options.rounds; round++) {
    for (const job of plan) {
      progress.show(suite.name, { done: done++, total, unit: "runs" });
      const point = pointOf(suite, job), { windows, balance } = await measure(job, options, probe);
      point.windows.push(...windows);
      point.balance = plus(point.balance, balance);
      const rates = windows.map(({ mpps }) => packetRate(mpps * 1e6)).join(", ");
      const run = `${suite.name} ${job.x} ${job.forwarder.name}, round ${round + 1}`;
      progress.print(() => console.error(`${run}: ${rates}`));
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
