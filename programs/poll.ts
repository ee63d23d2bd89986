/**
 * The main loop of a program that takes devices: rounds of work, and between them checks of the
 * clock, of signals and of the devices.
 *
 * @module
 */

import { type StopFlag, unstoppable } from "../native/stop.ts";
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
/** The same while a device reconnects, for which the event loop has to run. */
const RETRY_MS = 1;

/** Does some rounds of work; returns whether to continue. */
type Work = (rounds: number) => boolean;

/**
 * Works until a signal arrives, the time is over, or the work is done. Prints a line a second, but
 * no totals, and changes of links. If all devices were opened with interrupts, it sleeps while no
 * packet arrives. While a link is down, it stops twice a second for what the driver does to bring the
 * link up.
 *
 * @param seconds The longest time to work, by the report's clock.
 * @param work Does some rounds; returns whether to continue.
 * @throws {DeviceError} if a device is gone.
 */
export async function poll(
  devices: readonly Device[],
  report: Pick<Report, "start" | "second">,
  stop: Pick<StopFlag, "signal">,
  seconds: number,
  work: Work,
): Promise<void> {
  const watch = new Watch(devices, report, seconds);
  let sleep = AdaptiveSleep.of(devices, () => work(1));
  // A signal ends only the reopening of a device in the background.
  while (unstoppable(() => pollUntilLinkDown(watch, sleep, stop, work))) {
    await watch.bringLinksUp();
    sleep = AdaptiveSleep.of(devices, () => work(1)); // a device may have been opened again
  }
}

/** Works on queues whose devices another thread watches, until that thread says stop. */
export function pollQueues(
  report: Pick<Report, "start" | "second">,
  stop: Pick<StopFlag, "signal">,
  work: Work,
): void {
  pollUntilLinkDown(new Watch([], report, Infinity), undefined, stop, work);
}

/** Works without leaving JavaScript; returns whether to go on after bringing links up. */
function pollUntilLinkDown(
  watch: Watch,
  sleep: AdaptiveSleep | undefined,
  stop: Pick<StopFlag, "signal">,
  work: Work,
): boolean {
  const rest = new Timer(watch.isRetrying ? RETRY_MS : LOOK_MS);
  while (stop.signal === 0 && work(ROUNDS)) {
    if (sleep === undefined && !rest.over) continue;
    rest.restart();
    const now = watch.look();
    if (now >= watch.end) return false;
    if (watch.isLinkDown) return true;
    if (sleep?.sleepIfIdle(now, watch.end)) watch.linkChanged();
  }
  return false;
}
