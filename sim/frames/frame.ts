/**
 * Ethernet frames in the model: the buffer that holds one, their lengths, and the work of Ethernet
 * hardware on each, which is padding and the CRC.
 *
 * @module
 */

/**
 * Lengths of frames in bytes, without CRC. An object, from which modules that move frames take
 * constants of their own: see `rings/descriptors.ts`.
 */
export const FRAME = {
  /** Bytes of a CRC. */
  CRC: 4,
  /** Bytes of an Ethernet header: anything shorter is not a frame. */
  HEADER: 14,
  /** The fewest bytes that the card may be given to send, before padding: see `tx/transmitter.ts`. */
  MIN_PAYLEN: 17,
  /** The shortest frame. */
  MIN: 60,
  /** The longest frame: 15.5 KB with its CRC (82599 datasheet, section 7.2.3.2.2). */
  MAX: 15_868,
} as const;

/** Memory of a frame, in three views from its first byte on. */
export interface FrameMemory {
  /** As bytes. */
  readonly bytes: Uint8Array;
  /** As 32-bit words. */
  readonly words: Uint32Array;
  /** As 64-bit words, for copies only: optimized code copies them without a BigInt. */
  readonly longs: BigUint64Array;
}

/** Room for one frame with its CRC, from byte 0 on. */
export class FrameBuffer implements FrameMemory {
  /** Bytes of the buffer: the longest frame, and room to spare. */
  static readonly CAPACITY = 16384;
  readonly words: Uint32Array = new Uint32Array(FrameBuffer.CAPACITY / 4);
  readonly bytes: Uint8Array = new Uint8Array(this.words.buffer);
  readonly longs: BigUint64Array = new BigUint64Array(this.words.buffer);
}

/**
 * Returns the size class of a frame: the statistics registers count frames in six (82599 datasheet,
 * section 8.2.3.23).
 *
 * @param length Bytes without CRC.
 * @returns 0 to 5: up to 64, 127, 255, 511, 1023 bytes with CRC, and more.
 */
export function sizeClass(length: number): number {
  if (length <= FRAME.MIN) return 0;
  if (length <= 123) return 1;
  if (length <= 251) return 2;
  if (length <= 507) return 3;
  return length <= 1019 ? 4 : 5;
}

/** Pads a frame to 60 bytes with zeros, for wires without Ethernet hardware; returns its length. */
export function pad(frame: FrameBuffer, length: number): number {
  if (length >= FRAME.MIN) return length;
  frame.bytes.fill(0, length, FRAME.MIN);
  return FRAME.MIN;
}

const crcTable = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? (remainder >>> 1) ^ 0xedb88320 : remainder >>> 1;
  }
  crcTable[byte] = remainder;
}

/** Appends the four-byte CRC of the first `length` bytes (IEEE 802.3, clause 3.2.9). */
export function appendCrc(bytes: Uint8Array, length: number): void {
  let crc = 0xffff_ffff;
  for (let i = 0; i < length; i++) crc = crcTable[(crc ^ bytes[i]) & 0xff] ^ (crc >>> 8);
  crc = ~crc;
  for (let i = 0; i < 4; i++) bytes[length + i] = crc >>> (8 * i);
}
