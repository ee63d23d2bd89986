/**
 * What a sender's Ethernet hardware does to short frames, for wires that have none.
 *
 * @module
 */

import type { FrameBuffer } from "./wire.ts";

const SHORTEST = 60;

/** Fills a frame up to 60 bytes with zeros, and returns its length then. */
export function pad(frame: FrameBuffer, length: number): number {
  if (length >= SHORTEST) return length;
  frame.bytes.fill(0, length, SHORTEST);
  return SHORTEST;
}
