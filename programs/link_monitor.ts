/**
 * Reports on the standard error when a device's link is down, and when that changes. A program that waits
 * for packets would otherwise do so in silence.
 *
 * @module
 */

import { visible } from "../native/files.ts";
import type { Device, LinkStatus } from "../src/device.ts";
import { err } from "./output.ts";

/** The parts of a device that the monitor uses. */
type Linked = Pick<Device, "address" | "linkStatus">;

/** Compares the links of devices with their state at the last look. */
export class LinkMonitor {
  readonly #devices: readonly Linked[];
  readonly #print: (line: string) => void;
  /** The last reported state of each device; undefined, at first, stands for up at an unknown speed. */
  readonly #said: (LinkStatus | undefined)[];
  /** Reported warnings about modules, with their device. */
  readonly #warnings = new Set<string>();

  /** @param print Prints a line; default: to the standard error. */
  constructor(devices: readonly Linked[], print: (line: string) => void = err.print) {
    this.#devices = devices;
    this.#print = print;
    this.#said = devices.map(() => undefined);
  }

  /** Numbers of the devices whose links were down at the last look. */
  get down(): number[] {
    return [...this.#said.keys()].filter((i) => this.#said[i]?.up === false);
  }

  /** Whether a device was bringing its link up in the background at the last look. */
  get retrying(): boolean {
    return this.#said.some((status) => status?.retrying);
  }

  /**
   * Prints a line for each link that is down at the first look, for each change of state, speed or
   * reason since the last, and for each new warning about a module.
   *
   * @throws {DeviceError} if a device is gone.
   */
  look(): void {
    this.#devices.forEach((device, i) => {
      const now = device.linkStatus(), said = this.#said[i];
      this.#said[i] = now;
      const same = now.up === (said?.up ?? true) && now.reason === said?.reason &&
        now.megabits === (said?.megabits ?? now.megabits);
      if (!same) this.#print(`${visible(device.address)}: ${formatLink(now)}`);
      for (const warning of now.module?.warnings ?? []) {
        this.#warn(`${visible(device.address)}: ${warning}`);
      }
    });
  }

  #warn(line: string): void {
    if (this.#warnings.has(line)) return;
    this.#warnings.add(line);
    this.#print(`warning: ${line}`);
  }
}

/** Formats the state of a link: `link up at 10 Gbit/s`. */
export function formatLink({ up, megabits, reason }: LinkStatus): string {
  if (!up) return `link down: ${reason ?? "check the cable and the other end"}`;
  if (megabits === 0) return "link up";
  return `link up at ${megabits < 1000 ? `${megabits} Mbit/s` : `${megabits / 1000} Gbit/s`}`;
}
