/**
 * Copying frames between memory and frame buffers, where a loop over words in place will not do.
 *
 * @module
 */

/** Up to this many bytes a loop over words beats the built-in copy, with the views it costs. */
export const SHORT = 256;

/**
 * Copies bytes.
 *
 * @param target Where to, from byte `to` on.
 * @param source Where from, from byte `from` on.
 * @param length How many bytes.
 */
export function copy(
  target: Uint8Array,
  to: number,
  source: Uint8Array,
  from: number,
  length: number,
): void {
  if (length > SHORT) target.set(source.subarray(from, from + length), to);
  else for (let i = 0; i < length; i++) target[to + i] = source[from + i];
}
