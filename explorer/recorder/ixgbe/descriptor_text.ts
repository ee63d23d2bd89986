/**
 * Descriptors in words: what a step's title says of one.
 *
 * @module
 */

import { RX_DD, RX_EOP, TX_DD, TX_EOP, TX_IFCS, TX_RS } from "../../../ixgbe/descriptors.ts";
import { NONE } from "../../recording/layout.ts";

/** The length in a descriptor of both rings. */
const LENGTH = 0xffff;

/** Describes a receive descriptor that was written back: `DD, EOP, 60 bytes`. */
export function receivedText([, , status, length]: readonly number[]): string {
  return [
    ...(status & RX_DD ? ["DD"] : []),
    ...(status & RX_EOP ? ["EOP"] : []),
    `${length & LENGTH} bytes`,
  ].join(", ");
}

/** Describes a receive descriptor that the driver wrote: `buffer 5`. */
export function emptyText(buffer: number): string {
  return buffer === NONE ? "no buffer of the pool" : `buffer ${buffer}`;
}

/** Describes a transmit descriptor that the driver wrote: `buffer 5, 60 bytes, EOP, RS`. */
export function toSendText([, , command]: readonly number[], buffer: number): string {
  return [
    emptyText(buffer),
    `${command & LENGTH} bytes`,
    ...(command & TX_EOP ? ["EOP"] : []),
    ...(command & TX_IFCS ? ["IFCS"] : []),
    ...(command & TX_RS ? ["RS"] : []),
  ].join(", ");
}

/** Whether a transmit descriptor asks the device to report that it is done. */
export function reportsStatus([, , command]: readonly number[]): boolean {
  return (command & TX_RS) !== 0;
}

/** Whether the device has written a receive descriptor back. */
export function isReceived([, , status]: readonly number[]): boolean {
  return (status & RX_DD) !== 0;
}

/** Whether a frame ends in a receive descriptor that was written back. */
export function endsFrame([, , status]: readonly number[]): boolean {
  return (status & RX_EOP) !== 0;
}

/** Whether the device has written a transmit descriptor back. */
export function isSent([, , , status]: readonly number[]): boolean {
  return (status & TX_DD) !== 0;
}
