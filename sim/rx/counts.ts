/**
 * The counts of the modelled device's receive side, and their way to the statistics registers
 * (datasheet section 8.2.3.23). The loops that move frames only add to `fresh` and to their queues'
 * counts. Everything else happens when a count is read.
 *
 * @module
 */

import { REGISTERS } from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { FRAME } from "../frames/frame.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { AddCount, Statistics } from "../registers/statistics.ts";
import { QUEUE_BYTES, QUEUE_DROPS, QUEUE_PACKETS, type ReceiveQueue } from "./queue.ts";

/**
 * Indices into `fresh`; 0 to 5 are frames by size, see sizeClass(). In an object for the reason
 * that `rings/descriptors.ts` gives.
 */
export const RECEIVED = {
  /** Frames of minimum length. */
  SHORT: 0,
  /** Frames that arrived while the receiver was off. */
  IGNORED: 6,
  /** Frames that the filters refused. */
  FILTERED: 7,
  /** Accepted multicast frames, and broadcast frames. */
  MULTICASTS: 8,
  BROADCASTS: 9,
  /** Bytes of good frames that are longer than the minimum, with CRC. */
  BYTES: 10,
  /** Good frames that found no room. */
  MISSED: 11,
  /** Frames that were too long, and too short. */
  OVERSIZED: 12,
  UNDERSIZED: 13,
  /** Bytes of frames that the filters refused, with CRC. */
  FILTERED_BYTES: 14,
} as const;
const { SHORT, IGNORED, FILTERED, MULTICASTS, BROADCASTS, BYTES, MISSED } = RECEIVED;
const { OVERSIZED, UNDERSIZED, FILTERED_BYTES } = RECEIVED;
const COUNTS = 15;

/** Counters of frames by size, see sizeClass(). */
const SIZES: readonly Register[] = [
  REGISTERS.PRC64,
  REGISTERS.PRC127,
  REGISTERS.PRC255,
  REGISTERS.PRC511,
  REGISTERS.PRC1023,
  REGISTERS.PRC1522,
];

/** Counts of all queues together. */
export class ReceiveCounts {
  /** Counts since the last {@linkcode ReceiveCounts.prototype.settle}. */
  readonly fresh: Float64Array<ArrayBuffer> = new Float64Array(COUNTS);
  readonly #totals = new Float64Array(COUNTS);
  readonly #file: RegisterFile;
  readonly #statistics: Statistics;
  readonly #queues: readonly ReceiveQueue[];

  constructor({ file, statistics }: RegisterCore, queues: readonly ReceiveQueue[]) {
    this.#file = file;
    this.#statistics = statistics;
    this.#queues = queues;
  }

  /** Running totals by name. */
  get totals(): { received: number; missed: number; filtered: number; ignored: number } {
    this.settle();
    const total = this.#totals;
    return {
      received: total[0] + total[1] + total[2] + total[3] + total[4] + total[5] - total[MISSED],
      missed: total[MISSED],
      filtered: total[FILTERED] + total[OVERSIZED] + total[UNDERSIZED],
      ignored: total[IGNORED],
    };
  }

  /** Counts a frame that found neither a descriptor nor room in a packet buffer. */
  bufferFull(buffer: number): void {
    this.#statistics.add(REGISTERS.RXMPC, 1, buffer);
  }

  /** Adds the counts since the last call to the statistics registers. */
  settle(): void {
    const count = this.fresh;
    this.report((register, amount, index) => this.#statistics.add(register, amount, index));
    for (let i = 0; i < COUNTS; i++) this.#totals[i] += count[i];
    count.fill(0);
    for (const { counts } of this.#queues) {
      if (counts[QUEUE_PACKETS] > 0 || counts[QUEUE_DROPS] > 0) counts.fill(0);
    }
  }

  /** Reports what {@linkcode ReceiveCounts.prototype.settle} would add, and changes nothing. */
  report(add: AddCount): void {
    const count = this.fresh;
    let good = 0;
    for (let size = 0; size < SIZES.length; size++) {
      good += count[size];
      if (count[size] > 0) add(SIZES[size], count[size]);
    }
    const bytes = count[BYTES] + count[SHORT] * (FRAME.MIN + FRAME.CRC);
    const filtered = count[FILTERED];
    const malformed = count[OVERSIZED] + count[UNDERSIZED];
    if (good + filtered + malformed > 0) {
      // Good packets are all that pass the filters, even if they find no room.
      add(REGISTERS.GPRC, good);
      add(REGISTERS.GORCL, bytes);
      add(REGISTERS.TORL, bytes + count[FILTERED_BYTES]);
      add(REGISTERS.TPR, good + filtered + malformed);
      add(REGISTERS.RXNFGPC, good + filtered);
      add(REGISTERS.RXNFGBCL, bytes + count[FILTERED_BYTES]);
      add(REGISTERS.BPRC, count[BROADCASTS]);
      add(REGISTERS.MPRC, count[MULTICASTS]);
      add(REGISTERS.ROC, count[OVERSIZED]);
      add(REGISTERS.RUC, count[UNDERSIZED]);
    }
    for (const queue of this.#queues) this.#reportQueue(queue, add);
  }

  #reportQueue({ index, counts }: ReceiveQueue, add: AddCount): void {
    if (counts[QUEUE_PACKETS] === 0 && counts[QUEUE_DROPS] === 0) return;
    const map = this.#file.get(REGISTERS.RQSMR, index >>> 2) >>> (8 * (index & 3)) & 0xf;
    add(REGISTERS.QPRC, counts[QUEUE_PACKETS], map);
    add(REGISTERS.QBRC_L, counts[QUEUE_BYTES], map);
    add(REGISTERS.QPRDC, counts[QUEUE_DROPS], map);
    add(REGISTERS.RXDGPC, counts[QUEUE_PACKETS]);
    add(REGISTERS.RXDGBCL, counts[QUEUE_BYTES]);
  }
}
