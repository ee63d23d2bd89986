/**
 * Rules of the datasheets on what the NIC shares with firmware and with the link's other end: coming to
 * rest, resets, the PHY. Not a test itself.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import { between, type Rule } from "./sequence_rules.ts";
import { type Passes, reads, type Sequence, writes } from "../support/register_sequence.ts";

const GIO_DIS = writes(R.CTRL, 0, R.CTRL.GIO_DIS, R.CTRL.RST);
const STATUS: Passes = reads(R.STATUS);

/** Returns the indices from which on, and before which, CTRL has to be read. */
function readBack(record: Sequence): [from: number, to: number][] {
  return record.all(GIO_DIS).map((at) => [at, record.find(STATUS, at)]);
}

/** The rules. */
export const LINK: readonly Rule[] = [
  {
    section: "8.2.2.1.1 (X550)",
    rule: "CTRL.GIO_DIS is read as 1 after it is set, before STATUS is read",
    kept: (r) =>
      readBack(r).every(([from, to]) => between(r, reads(R.CTRL, 0, R.CTRL.GIO_DIS), from, to)),
    broken: (r) => {
      const [from, to] = readBack(r).at(-1)!;
      return r.without(r.find(reads(R.CTRL), from, to));
    },
  },
];
