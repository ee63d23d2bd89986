/**
 * What a program for devices looks at between its work: the clock, its devices and its report.
 *
 * @module
 */

import type { Device } from "../src/device.ts";
import type { Report } from "./report.ts";

/** How often devices are asked whether they are still there, in milliseconds. */
const CHECK_MS = 100;

/** Looks at clock, devices and report. */
export class Watch {
  /** When to end, by `performance.now()`. */
  readonly end: number;
  readonly #devices: readonly Device[];
  readonly #report: Pick<Report, "second">;
  #checked: number;

  /**
   * A watch that starts with the report's clock.
   *
   * @param seconds How long until the end.
   */
  constructor(
    devices: readonly Device[],
    report: Pick<Report, "start" | "second">,
    seconds: number,
  ) {
    this.#devices = devices;
    this.#report = report;
    this.#checked = report.start;
    this.end = report.start + seconds * 1000;
  }

  /**
   * Asks devices whether they are still there, if a tenth of a second has passed, and prints what a
   * second has added, if it is over.
   *
   * @returns The time, by `performance.now()`.
   * @throws {DeviceError} if a device is gone.
   */
  look(): number {
    const now = performance.now();
    if (now - this.#checked >= CHECK_MS) {
      this.#checked = now;
      for (const device of this.#devices) device.checkAlive();
    }
    this.#report.second(now);
    return now;
  }
}
