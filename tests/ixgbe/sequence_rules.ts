/**
 * What rules of the datasheet on the order of register accesses are made of: landmarks in a record, and
 * kinds of rules that several registers have. The rules themselves are in `ixgbe_sequence_start.ts` and
 * `ixgbe_sequence_queues.ts`. Not a test itself.
 *
 * A record is of one transmit and one or more receive queues, from opening to closing. Sections are the
 * 82599's; the X550's datasheet has the same rules in its sections 4.6.3 to 4.6.8.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { type Passes, reads, type Sequence, writes } from "../support/register_sequence.ts";

/** A device that a record is made of, and how it is opened. */
export interface Board {
  /** Name for people. */
  readonly name: string;
  /** PCI device ID. */
  readonly deviceId: number;
  /** What the receive packet buffer holds, in KB (section 4.6.11.3.4). */
  readonly rxKilobytes: number;
  /** How many receive queues have a vector each; 0 if there are no interrupts. */
  readonly vectors: number;
}

/** All that records are made of. */
export const BOARDS: readonly Board[] = [
  { name: "82599", deviceId: DEVICE.SFP, rxKilobytes: 512, vectors: 0 },
  { name: "82599 with interrupts", deviceId: DEVICE.SFP, rxKilobytes: 512, vectors: 3 },
  { name: "X540", deviceId: DEVICE.X540, rxKilobytes: 384, vectors: 0 },
  { name: "X550", deviceId: DEVICE.X550, rxKilobytes: 384, vectors: 0 },
];

/** A rule of the datasheet. */
export interface Rule {
  /** The section that it is from. */
  readonly section: string;
  /** What has to be so. */
  readonly rule: string;
  /** The boards that it is for; all unless given. */
  readonly boards?: (board: Board) => boolean;
  /** Whether a record keeps it. */
  readonly kept: (record: Sequence, board: Board) => boolean;
  /** Breaks it in a record that keeps it. */
  readonly broken: (record: Sequence) => Sequence;
}

/** The driver enables reception, or disables it. */
export const RXEN = writes(R.RXCTRL, 0, R.RXCTRL.RXEN);
export const RXEN_OFF = writes(R.RXCTRL, 0, 0, R.RXCTRL.RXEN);
/** It enables transmission. */
export const TE = writes(R.DMATXCTL, 0, R.DMATXCTL.TE);
/** It enables the queue. */
export const RX_ENABLE = writes(R.RXDCTL, 0, R.RXDCTL.ENABLE);
export const TX_ENABLE = writes(R.TXDCTL, 0, R.TXDCTL.ENABLE);
/** It masks all causes of EICR. */
export const MASKED = writes(R.EIMC, 0, R.EIMC.ALL);
/** It resets the NIC. */
export const RESET = writes(R.CTRL, 0, R.CTRL.RST);

/** The reset of the initialisation, and that of closing. */
export const opened = (record: Sequence) => record.find(RESET);
export const closed = (record: Sequence) => record.findLast(RESET);
/** Where reception is enabled first, and where it is disabled for good. */
export const receiving = (record: Sequence) => record.find(RXEN, opened(record));
export const stopping = (record: Sequence) => record.findLast(RXEN_OFF);

/** Whether an access that passes is somewhere from one place to another. */
export function between(record: Sequence, passes: Passes, from: number, to: number): boolean {
  return from >= 0 && to >= 0 && record.find(passes, from, to) >= 0;
}

/** Whether all copies of a register are written with what passes before reception is enabled. */
export function allWritten(record: Sequence, register: Register, value: (index: number) => number) {
  const to = receiving(record);
  return Array.from({ length: register.count }, (_, i) => {
    return (record.valueAt(to, register, i) ^ value(i)) === 0 &&
      between(record, writes(register, i), opened(record), to);
  }).every(Boolean);
}

/** Rules about tables that are all zeros, or have a value in their first copy. */
export function table(
  section: string,
  register: Register,
  first: (board: Board) => number,
  what: string,
): Rule {
  return {
    section,
    rule: `${register.name}: ${what}`,
    kept: (record, board) => allWritten(record, register, (i) => i === 0 ? first(board) : 0),
    broken: (record) => record.without(record.find(writes(register, 1), opened(record))),
  };
}

/** A rule that something is seen after the reset and before something else. */
export function seen(
  section: string,
  rule: string,
  [register, bits]: readonly [Register, number],
  before: Passes,
): Rule {
  return {
    section,
    rule,
    kept: (r) => between(r, reads(register, 0, bits), opened(r), r.find(before, opened(r))),
    broken: (record) => {
      const first = opened(record);
      return record.all(reads(register, 0, bits)).filter((i) => i > first).reduce(
        (all, i) => all.changed(i, (value) => value & ~bits),
        record,
      );
    },
  };
}

/** A rule that some writes come between the reset and another write. */
export function before(
  section: string,
  rule: string,
  first: readonly Passes[],
  then: Passes,
): Rule {
  return {
    section,
    rule,
    kept: (r) => {
      const at = r.find(then, opened(r));
      return first.every((passes) => {
        return between(r, passes, opened(r), at) && !between(r, passes, at, stopping(r));
      });
    },
    broken: (r) => {
      const at = r.find(then, opened(r));
      return r.moved(r.findLast(first[0], at), at + 1);
    },
  };
}

/** A rule that a queue's enable bit is read as 1 before its tail moves. */
export function awaited(section: string, control: Register, tail: Passes): Rule {
  const on = R.RXDCTL.ENABLE;
  return {
    section,
    rule: `${control.name}.ENABLE is read as 1 before the tail is bumped`,
    kept: (r) => between(r, reads(control, 0, on), r.find(writes(control, 0, on)), r.find(tail)),
    broken: (r) => r.moved(r.find(tail), r.find(writes(control, 0, on)) + 1),
  };
}
