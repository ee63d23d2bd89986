/**
 * What the parts of a port's recording share.
 *
 * @module
 */

import type { RingName } from "../../recording/layout.ts";
import type { DescriptorAccess } from "../../recording/step.ts";
import type { Clock } from "../clock.ts";
import type { RecorderContext } from "../context.ts";
import type { RingCells } from "../ring_cells.ts";

/** A port's context. */
export interface PortContext extends RecorderContext {
  readonly port: number;
  readonly clock: Clock;
  /** Records the buffers that any port's driver has returned: an empty pool reclaims from all of them. */
  readonly lookForReclaimed: () => void;
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
export function descriptorName(
  ring: RingName["ring"],
  queue: number,
  index: number | string,
): string {
  const direction = ring === "rx" ? "RX" : "TX";
  const of = queue === 0 ? "" : ` of queue ${queue}`;
  return `${direction} descriptor ${index}${of}`;
}
