/**
 * Whether a frame that the filters accept finds room: in descriptors of its queue, in the packet
 * buffer, or not at all. `receiver.ts` moves frames in this way; this says why, and moves nothing.
 *
 * @module
 */

import { CTRL, RDBAL, RDT, RXDCTL, RXPBSIZE, SRRCTL } from "../../ixgbe/registers.ts";
import { hex, nameOf } from "../../src/registers.ts";
import type { DmaMap } from "../rings/dma_map.ts";
import type { PacketBuffer } from "./packet_buffer.ts";
import type { ReceiveQueue } from "./queue.ts";
import type { Reason } from "./reason.ts";

/** What becomes of an accepted frame that does not go to descriptors at once. */
export type NoRoom = "waits" | "missed" | "lost";

/** Why a frame finds no descriptors. */
export interface Refusal extends Reason {
  readonly verdict: NoRoom;
}

/** The parts of the receive side that decide. */
export interface Places {
  readonly queue: ReceiveQueue;
  readonly buffer: PacketBuffer;
  readonly dma: DmaMap;
  /** Whether PCI configuration space lets the device access memory, and whether CTRL does, too. */
  readonly busMaster: boolean;
  readonly dmaAllowed: boolean;
}

/**
 * Says why a frame does not go to descriptors now; undefined if it does.
 *
 * @param length Bytes that need room, and `written` those that are written.
 */
export function refusal(places: Places, length: number, written: number): Refusal | undefined {
  const { queue } = places, control = nameOf(RXDCTL, queue.index);
  if (!queue.running) {
    const reason = `Queue ${queue.index} is not enabled, or its ring cannot be used.`;
    return { verdict: "missed", by: `${control}.ENABLE`, reason, section: RXDCTL.section };
  }
  if (queue.special && queue.limit > 0 && length > queue.limit) {
    const reason = `The frame has ${length} bytes, and ${control}.RLPML allows ${queue.limit}.`;
    return { verdict: "missed", by: `${control}.RLPML`, reason, section: RXDCTL.section };
  }
  const obstacle = obstacleFor(places, length);
  if (obstacle) return keep(places, obstacle, length);
  return badBuffer(places, written);
}

/** Returns whether a queue splits headers or coalesces packets. */
export function reshapes({ headerBytes, coalescer }: ReceiveQueue): boolean {
  return headerBytes > 0 || coalescer !== undefined;
}

/** Returns how many descriptors a frame takes. */
export function descriptorsFor({ bufferBytes }: ReceiveQueue, length: number): number {
  return Math.max(1, Math.ceil(length / bufferBytes));
}

// Returns what keeps a frame from descriptors, the sentence without its end; undefined if nothing does.
function obstacleFor(places: Places, length: number): Reason | undefined {
  const { queue, buffer, busMaster, dmaAllowed } = places;
  if (buffer.frames > 0) {
    const by = nameOf(RXPBSIZE, buffer.index), { section } = RXPBSIZE;
    return { by, reason: `Frames that came before wait in packet buffer ${buffer.index}`, section };
  }
  if (!busMaster) {
    return { by: "Bus Master Enable", reason: "Bus mastering is off", section: "9.3.3.3" };
  }
  if (!dmaAllowed) {
    return { by: "CTRL.GIO_DIS", reason: "CTRL.GIO_DIS is 1", section: CTRL.section };
  }
  if (!queue.reachable) {
    const reason = "The ring is not in memory that the device may reach";
    return { by: nameOf(RDBAL, queue.index), reason, section: RDBAL.section };
  }
  const room = Math.max(queue.viewRoom(), queue.room);
  if (room * queue.bufferBytes >= length) return undefined;
  const reason = `Queue ${queue.index} has ${room} descriptors with buffers of ` +
    `${queue.bufferBytes} bytes, and the frame needs ${descriptorsFor(queue, length)}`;
  return { by: nameOf(RDT, queue.index), reason, section: RDT.section };
}

// The frame stays in the packet buffer, or is dropped.
function keep({ queue, buffer }: Places, obstacle: Reason, length: number): Refusal {
  const { by, reason, section } = obstacle, control = `${nameOf(SRRCTL, queue.index)}.DROP_EN`;
  const place = nameOf(RXPBSIZE, buffer.index);
  if (by === nameOf(RDBAL, queue.index)) {
    return { ...obstacle, verdict: "missed", reason: `${reason}.` };
  }
  if (queue.dropEnable) {
    const drops = `${reason}, and ${control} is 1: the frame is dropped.`;
    return { verdict: "missed", by: control, reason: drops, section: SRRCTL.section };
  }
  if (!buffer.fits(length)) {
    const full = `${reason}, and the packet buffer of ${place} has no room: the frame is dropped.`;
    return { verdict: "missed", by: place, reason: full, section: RXPBSIZE.section };
  }
  const waits = `${reason}, so the frame waits in packet buffer ${buffer.index}.`;
  return { verdict: "waits", by, reason: waits, section };
}

// A buffer that cannot be written stops the queue. The buffers of queues that split headers or
// coalesce packets are not looked at.
function badBuffer({ queue, dma }: Places, length: number): Refusal | undefined {
  if (reshapes(queue) || queue.generation !== dma.generation) return undefined;
  const { words, first, head, size, bufferBytes } = queue;
  for (let i = 0; i < descriptorsFor(queue, length); i++) {
    const index = (head + i) % size, at = first + index * 4, low = words[at], high = words[at + 1];
    if (dma.has(low, high, bufferBytes, { writable: true })) continue;
    const reason = `Descriptor ${index} of queue ${queue.index} has a buffer at ` +
      `${hex(high)}:${hex(low)}, where the device may not write: the queue stops.`;
    return { verdict: "lost", by: nameOf(RDBAL, queue.index), reason, section: "7.1.6.1" };
  }
  return undefined;
}
