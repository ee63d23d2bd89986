/**
 * What a program that drives devices checks between rounds: the clock, its devices, their links and its
 * report.
 *
 * @module
 */

import type { Device } from "../src/device.ts";
import { DeviceError, StopError } from "../src/errors.ts";
import { LinkMonitor } from "./link_monitor.ts";
import { out } from "./output.ts";
import type { Report } from "./report.ts";

/** Milliseconds between checks that devices are still there. */
const CHECK_MS = 100;

/** Milliseconds between checks of links, and until the first: a link that is coming up needs no line. */
const LINK_MS = 500, FIRST_LINK_MS = 1000;

/** Checks clock, devices, links and report. */
export class Watch {
  /** When to end, by `performance.now()`. */
  readonly end: number;
  readonly #devices: readonly Device[];
  readonly #report: Pick<Report, "second">;
  readonly #links: LinkMonitor;
  #checked: number;
  #linksAt: number;
  #isLinkDown = false;

  /**
   * Creates a watch that starts with the report's clock.
   *
   * @param seconds Seconds until the end.
   */
  constructor(
    devices: readonly Device[],
    report: Pick<Report, "start" | "second">,
    seconds: number,
  ) {
    this.#devices = devices;
    this.#report = report;
    this.#links = new LinkMonitor(devices);
    this.#checked = report.start;
    this.#linksAt = report.start + FIRST_LINK_MS;
    this.end = report.start + seconds * 1000;
  }

  /**
   * Checks every tenth of a second that the devices are still there, twice a second whether a link
   * has changed, and prints a line every second.
   *
   * @returns The time, by `performance.now()`; Infinity, past every end, once the reader of the standard
   * output is gone.
   * @throws {DeviceError} if a device is gone.
   */
  look(): number {
    const now = performance.now();
    out.retry();
    if (now - this.#checked >= CHECK_MS) {
      this.#checked = now;
      for (const device of this.#devices) device.checkAlive();
    }
    if (now >= this.#linksAt) {
      this.#linksAt = now + LINK_MS;
      this.#links.look();
      this.#isLinkDown = this.#links.down.length > 0;
    }
    this.#report.second(now);
    return out.readerGone ? Infinity : now;
  }

  /** Whether a link was down at the last look, and {@linkcode Watch.bringLinksUp} has not run since. */
  get isLinkDown(): boolean {
    return this.#isLinkDown;
  }

  /**
   * Lets the drivers do what a link that is down needs: read a module that was plugged in, make another
   * attempt, perhaps at another speed. No link is waited for.
   */
  async bringLinksUp(): Promise<void> {
    this.#isLinkDown = false;
    for (const i of this.#links.down) {
      try {
        await this.#devices[i].waitForLink(0);
      } catch (error) {
        // The link is down, which the next look reports; the device is gone, which the next check reports;
        // or a signal has arrived.
        if (!(error instanceof DeviceError || error instanceof StopError)) throw error;
      }
    }
    if (this.isRetrying) this.linkChanged();
  }

  /** Whether a device is bringing its link up in the background, for which the event loop has to run. */
  get isRetrying(): boolean {
    return this.#links.retrying;
  }

  /** Looks at the links at the next check: an interrupt says that one has changed. */
  linkChanged(): void {
    this.#linksAt = Math.min(this.#linksAt, performance.now());
  }
}
