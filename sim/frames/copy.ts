/**
 * Copying frames between memory and frame buffers.
 *
 * @module
 */

/** Up to this many bytes a loop beats the built-in copy, with the views that one costs. */
const SHORT = 256;

/** Memory seen in three ways, each from its first byte on. */
export interface Memory {
  /** As bytes. */
  readonly bytes: Uint8Array;
  /** As 32-bit words. */
  readonly words: Uint32Array;
  /** As 64-bit words. Optimized code that only copies them makes no BigInt. */
  readonly longs: BigUint64Array;
}

/**
 * Copies bytes.
 *
 * @param target Where to, from byte `to` on.
 * @param source Where from, from byte `from` on.
 * @param length How many bytes.
 */
export function copy(
  target: Memory,
  to: number,
  source: Memory,
  from: number,
  length: number,
): void {
  if (length > SHORT) {
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
