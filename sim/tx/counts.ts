/**
 * The counts of the modelled device's transmit side, and their way to the statistics registers
 * (datasheet section 8.2.3.23). The loops that move frames only add to `fresh` and to their queues'
 * counts. Everything else happens when a count is read.
 *
 * @module
 */

import { REGISTERS } from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { AddCount, Statistics } from "../registers/statistics.ts";
import { QUEUE_BYTES, QUEUE_PACKETS, type TransmitQueue } from "./queue.ts";

// Indices into `fresh`; 0 to 5 are frames by size, see sizeClass().
/** Multicast frames, and broadcast frames. */
export const MULTICASTS = 6;
export const BROADCASTS = 7;
const COUNTS = 8;

/** Counters of frames by size, see sizeClass(). */
const SIZES: readonly Register[] = [
  REGISTERS.PTC64,
  REGISTERS.PTC127,
  REGISTERS.PTC255,
  REGISTERS.PTC511,
  REGISTERS.PTC1023,
  REGISTERS.PTC1522,
];

/** Counts of all queues together. */
export class TransmitCounts {
  /** Counts since the last {@linkcode TransmitCounts.prototype.settle}. */
  readonly fresh: Float64Array<ArrayBuffer> = new Float64Array(COUNTS);
  readonly #file: RegisterFile;
  readonly #statistics: Statistics;
  readonly #queues: readonly (TransmitQueue | undefined)[];
  #transmitted = 0;

  constructor(
    { file, statistics }: RegisterCore,
    queues: readonly (TransmitQueue | undefined)[],
  ) {
    this.#file = file;
    this.#statistics = statistics;
    this.#queues = queues;
  }

  /** Frames sent since the model was created. */
  get transmitted(): number {
    this.settle();
    return this.#transmitted;
  }

  /** Adds the counts since the last call to the statistics registers. */
  settle(): void {
    const good = this.report((register, amount, index) =>
      this.#statistics.add(register, amount, index)
    );
    if (good === 0) return;
    this.#transmitted += good;
    this.fresh.fill(0);
    for (const queue of this.#queues) queue?.counts.fill(0);
  }

  /**
   * Reports what {@linkcode TransmitCounts.prototype.settle} would add, and changes nothing.
   *
   * @returns Number of frames sent since the last settlement.
   */
  report(add: AddCount): number {
    const count = this.fresh;
    let good = 0;
    for (let size = 0; size < SIZES.length; size++) {
      good += count[size];
      if (count[size] > 0) add(SIZES[size], count[size]);
    }
    if (good === 0) return 0;
    add(REGISTERS.GPTC, good);
    add(REGISTERS.TPT, good);
    add(REGISTERS.TXDGPC, good);
    add(REGISTERS.BPTC, count[BROADCASTS]);
    add(REGISTERS.MPTC, count[MULTICASTS]);
    let bytes = 0;
    for (const queue of this.#queues) {
      if (queue === undefined || queue.counts[QUEUE_PACKETS] === 0) continue;
      bytes += queue.counts[QUEUE_BYTES];
      this.#reportQueue(queue, add);
    }
    add(REGISTERS.GOTCL, bytes);
    add(REGISTERS.TXDGBCL, bytes);
    return good;
  }

  #reportQueue({ index, counts }: TransmitQueue, add: AddCount): void {
    const map = this.#file.get(REGISTERS.TQSM, index >>> 2) >>> (8 * (index & 3)) & 0xf;
    add(REGISTERS.QPTC, counts[QUEUE_PACKETS], map);
    add(REGISTERS.QBTC_L, counts[QUEUE_BYTES], map);
  }
}
