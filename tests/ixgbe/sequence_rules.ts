/**
 * Building blocks of rules on the order of register accesses: landmarks in a record, and kinds of rules
 * that apply to several registers. The rules are in `sequence_start.ts`, `sequence_queues.ts`,
 * `sequence_vectors.ts` and `sequence_sfp.ts`. Not a test itself.
 *
 * A record covers one transmit queue and one or more receive queues, from opening to closing. Section
 * numbers are the 82599's; the X550's datasheet has the same rules in its sections 4.6.3 to 4.6.8.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { type Passes, reads, type Sequence, writes } from "../support/register_sequence.ts";

/** A device to record, and how it is opened. */
export interface Board {
  /** Display name. */
  readonly name: string;
  /** PCI device ID. */
  readonly deviceId: number;
  /** Size of the receive packet buffer in KB (section 4.6.11.3.4). */
  readonly rxKilobytes: number;
  /** Number of receive queues with a vector; 0 without interrupts. */
  readonly vectors: number;
}

/** All devices to record. */
export const BOARDS: readonly Board[] = [
  { name: "82599", deviceId: DEVICE.SFP, rxKilobytes: 512, vectors: 0 },
  { name: "82599 with interrupts", deviceId: DEVICE.SFP, rxKilobytes: 512, vectors: 3 },
  { name: "X540", deviceId: DEVICE.X540, rxKilobytes: 384, vectors: 0 },
  { name: "X550", deviceId: DEVICE.X550, rxKilobytes: 384, vectors: 0 },
];

/** A rule of the datasheet. */
export interface Rule {
  /** Section of the datasheet. */
  readonly section: string;
  /** The rule, as a sentence. */
  readonly rule: string;
  /**
   * The sentence of the datasheet that demands it, shortened; the 82599's, or that of what it names. A rule
   * that only Intel's drivers follow says so.
   */
  readonly sentence: string;
  /** The boards that it applies to (default: all). */
  readonly boards?: (board: Board) => boolean;
  /** Returns whether a record keeps the rule. */
  readonly kept: (record: Sequence, board: Board) => boolean;
  /** Returns a record that breaks the rule, made from one that keeps it. */
  readonly broken: (record: Sequence) => Sequence;
}

/** The driver enables or disables reception. */
export const RXEN = writes(R.RXCTRL, 0, R.RXCTRL.RXEN);
export const RXEN_OFF = writes(R.RXCTRL, 0, 0, R.RXCTRL.RXEN);
/** The driver enables transmission. */
export const TE = writes(R.DMATXCTL, 0, R.DMATXCTL.TE);
/** The driver enables queue 0. */
export const RX_ENABLE = writes(R.RXDCTL, 0, R.RXDCTL.ENABLE);
export const TX_ENABLE = writes(R.TXDCTL, 0, R.TXDCTL.ENABLE);
/** The driver masks all causes of EICR. */
export const MASKED = writes(R.EIMC, 0, R.EIMC.ALL);
/** The driver resets the NIC. */
export const RESET = writes(R.CTRL, 0, R.CTRL.RST);

/** Indices of the reset of the initialisation, and of the reset of closing. */
export const opened = (record: Sequence) => record.find(RESET);
export const closed = (record: Sequence) => record.findLast(RESET);
/** Indices at which reception is first enabled, and finally disabled. */
export const receiving = (record: Sequence) => record.find(RXEN, opened(record));
export const stopping = (record: Sequence) => record.findLast(RXEN_OFF);

/** Returns whether an access that passes occurs between two indices. */
export function between(record: Sequence, passes: Passes, from: number, to: number): boolean {
  return from >= 0 && to >= 0 && record.find(passes, from, to) >= 0;
}

/** Returns whether all copies of a register are written, with these values, before reception is enabled. */
export function allWritten(record: Sequence, register: Register, value: (index: number) => number) {
  const to = receiving(record);
  return Array.from({ length: register.count }, (_, i) => {
    return (record.valueAt(to, register, i) ^ value(i)) === 0 &&
      between(record, writes(register, i), opened(record), to);
  }).every(Boolean);
}

/** Returns a rule on a table: all copies are 0, except for the first. */
export function table(
  section: string,
  register: Register,
  first: (board: Board) => number,
  what: string,
  sentence: string,
): Rule {
  return {
    section,
    rule: `${register.name}: ${what}`,
    sentence,
    kept: (record, board) => allWritten(record, register, (i) => i === 0 ? first(board) : 0),
    broken: (record) => record.without(record.find(writes(register, 1), opened(record))),
  };
}

/** Returns a rule that bits are read as 1 after the reset and before another access. */
export function seen(
  section: string,
  rule: string,
  sentence: string,
  [register, bits]: readonly [Register, number],
  before: Passes,
): Rule {
  return {
    section,
    rule,
    sentence,
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

/** Returns a rule that some writes occur between the reset and another write. */
export function before(
  section: string,
  rule: string,
  sentence: string,
  first: readonly Passes[],
  then: Passes,
): Rule {
  return {
    section,
    rule,
    sentence,
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

/** Returns a rule that a queue's enable bit is read as 1 before its tail is written. */
export function awaited(
  section: string,
  sentence: string,
  control: Register,
  tail: Passes,
): Rule {
  const on = R.RXDCTL.ENABLE;
  return {
    section,
    sentence,
    rule: `${control.name}.ENABLE is read as 1 before the tail is written`,
    kept: (r) => between(r, reads(control, 0, on), r.find(writes(control, 0, on)), r.find(tail)),
    broken: (r) => r.moved(r.find(tail), r.find(writes(control, 0, on)) + 1),
  };
}
