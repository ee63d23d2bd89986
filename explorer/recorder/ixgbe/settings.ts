/**
 * Settings that the program changes after the driver has opened a device, through `device.registers`.
 *
 * @module
 */

import type { IxgbeDevice } from "../../../ixgbe/device.ts";
import { EITR, MAXFRS, SRRCTL } from "../../../ixgbe/registers.ts";
import type { Registers } from "../../../src/registers.ts";
import type { Journal } from "../journal.ts";
import type { PortRecorder } from "./port_recorder.ts";

/** The chapter of these accesses. */
const CHAPTER = "registers";
/** Shift of EITR.ITR_INTERVAL, and its unit in microseconds. */
const INTERVAL_SHIFT = 3, INTERVAL_UNIT = 2;

/** Has frames without descriptor wait in the packet buffer; the driver has them dropped. */
export function keepFrames(
  journal: Journal,
  port: PortRecorder,
  device: IxgbeDevice,
  queues: number,
): void {
  const why =
    "This experiment keeps frames that find no descriptor in the packet buffer. The driver has " +
    "them dropped, so that a full queue does not block the others.";
  change(journal, port, device, why, (registers) => {
    for (let queue = 0; queue < queues; queue++) {
      registers.clear(SRRCTL, SRRCTL.DROP_EN, queue);
    }
  });
}

/** Has the device accept frames of so many bytes with CRC. */
export function acceptFrames(
  journal: Journal,
  port: PortRecorder,
  device: IxgbeDevice,
  bytes: number,
): void {
  const why =
    "The driver limits frames to the size of a buffer. This experiment accepts longer ones.";
  change(journal, port, device, why, (registers) => {
    registers.update(MAXFRS, MAXFRS.MFS, bytes << 16);
  });
}

/** Has the device wait at least so many microseconds between two messages of a queue's vector. */
export function throttle(
  journal: Journal,
  port: PortRecorder,
  device: IxgbeDevice,
  [queue, microseconds]: readonly [queue: number, microseconds: number],
): void {
  const why = "EITR is the least time between two messages of a vector, in units of 2 µs.";
  const interval = Math.ceil(microseconds / INTERVAL_UNIT) << INTERVAL_SHIFT;
  change(journal, port, device, why, (registers) => {
    registers.update(EITR, EITR.ITR_INTERVAL, interval, queue);
  });
}

function change(
  journal: Journal,
  port: PortRecorder,
  { registers }: IxgbeDevice,
  why: string,
  act: (registers: Registers) => void,
): void {
  const chapter = journal.chapter;
  journal.chapter = CHAPTER;
  port.reason = why;
  try {
    act(registers);
  } finally {
    port.reason = undefined;
    journal.chapter = chapter;
  }
}
