/**
 * Copies parts of frames between host memory and frame buffers.
 *
 * @module
 */

import type { FrameMemory } from "./frame.ts";

/** Up to this many bytes a loop is faster than the built-in copy, which needs a view. */
const MAX_LOOP = 256;

/**
 * Copies bytes.
 *
 * @param target Destination, from byte `to` on.
 * @param source Source, from byte `from` on.
 * @param length Number of bytes.
 */
export function copy(
  target: FrameMemory,
  to: number,
  source: FrameMemory,
  from: number,
  length: number,
): void {
  if (length > MAX_LOOP) {
    target.bytes.set(source.bytes.subarray(from, from + length), to);
    return;
  }
  let done = 0;
  if (((to | from) & 7) === 0) {
    const longs = length >>> 3, toLong = to >>> 3, fromLong = from >>> 3;
    const targetLongs = target.longs, sourceLongs = source.longs;
    for (let i = 0; i < longs; i++) targetLongs[toLong + i] = sourceLongs[fromLong + i];
    done = longs << 3;
    if (length & 4) {
      target.words[(to + done) >>> 2] = source.words[(from + done) >>> 2];
      done += 4;
    }
  }
  for (; done < length; done++) target.bytes[to + done] = source.bytes[from + done];
}
