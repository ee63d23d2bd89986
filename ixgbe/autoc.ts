/**
 * Restarts the link of an 82599 (AUTOC, sections 3.7 and 8.2.3.22.19).
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import type { Registers } from "../src/registers.ts";
import { ANLP1, AUTOC } from "./registers.ts";

/** Time for auto-negotiation to leave its first state, in milliseconds. */
const PIPELINE_MS = 40, PIPELINE_STEP_MS = 4;

/**
 * Sets AUTOC and restarts the link. A change takes effect only after a reset of the whole pipeline.
 * Intel's drivers cause this reset by toggling LMS[2], which tells the backplane modes from all others.
 * Between the two writes, auto-negotiation has to leave its first state. The caller holds SW_MAC_CSR_SM.
 */
export async function resetPipeline(regs: Registers, value: number): Promise<void> {
  const autoc = value | AUTOC.RESTART_AN;
  regs.write(AUTOC, autoc ^ AUTOC.LMS_KX4_KX_KR);
  try {
    for (let waited = 0; waited < PIPELINE_MS; waited += PIPELINE_STEP_MS) {
      await delay(PIPELINE_STEP_MS);
      if (regs.read(ANLP1) & ANLP1.AN_STATE) break;
    }
  } finally {
    regs.write(AUTOC, autoc); // even if a signal ends the wait
  }
}
