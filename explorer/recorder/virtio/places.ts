/**
 * Places in the source of the functions that the program calls, and of what it does itself.
 *
 * @module
 */

import type { Place } from "../../recording/step.ts";

/** Functions of the driver that the program calls. */
export const CALLS = {
  OPEN: { file: "virtio/device.ts", text: "export async function openVirtio(" },
  LINK: { file: "virtio/device.ts", text: "waitForLink(milliseconds = 10000)" },
  RECEIVE: { file: "virtio/rx_queue.ts", text: "receive(batch: PacketBatch): number {" },
  TRANSMIT: { file: "virtio/tx_queue.ts", text: "transmit(batch: PacketBatch): number {" },
  RECLAIM: { file: "virtio/tx_queue.ts", text: "reclaim(): number {" },
  STATISTICS: { file: "virtio/device.ts", text: "statistics(): Statistics {" },
  CLOSE: { file: "virtio/device.ts", text: "close(): void {" },
} as const satisfies Record<string, Place>;

/** What the program does itself: as `fwd.ts`. */
export const PROGRAM = {
  TOUCH: {
    file: "programs/forward.ts",
    text: "bytes[Math.imul(buffers[i], bufferSize) | TOUCHED_BYTE]++",
  },
  FREE: { file: "programs/forward.ts", text: "dropped[0] += batch.free();" },
} as const satisfies Record<string, Place>;
