import type { Family } from "../recorder.ts";
import { IxgbeRecorder } from "./recorder.ts";

export const IXGBE: Family = {
  record: (experiment, emit) => new IxgbeRecorder(experiment, emit),
  measure: () => { throw new Error("x"); },
};
