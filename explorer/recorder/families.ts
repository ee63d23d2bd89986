/**
 * The kinds of devices that can be recorded.
 *
 * @module
 */

import type { Experiment } from "../recording/experiment.ts";
import { IXGBE } from "./ixgbe/family.ts";
import type { Family } from "./recorder.ts";
import { VIRTIO } from "./virtio/family.ts";

const FAMILIES: Readonly<Record<Experiment["device"], Family>> = {
  "82599": IXGBE,
  X540: IXGBE,
  X550: IXGBE,
  virtio: VIRTIO,
};

/** Returns the family of a device. */
export function familyOf(device: Experiment["device"]): Family {
  return FAMILIES[device];
}
