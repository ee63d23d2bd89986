/**
 * What the checks of the self-test share: their form, their results, and what they work on.
 *
 * @module
 */

import type { IxgbeDevice } from "../../ixgbe/device.ts";
import type { Model } from "../../ixgbe/models.ts";
import type { Mempool, OpenOptions } from "../../mod.ts";

/** The result of a check. */
export type Verdict = "ok" | "FAILED" | "skipped";

/** What a check found. */
export interface Result {
  /** Number of the port in the command line, from 1. */
  readonly port: number;
  /** Name of the check. */
  readonly check: string;
  readonly verdict: Verdict;
  /** What was measured; else why the check failed, or was skipped. */
  readonly detail: string;
}

/** How the self-test reaches a port. */
export interface Access {
  /** Number of the port, from 1. */
  readonly number: number;
  /** Its address, which results do not show. */
  readonly address: string;
  /** Opens the device; it must be closed before it is opened again. */
  open(options: OpenOptions): Promise<IxgbeDevice>;
  /** Why interrupts are not available; undefined if they are. */
  readonly noInterrupts: string | undefined;
  /** Returns whether PCI configuration space says that bus mastering is on; undefined if unknown. */
  isBusMaster(): boolean | undefined;
}

/** A port whose device is open. */
export interface OpenPort {
  readonly number: number;
  readonly access: Access;
  readonly device: IxgbeDevice;
  readonly model: Model;
  /** The pool of all its queues. */
  readonly pool: Mempool;
  /** When opening it began, in milliseconds of `performance.now()`. */
  readonly openedAt: number;
  /** Whether its link has come up. */
  linked: boolean;
  /** Whether it is in loopback. */
  looped: boolean;
}

/** What a check works on. */
export interface Bench {
  readonly port: OpenPort;
  /** The port at the other end of the cable; undefined without one, or if it did not open. */
  readonly partner: OpenPort | undefined;
  /** Longest time until a link is up or down, in milliseconds. */
  readonly linkMs: number;
  /** Time without a packet after which no more are expected, in milliseconds. */
  readonly silenceMs: number;
  /** Sizes of the packets over cable and in loopback, in bytes without CRC. */
  readonly sizes: readonly number[];
  /** Throws {@linkcode Interrupted} once the user has ended the test. */
  checkStop(): void;
}

/** A check of a port. */
export interface Check {
  readonly name: string;
  /**
   * Checks a port.
   *
   * @returns What was measured.
   * @throws {Failed} if the port fails.
   * @throws {Skipped} if the check is not possible.
   */
  run(bench: Bench): string | Promise<string>;
}

/** A port fails a check. */
export class Failed extends Error {
  override readonly name = "Failed";
}

/** A check is not possible. */
export class Skipped extends Error {
  override readonly name = "Skipped";
}

/** The user has ended the test. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** Returns a number and its noun: `1 frame`, `2,000 frames`. */
export function counted(n: number, noun: string): string {
  return `${n.toLocaleString("en-US")} ${noun}${n === 1 ? "" : "s"}`;
}
