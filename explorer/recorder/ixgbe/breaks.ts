/**
 * Ways to break a rule of the datasheet. Each does what a faulty driver would do, so that the device's
 * rule is seen.
 *
 * @module
 */

import * as R from "../../../ixgbe/registers.ts";
import type { Action } from "../../recording/experiment.ts";
import { UsageError } from "../../../src/errors.ts";
import type { Journal } from "../journal.ts";
import type { PortRecorder } from "./port_recorder.ts";

/** A bus address that is not mapped for the device: nothing is below 4 GiB, see `src/dma.ts`. */
const UNMAPPED = [0xdead_0000, 0] as const;

/**
 * Breaks a rule on an open port.
 *
 * @param frame Has a frame arrive at the port.
 * @throws {UsageError} if the port is closed.
 */
export function breakRule(
  port: PortRecorder,
  journal: Journal,
  { rule }: Action & { readonly do: "break" },
  frame: () => void,
): void {
  if (!port.device) throw new UsageError("the devices are closed: open them first");
  journal.chapter = `break: ${rule.replaceAll("-", " ")}`;
  try {
    if (rule === "tail-beyond-end") writeTailBeyondEnd(port);
    else if (rule === "te-before-ring") enableWithoutRing(port);
    else writeUnmappedBuffer(port, frame);
  } finally {
    port.reason = undefined;
  }
}

/** Writes a tail that is not an index of the ring. */
function writeTailBeyondEnd(port: PortRecorder): void {
  const { registers } = port.device!, { entries } = port.rx[0].cells;
  const right = registers.read(R.RDT);
  port.reason = `The ring has descriptors 0 to ${entries - 1}: this tail is none of them.`;
  registers.write(R.RDT, entries + 5);
  port.reason = "The right tail again. The device has kept the one that it had.";
  registers.write(R.RDT, right);
}

/** Enables a transmit queue that has no ring, while TE is set. */
function enableWithoutRing(port: PortRecorder): void {
  const { registers } = port.device!, queue = port.tx.length;
  port.reason = `DMATXCTL.TE is set, and queue ${queue} has no ring: TDLEN is 0.`;
  registers.set(R.TXDCTL, R.TXDCTL.ENABLE, queue);
  port.reason = "The driver waits until the device has enabled the queue.";
  port.working = true;
  registers.spin(R.TXDCTL, R.TXDCTL.ENABLE, R.TXDCTL.ENABLE, 10, queue);
  port.working = false;
  port.reason = "The ring comes too late: the queue is enabled.";
  registers.write(R.TDBAL, 0x1000, queue);
}

/** Gives the device a descriptor whose buffer it cannot reach; then a frame arrives for it. */
function writeUnmappedBuffer(port: PortRecorder, frame: () => void): void {
  port.rx[0].corrupt(UNMAPPED);
  frame();
}
