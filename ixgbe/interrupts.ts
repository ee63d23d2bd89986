/**
 * Interrupts of receive queues (datasheet sections 4.6.6 and 7.3): a MSI-X vector for each, which a
 * message shuts until the program arms it again. No other cause interrupts.
 *
 * @module
 */

import type { Registers } from "../src/registers.ts";
import * as R from "./registers.ts";

const ENTRY = R.IVAR.ALLOC0 | R.IVAR.ALLOC_VAL0;
/** Bits of the two entries that a queue has in IVAR: receive, then transmit. */
const QUEUE_BITS = 16;

/**
 * Section 4.6.6: receive queue `i` gets vector `i`. All vectors stay shut until they are armed.
 *
 * @param queues How many receive queues get a vector, 16 at most.
 */
export function initInterrupts(regs: Registers, queues: number): void {
  if (queues === 0) return;
  const vectors = 2 ** queues - 1;
  // EIAME: a message also shuts its vector, so that none follows while the program polls.
  regs.set(R.GPIE, R.GPIE.MULTIPLE_MSIX | R.GPIE.PBA_SUPPORT | R.GPIE.EIAME);
  regs.write(R.EIAC, vectors & R.EIAC.RTX_QUEUE); // nobody reads EICR to clear causes
  regs.write(R.EIAM_EX, vectors);
  for (let queue = 0; queue < queues; queue++) {
    // No throttling: vectors are armed only after silence, which keeps messages apart.
    regs.write(R.EITR, 0, queue);
    const shift = queue % 2 * QUEUE_BITS;
    const entry = queue | R.IVAR.ALLOC_VAL0;
    regs.update(R.IVAR, ENTRY << shift, entry << shift, queue >> 1);
  }
  regs.write(R.EICR, 0xffffffff); // causes from before
}

/** Opens the vector of a receive queue for one message; at once if it has a cause already. */
export function armInterrupt(regs: Registers, queue: number): void {
  regs.write(R.EIMS_EX, 1 << queue);
}
