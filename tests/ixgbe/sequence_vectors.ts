/**
 * Rules of the datasheet on how a driver sets up MSI-X interrupts (sections 4.6.6 and 7.3). Not a test
 * itself.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { between, type Board, closed, MASKED, opened, type Rule } from "./sequence_rules.ts";
import { type Sequence, writes } from "../support/register_sequence.ts";

const ALL = 0xffffffff;
/** Bits of a queue's two entries in IVAR: receive, then transmit. */
const QUEUE_BITS = 16;

const boards = ({ vectors }: Board) => vectors > 0;
/** Returns the numbers of the vectors, which are those of the receive queues. */
const numbers = ({ vectors }: Board) => Array.from({ length: vectors }, (_, i) => i);
/** Returns the vectors as a mask. */
const mask = ({ vectors }: Board) => 2 ** vectors - 1;
/** Returns the index at which the first vector is armed. */
const armed = (record: Sequence) => record.find(writes(R.EIMS_EX), opened(record));

/** Returns the value of a register when the first vector is armed. */
function held(record: Sequence, register: Register, index = 0): number {
  return armed(record) < 0 ? 0 : record.valueAt(armed(record), register, index);
}

/** The rules. */
export const VECTORS: readonly Rule[] = [
  {
    section: "7.3",
    rule: "GPIE.MULTIPLE_MSIX and PBA_SUPPORT are set before a vector is armed",
    sentence: "GPIE.Multiple_MSIX: MSI-X mode. GPIE.PBA_support should be set to 1b in MSI-X mode.",
    boards,
    kept: (r) => {
      const bits = R.GPIE.MULTIPLE_MSIX | R.GPIE.PBA_SUPPORT;
      return (held(r, R.GPIE) & bits) === bits;
    },
    broken: (r) => r.changed(r.find(writes(R.GPIE)), (value) => value & ~R.GPIE.MULTIPLE_MSIX),
  },
  {
    section: "4.6.6",
    rule: "IVAR assigns a vector of its own to each receive queue before one is armed",
    sentence:
      "The software driver associates between interrupt causes and MSI-X vectors […] by programming the IVAR[n] and IVAR_MISC registers.",
    boards,
    kept: (r, board) => {
      const entries = numbers(board).map((i) => {
        return held(r, R.IVAR, i >> 1) >>> i % 2 * QUEUE_BITS & 0xff;
      });
      const valid = entries.every((entry) => {
        const vector = entry & R.IVAR.ALLOC0;
        return (entry & R.IVAR.ALLOC_VAL0) !== 0 && vector < board.vectors;
      });
      return valid && new Set(entries).size === entries.length;
    },
    broken: (r) => r.without(r.find(writes(R.IVAR, 1))),
  },
  {
    section: "4.6.6",
    rule: "EIAC clears the causes of queues with their message, and no other cause",
    sentence:
      "EIAC[n] should be set to auto clear for transmit and receive interrupt causes […]. The EIAC bits that control the other and TCP timer interrupt causes should be set to 0b.",
    boards,
    kept: (r, board) => held(r, R.EIAC) === mask(board),
    broken: (r) => r.changed(r.find(writes(R.EIAC)), (value) => value | R.EICR.TCP_TIMER),
  },
  {
    section: "4.6.6",
    rule: "EIAM masks each vector with its message if GPIE.EIAME is set",
    sentence:
      "Set the auto mask in the EIAM and EIAM[n] registers according to the preferred mode of operation.",
    boards,
    kept: (r, board) => {
      return (held(r, R.GPIE) & R.GPIE.EIAME) === 0 || held(r, R.EIAM_EX) === mask(board);
    },
    broken: (r) => r.without(r.find(writes(R.EIAM_EX))),
  },
  {
    section: "4.6.6",
    rule: "IVAR_MISC assigns a vector of its own to changes of the link before it is armed",
    sentence:
      "The software driver associates between interrupt causes and MSI-X vectors […] by programming the IVAR[n] and IVAR_MISC registers.",
    boards,
    kept: (r, board) => {
      const at = r.find(writes(R.EIMS, 0, R.EIMS.LSC), opened(r));
      const entry = at < 0 ? 0 : r.valueAt(at, R.IVAR_MISC);
      return (entry & R.IVAR_MISC.ALLOC_VAL1) !== 0 &&
        (entry & R.IVAR_MISC.ALLOC1) >>> 8 === board.vectors;
    },
    broken: (r) => r.without(r.find(writes(R.IVAR_MISC))),
  },
  {
    section: "4.6.6",
    rule: "EIAM masks the link's vector with its message if GPIE.EIAME is set",
    sentence:
      "Set the auto mask in the EIAM and EIAM[n] registers according to the preferred mode of operation.",
    boards,
    kept: (r) => (held(r, R.GPIE) & R.GPIE.EIAME) === 0 || (held(r, R.EIAM) & R.EICR.LSC) !== 0,
    broken: (r) => r.changed(r.find(writes(R.EIAM)), (value) => value & ~R.EICR.LSC),
  },
  {
    section: "4.6.6",
    rule: "EITR is set for each vector before one is armed",
    sentence:
      "Set the interrupt throttling in EITR[n] and GPIE according to the preferred mode of operation.",
    boards,
    kept: (r, board) =>
      [...numbers(board), board.vectors]
        .every((i) => between(r, writes(R.EITR, i), opened(r), armed(r))),
    broken: (r) => r.without(r.find(writes(R.EITR, 1))),
  },
  {
    section: "4.6.6",
    rule: "EICR is cleared of old causes, by writing all ones, before a vector is armed",
    sentence: "Software clears EICR by writing all ones to clear old interrupt causes.",
    boards,
    kept: (r) => between(r, writes(R.EICR, 0, ALL), opened(r), armed(r)),
    broken: (r) => r.without(r.find(writes(R.EICR))),
  },
  {
    section: "4.6.3.1",
    rule: "vectors that were armed are masked before the last reset",
    sentence: "1. Disable interrupts. 2. Issue a global reset.",
    boards,
    kept: (r) => {
      const last = r.findLast(writes(R.EIMS_EX), closed(r));
      return between(r, MASKED, last, closed(r)) &&
        between(r, writes(R.EIMC_EX, 0, ALL), last, closed(r));
    },
    broken: (r) => r.without(r.findLast(MASKED, closed(r))),
  },
];
