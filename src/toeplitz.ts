/**
 * The hash of receive side scaling (RSS) in software, and its keys. `Mempool.rssHash` holds the hashes
 * that a device computed.
 *
 * @module
 */

/** Length of a key in bytes: enough for two IPv6 addresses and two ports. */
export const RSS_KEY_BYTES = 40;

/**
 * The key of the published test vectors (82599: section 7.1.2.8.3), so that hashes can be compared with
 * those of other devices. It is public: an attacker can choose packets that all go to one queue.
 */
// deno-fmt-ignore
export const RSS_KEY: Uint8Array = Uint8Array.of(
  0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0,
  0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c,
  0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
);

/**
 * A key of 16 repeated bits. With it both directions of a connection have the same hash, because
 * swapping source and destination does not change it.
 */
export const RSS_SYMMETRIC_KEY: Uint8Array = Uint8Array.from(
  { length: RSS_KEY_BYTES },
  (_, i) => i % 2 === 0 ? 0x6d : 0x5a,
);

/**
 * Computes the Toeplitz hash (82599: section 7.1.2.8.1).
 *
 * @param input The bytes to hash, in network order: source and destination address, followed by source
 * and destination port for TCP and UDP.
 * @param key The key (default: {@linkcode RSS_KEY}).
 * @returns An unsigned 32-bit number.
 * @throws {RangeError} if the key is not at least 4 bytes longer than the input.
 */
export function toeplitz(input: Uint8Array, key: Uint8Array = RSS_KEY): number {
  if (key.length < input.length + 4) {
    throw new RangeError(`a key of ${key.length} bytes is too short to hash ${input.length} bytes`);
  }
  // The 32 bits of the key that begin at the current bit.
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
