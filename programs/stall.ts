/**
 * Reports on the standard error that a program makes no progress, what it waits for, and why. At the end,
 * reports packets that a device has not sent.
 *
 * @module
 */

import { visible } from "../native/files.ts";
import { Timer } from "../native/clock.ts";
import type { Device } from "../src/device.ts";
import { formatLink } from "./link_monitor.ts";
import { decimal, type Option } from "./options.ts";
import { err } from "./output.ts";

/** Milliseconds between looks. */
const LOOK_MS = 100;
/** Longest time at the end to wait for packets in transmit rings, in milliseconds. */
const UNSENT_MS = 500;

/** What a program waits for. */
export interface Wait {
  /** A number that changes with every packet. */
  readonly progress: () => number;
  /** What is missing, such as `3 of 9 packets are not sent`; undefined while the program waits for nothing. */
  readonly missing: () => string | undefined;
  /** The probable reason while the link is up. */
  readonly reason: string;
  /** Seconds without progress until that is reported. */
  readonly seconds: number;
}

/**
 * Waits half a second for packets in transmit rings. Reports those that stay, because totals count them as
 * sent.
 *
 * @param print Prints a line; default: to the standard error.
 * @throws {DeviceError} if a device is gone.
 */
export function reportUnsent(
  devices: readonly Pick<Device, "address" | "linkStatus" | "txQueues" | "checkAlive">[],
  print: (line: string) => void = err.print,
): void {
  const end = performance.now() + UNSENT_MS;
  for (const device of devices) {
    const left = () => {
      for (const queue of device.txQueues) queue.reclaim();
      return device.txQueues.reduce((sum, { pending }) => sum + pending, 0);
    };
    while (left() > 0 && performance.now() < end) device.checkAlive();
    if (left() === 0) continue;
    const link = formatLink(device.linkStatus());
    print(visible(`warning: ${device.address}: has not sent the last ${left()} packets: ${link}`));
  }
}

/** Returns the option for the longest time without progress. */
export function timeout(help: string, about: string): Option<number> {
  return decimal(help, { least: 0.1, most: 1e9, values: about, default: Infinity });
}

/** Watches the progress of a program that has one device. */
export class Stall {
  readonly #device: Pick<Device, "address" | "linkStatus">;
  readonly #wait: Wait;
  readonly #limit: number;
  readonly #print: (line: string) => void;
  readonly #timer = new Timer(LOOK_MS);
  #progress: number;
  /** When there was progress last, by `performance.now()`. */
  #since = performance.now();
  #reported = false;

  /**
   * Creates a watch that begins now.
   *
   * @param seconds The longest time without progress.
   * @param print Prints a line; default: to the standard error.
   */
  constructor(
    device: Pick<Device, "address" | "linkStatus">,
    wait: Wait,
    seconds: number,
    print: (line: string) => void = err.print,
  ) {
    this.#device = device;
    this.#wait = wait;
    this.#limit = seconds * 1000;
    this.#print = print;
    this.#progress = wait.progress();
  }

  /**
   * Whether there was no progress for too long. Looks ten times a second.
   *
   * @throws {DeviceError} if the device is gone.
   */
  get over(): boolean {
    if (!this.#timer.over) return false;
    this.#timer.restart();
    return this.look(performance.now());
  }

  /**
   * Looks whether there was progress. Reports each wait once.
   *
   * @param now The time, by `performance.now()`.
   * @returns Whether there was none for too long.
   * @throws {DeviceError} if the device is gone.
   */
  look(now: number): boolean {
    const progress = this.#wait.progress();
    if (progress !== this.#progress || this.#wait.missing() === undefined) {
      this.#progress = progress;
      this.#since = now;
      this.#reported = false;
      return false;
    }
    const waited = now - this.#since;
    if (waited >= this.#wait.seconds * 1000 && !this.#reported) {
      this.#reported = true;
      this.#print(this.sentence(`no progress for ${this.#wait.seconds} s`));
    }
    return waited >= this.#limit;
  }

  /** Returns a sentence: the device, what happened, what is missing, and the probable reason. */
  sentence(what: string): string {
    const { address } = this.#device, link = this.#device.linkStatus();
    const missing = this.#wait.missing() ?? "nothing is missing";
    const reason = link.up ? `${formatLink(link)}: ${this.#wait.reason}` : formatLink(link);
    return visible(`${address}: ${what}, ${missing}: ${reason}`);
  }
}
