/**
 * The hash of receive side scaling in software, and its keys. What a device hashes by itself comes with
 * each packet: `Mempool.rssHash`.
 *
 * @module
 */

/** Bytes of a key, enough for two IPv6 addresses and two ports. */
export const RSS_KEY_BYTES = 40;

/**
 * The key of the published test vectors (82599: section 7.1.2.8.3): hashes can be held against those of
 * other devices. It is no secret: who knows it can choose packets that all go to one queue.
 */
// deno-fmt-ignore
export const RSS_KEY: Uint8Array = Uint8Array.of(
  0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
  0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
  0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
);

/**
 * A key of 16 bits repeated, under which both directions of a connection have one hash: it does not
 * change if source and destination change places.
 */
export const RSS_SYMMETRIC_KEY: Uint8Array = Uint8Array.from(
  { length: RSS_KEY_BYTES },
  (_, i) => i % 2 === 0 ? 0x6d : 0x5a,
);

/**
 * The Toeplitz hash (82599: section 7.1.2.8.1).
 *
 * @param input What is hashed, in network order: source and destination address, then, of TCP and UDP,
 * source and destination port.
 * @param key {@linkcode RSS_KEY} unless given.
 * @returns An unsigned number of 32 bits.
 * @throws {RangeError} if the key is not 4 bytes longer than the input at least.
 */
export function toeplitz(input: Uint8Array, key: Uint8Array = RSS_KEY): number {
  if (key.length < input.length + 4) {
    throw new RangeError(`a key of ${key.length} bytes is too short to hash ${input.length} bytes`);
  }
  // The 32 bits of the key that begin at the bit under consideration.
  let window = key[0] << 24 | key[1] << 16 | key[2] << 8 | key[3];
  let hash = 0;
  for (let i = 0; i < input.length; i++) {
    for (let bit = 7; bit >= 0; bit--) {
      if (input[i] >>> bit & 1) hash ^= window;
      window = window << 1 | key[i + 4] >>> bit & 1;
    }
  }
  return hash >>> 0;
}
