/**
 * The loop that a program for devices is: rounds of work, and between them a look at the clock, at
 * signals and at the devices.
 *
 * @module
 */

import type { StopFlag } from "../native/stop.ts";
import { Timer } from "../native/clock.ts";
import type { Device } from "../src/device.ts";
import { AdaptiveSleep } from "./adaptive_sleep.ts";
import type { Report } from "./report.ts";
import { Watch } from "./watch.ts";

/**
 * Rounds between looks at the stop flag and the clock: a tenth of a millisecond idle, some ten busy.
 * With fewer, the compiler takes the loop of `poll` for a hot one and spoils those inside it.
 */
export const ROUNDS = 4096;

/** How often to look at the clock, but for what makes no garbage. */
const LOOK_MS = 20;

/**
 * Works until a signal comes, time is over, or the work is done. Prints a line a second, not totals.
 * Where all devices were opened with interrupts, it sleeps while nothing arrives.
 *
 * @param seconds How long at most, by the report's clock.
 * @param work Does so many rounds; returns whether to go on.
 * @throws {DeviceError} if a device is gone.
 */
export function poll(
  devices: readonly Device[],
  report: Pick<Report, "start" | "second">,
  stop: Pick<StopFlag, "signal">,
  seconds: number,
  work: (rounds: number) => boolean,
): void {
  const watch = new Watch(devices, report, seconds);
  const sleep = AdaptiveSleep.of(devices, () => work(1));
  const rest = new Timer(LOOK_MS);
  while (stop.signal === 0 && work(ROUNDS)) {
    if (sleep === undefined && !rest.over) continue;
    rest.restart();
    const now = watch.look();
    if (now >= watch.end) return;
    if (sleep !== undefined) sleep.sleepIfIdle(now, watch.end);
  }
}
