/**
 * The datasheet's rules for receive descriptors, as the modelled device finds them broken. Apart from
 * the loop that finds them, which is faster the shorter it is.
 *
 * @module
 */

import { REGISTERS } from "../../ixgbe/registers.ts";
import { hex, nameOf } from "../../src/registers.ts";
import type { ReceiveQueue } from "./queue.ts";
import type { Rules } from "../registers/rules.ts";

/** The buffer of the descriptor at the head cannot be written; the queue stops. */
export function badBuffer(rules: Rules, queue: ReceiveQueue): void {
  const at = queue.first + queue.head * 4;
  const address = `${hex(queue.words[at + 1])}:${hex(queue.words[at])}`;
  rules.violate(
    nameOf(REGISTERS.RDBAL, queue.index),
    "7.1.6.1",
    "buffers of BSIZEPACKET bytes in memory the device may write",
    `descriptor ${queue.head}: ${queue.bufferBytes} bytes at ${address}`,
  );
  queue.running = false;
}

/** A frame is there for a queue that is on, and the device may not reach memory. */
export function blocked(rules: Rules, queue: ReceiveQueue): void {
  rules.violate(
    nameOf(REGISTERS.RDT, queue.index),
    "9.3.3.3",
    "bus master is on before DMA is asked for",
    "a frame arrived while bus master is off",
  );
}

/** The descriptor at the head looks as if it were done already. */
export function notCleared(rules: Rules, queue: ReceiveQueue): void {
  rules.violate(
    nameOf(REGISTERS.RDT, queue.index),
    "7.1.6.1",
    "the DD bit of a descriptor that is handed over is 0",
    `descriptor ${queue.head}`,
  );
}
