/**
 * The main loop of a program that takes devices: rounds of work, and between them checks of the
 * clock, of signals and of the devices.
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
 * Rounds between checks of the stop flag and the clock: a tenth of a millisecond when idle, about
 * ten milliseconds when busy. With fewer, V8 optimises the loop of `poll`, and the loops inside get
 * slower.
 */
export const ROUNDS = 4096;

/** Milliseconds between reads of the clock, which make garbage; `Timer` makes none. */
const LOOK_MS = 20;

/**
 * Works until a signal arrives, the time is over, or the work is done. Prints a line a second, but
 * no totals, and changes of links. If all devices were opened with interrupts, it sleeps while no
 * packet arrives.
 *
 * @param seconds The longest time to work, by the report's clock.
 * @param work Does some rounds; returns whether to continue.
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
    if (sleep?.sleepIfIdle(now, watch.end)) watch.linkChanged();
  }
}
