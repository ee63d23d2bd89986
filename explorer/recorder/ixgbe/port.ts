/**
 * What the parts of a port's recording share.
 *
 * @module
 */

import type { Mempool } from "../../../src/mempool.ts";
import { NONE } from "../../recording/layout.ts";
import type { DescriptorAccess, Step } from "../../recording/step.ts";
import type { Direction, PoolCells, RingCells } from "../cells.ts";
import type { Clock } from "../clock.ts";
import type { Journal } from "../journal.ts";

/** Access to the journal, and to pool and memory. */
export interface PortContext {
  readonly port: number;
  readonly journal: Journal;
  /** The cells of the pool, and the pool itself. */
  readonly pool: PoolCells;
  readonly mempool: Mempool;
  readonly clock: Clock;
  /** Records the buffers that any port's driver has returned: an empty pool reclaims from all of them. */
  readonly lookForReclaimed: () => void;
}

/** Returns the buffer that a bus address is in; {@linkcode NONE} if it is not the pool's. */
export function bufferAt({ mempool }: PortContext, low: number, high: number): number {
  const offset = high * 2 ** 32 + low - mempool.memory.busAddress(0, "iova");
  const buffer = Math.floor(offset / mempool.bufferSize);
  return buffer >= 0 && buffer < mempool.buffers ? buffer : NONE;
}

/** Returns what a step says of a descriptor. */
export function accessOf(
  { name }: RingCells,
  index: number,
  [old, words]: readonly [readonly number[], readonly number[]],
  writtenBack: boolean,
  format: DescriptorAccess["format"] = "advanced",
): DescriptorAccess {
  return { ring: name.ring, queue: name.queue, index, old, words, writtenBack, format };
}

/** Returns the name of a ring's descriptors: `RX descriptor 3`, and its queue unless that is 0. */
export function descriptorName(ring: Direction, queue: number, index: number | string): string {
  const direction = ring === "rx" ? "RX" : "TX";
  const of = queue === 0 ? "" : ` of queue ${queue}`;
  return `${direction} descriptor ${index}${of}`;
}

/** Returns buffer and frame for a step, if there are any. */
export function held(pool: PoolCells, buffer: number): Pick<Step, "buffer" | "frame"> {
  if (buffer === NONE) return {};
  const frame = pool.frame(buffer);
  return frame === undefined ? { buffer } : { buffer, frame };
}
