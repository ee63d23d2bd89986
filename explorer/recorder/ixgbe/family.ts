/**
 * The ixgbe family: 82599, X540 and X550 with the software NIC.
 *
 * @module
 */

import type { Family } from "../recorder.ts";
import { measure } from "./measure.ts";
import { IxgbeRecorder } from "./recorder.ts";

/** Records the ixgbe driver. */
export const IXGBE: Family = {
  record: (experiment, emit) => new IxgbeRecorder(experiment, emit),
  measure,
};
