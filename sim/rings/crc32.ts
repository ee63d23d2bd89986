/**
 * The frame check sequence of Ethernet (IEEE 802.3, clause 3.2.9).
 *
 * @module
 */

const table = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
  }
  table[byte] = remainder;
}

/** Appends the CRC of the first `length` bytes: four bytes at `bytes[length]`. */
export function crc32(bytes: Uint8Array, length: number): void {
  let crc = 0xffff_ffff;
  for (let i = 0; i < length; i++) crc = table[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  crc = ~crc;
  for (let i = 0; i < 4; i++) bytes[length + i] = crc >>> (8 * i);
}
