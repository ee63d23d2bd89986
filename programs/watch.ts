/**
 * What a program that takes devices checks between rounds: the clock, its devices and its report.
 *
 * @module
 */

import type { Device } from "../src/device.ts";
import type { Report } from "./report.ts";

/** Milliseconds between checks that devices are still there. */
const CHECK_MS = 100;

/** Checks clock, devices and report. */
export class Watch {
  /** When to end, by `performance.now()`. */
  readonly end: number;
  readonly #devices: readonly Device[];
  readonly #report: Pick<Report, "second">;
  #checked: number;

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
    this.#checked = report.start;
    this.end = report.start + seconds * 1000;
  }

  /**
   * Checks every tenth of a second that the devices are still there, and prints a line every
   * second.
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
