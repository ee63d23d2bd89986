/**
 * `deno task bench --quick`: whether all packets come back in order and unchanged, in seconds.
 *
 * @module
 */

import { DeviceError } from "../src/errors.ts";
import { makeDevices } from "./devices.ts";
import type { DistanceProbe } from "./distance.ts";
import { Run } from "./run.ts";
import { type Job, planOf, type Rig } from "./suites.ts";

/** Milliseconds of traffic. */
const TRAFFIC_MS = 400;

/** Runs a job; returns what came of it, in words. */
async function check(job: Job, { options, programs }: Rig, probe: DistanceProbe): Promise<string> {
  const cores = options.cores.slice(-1 - job.work.workers);
  await using devices = await makeDevices(options.device, programs?.instrument, job.forwarder.uio);
  await using run = await Run.start(
    devices,
    job.forwarder,
    job.traffic,
    cores,
    probe,
    TRAFFIC_MS,
  );
  const { balance: { received, lost, dropped } } = await run.finish(0);
  return `${received} packets came back, ${dropped + lost} dropped`;
}

/**
 * Runs each forwarder once at each point, and prints a line for each run. Other runs go on after a failure.
 *
 * @returns The exit code: 1 if a forwarder failed, or lost, reordered or damaged packets.
 */
export async function quickly(rig: Rig, probe: DistanceProbe): Promise<number> {
  let code = 0;
  for (const name of rig.options.suites) {
    for (const job of planOf(name, rig)) {
      const run = `${name} ${job.x}: `;
      try {
        console.log(`${run}${job.forwarder.name}: ${await check(job, rig, probe)}`);
      } catch (error) {
        if (!(error instanceof DeviceError) || error.device !== job.forwarder.name) throw error;
        console.log(run + error.message);
        code = 1;
      }
    }
  }
  return code;
}
