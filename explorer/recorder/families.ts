/**
 * The kinds of devices that can be recorded.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import type { Experiment } from "../recording/experiment.ts";
import { IXGBE } from "./ixgbe/family.ts";
import type { Family } from "./recorder.ts";

const FAMILIES: Readonly<Partial<Record<Experiment["device"], Family>>> = {
  "82599": IXGBE,
  X540: IXGBE,
  X550: IXGBE,
};

/**
 * Returns the family of a device.
 *
 * @throws {UsageError} if the device cannot be recorded.
 */
export function familyOf(device: Experiment["device"]): Family {
  const family = FAMILIES[device];
  if (family) return family;
  throw new UsageError(
    `${device} cannot be recorded: choose one of ${Object.keys(FAMILIES).join(", ")}`,
  );
}
