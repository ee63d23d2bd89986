/**
 * What the kinds of links share: their interface, the speeds that a port may have, and texts.
 *
 * @module
 */

import type { LinkStatus } from "../src/device.ts";
import { UsageError } from "../src/errors.ts";
import type { Model } from "./models.ts";

/** The link of a port: the part that software sets up, and its state. */
export interface PortLink {
  /**
   * Checks that the link can have one of the speeds that the program has set. Changes nothing.
   *
   * @throws {UsageError} if it cannot.
   */
  check(): Promise<void>;
  /** Sets the link up after a reset. A failure is not an error: `describe` reports it. */
  setUp(): Promise<void>;
  /** Waits a moment for a link that is about to come up. */
  settle(): Promise<void>;
  /** Does what a link that is down needs from time to time, and finds out why it is down. */
  advance(): Promise<void>;
  /** Adds to the state of the link what the MAC does not know, such as why it is down. */
  describe(status: LinkStatus): LinkStatus;
}

/** The reason for a link that is down and that the driver must leave alone. */
export const VETOED =
  "a management controller uses the link (MMNGC.MNG_VETO), so the driver does not restart it: " +
  "check the cable, and the management controller's settings";

/** The reason for a link that is down without a signal. */
export const NO_SIGNAL = "no signal arrives: check the cable and the other end";

/** Formats speeds: `100, 1000 and 10000 Mbit/s`. */
export function speedList(speeds: readonly number[]): string {
  const last = `${speeds.at(-1)} Mbit/s`;
  return speeds.length === 1 ? last : `${speeds.slice(0, -1).join(", ")} and ${last}`;
}

/**
 * Checks that a model can have the speeds that a program has set.
 *
 * @throws {UsageError} if the model cannot have one of them, or the driver cannot set its speed.
 */
export function checkSpeeds(
  address: string,
  model: Model,
  speeds: readonly number[] | undefined,
): void {
  const wrong = speeds?.find((speed) => !model.speeds.includes(speed));
  if (wrong === undefined) return;
  const problem = model.speeds.length === 0
    ? `the driver cannot set the speed of an ${model.name}, which follows from its EEPROM: leave out ` +
      "`speeds`"
    : `an ${model.name} can have ${
      speedList(model.speeds)
    }, not ${wrong}: leave it out of \`speeds\``;
  throw new UsageError(`${address}: ${problem}`, { option: "speeds" });
}
