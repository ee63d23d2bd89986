/**
 * CRC32c, the checksum of SCTP packets (RFC 9260, appendix A).
 *
 * @module
 */

const TABLE = new Int32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ 0x82f63b78 : remainder >>> 1;
  }
  TABLE[byte] = remainder;
}

/** Offset of the checksum in an SCTP packet. */
const CHECKSUM = 8;

/**
 * Returns the checksum of an SCTP packet, as if its own field were 0: a signed integer, whose lowest
 * byte comes first in the packet.
 *
 * @param bytes Holds the packet.
 * @param from Offset of its first byte.
 * @param to One beyond its last byte.
 */
export function sctpChecksum(bytes: Uint8Array, from: number, to: number): number {
  const field = from + CHECKSUM;
  let crc = -1;
  for (let i = from; i < to; i++) {
    const byte = i >= field && i < field + 4 ? 0 : bytes[i];
    crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  }
  return ~crc;
}

/** Returns the checksum that the SCTP packet at an offset holds, in the same form. */
export function sctpChecksumOf(bytes: Uint8Array, from: number): number {
  const at = from + CHECKSUM;
  return bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24;
}

/** Writes the checksum of an SCTP packet. */
export function writeSctpChecksum(bytes: Uint8Array, from: number, to: number): void {
  const sum = sctpChecksum(bytes, from, to);
  for (let i = 0; i < 4; i++) bytes[from + CHECKSUM + i] = sum >>> (8 * i);
}
