/**
 * A stream of numbered test frames: what every frame of it looks like, and how one that comes back
 * is checked, byte by byte.
 *
 * A frame is a UDP datagram of IPv4 with correct lengths and IP checksum. Everything that changes
 * from frame to frame stands in whole words of the frame buffer: bytes 44 to 51 are the sequence
 * number, low word first, and bytes 56 to 59 guard it, so that damage to the number is seen as such.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import { FrameBuffer } from "../wire.ts";

/** Smallest frame, without CRC: what fits an Ethernet frame of 64 bytes. */
export const SIZE_MIN = 60;
/** Largest frame, without CRC: the largest that an 82599 receives. */
export const SIZE_MAX = 15868;

// Indices of 32-bit words in a frame.
const SEQUENCE_LOW = 11;
const SEQUENCE_HIGH = 12;
const GUARD = 14;
const GUARD_SALT = 0x6978792e;
const MARK = 0x6d697369;

const TWO_32 = 2 ** 32;
/** Sequence numbers that are remembered, to tell a late frame from a repeated one. */
const WINDOW = 16384;

/** The frames of one stream, and the next number. */
export class Stream {
  /** The next frame, complete. */
  readonly frame: FrameBuffer = new FrameBuffer();
  /** Bytes of a frame, without CRC. */
  readonly size: number;
  /** Element 0: numbers given out so far. */
  readonly count: Float64Array<ArrayBuffer> = new Float64Array(1);

  /**
   * A stream whose next number is 0.
   *
   * @param id Tells streams apart: 0 to 255.
   * @param size Bytes of a frame without CRC: 60 to 15,868.
   * @param destination MAC address that the frames go to.
   * @throws {UsageError} for another size.
   */
  constructor(id: number, size: number, destination: Uint8Array) {
    if (!Number.isInteger(size) || size < SIZE_MIN || size > SIZE_MAX) {
      throw new UsageError(`frames have ${SIZE_MIN} to ${SIZE_MAX} bytes, not ${size}`);
    }
    this.size = size;
    fillTemplate(this.frame, id, size, destination);
    this.number(0);
  }

  /** Gives the frame a sequence number, 0 to 2^53 - 1. */
  number(sequence: number): void {
    const words = this.frame.words;
    const low = sequence >>> 0;
    const high = (sequence / TWO_32) >>> 0;
    words[SEQUENCE_LOW] = low;
    words[SEQUENCE_HIGH] = high;
    words[GUARD] = low ^ high ^ GUARD_SALT;
  }
}

/** Ethernet, IPv4 and UDP headers, and a payload that differs from stream to stream. */
function fillTemplate(frame: FrameBuffer, id: number, size: number, destination: Uint8Array): void {
  const { bytes, words } = frame;
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + id * 17) & 0xff;
  const view = new DataView(bytes.buffer);
  bytes.set(destination, 0);
  bytes.set([0x02, 0, 0, 0, 0x51, id], 6);
  view.setUint16(12, 0x0800);
  view.setUint32(14, 0x45000000 | (size - 14));
  view.setUint32(18, 0x00004000); // not to be fragmented
  view.setUint32(22, 0x40110000); // time to live 64, UDP
  view.setUint32(26, 0xc6120001 | id << 8); // 198.18.0.0/15: for benchmarks (RFC 2544)
  view.setUint32(30, 0xc6130001 | id << 8);
  view.setUint16(24, internetChecksum(view, 14, 20));
  view.setUint16(34, 9);
  view.setUint16(36, 9); // port 9: discard
  view.setUint16(38, size - 34);
  view.setUint16(40, 0); // no UDP checksum
  words[13] = MARK;
}

/** RFC 1071, over an even number of bytes. */
function internetChecksum(view: DataView, offset: number, bytes: number): number {
  let sum = 0;
  for (let i = 0; i < bytes; i += 2) sum += view.getUint16(offset + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Counts what has become of a stream's frames, where they come back. */
export class Checker {
  readonly #stream: Stream;
  readonly #template: Uint32Array;
  /** Low words of the numbers seen last, each at its own place. */
  readonly #seen = new Uint32Array(WINDOW);
  /** Element 0: the number after the highest one seen. Element 1: numbers below it not seen. */
  readonly #state = new Float64Array(2);
  #received = 0;
  #reordered = 0;
  #corrupt = 0;
  #foreign = 0;

  /**
   * A checker that has seen nothing.
   *
   * @param stream The stream that is expected here.
   */
  constructor(stream: Stream) {
    this.#stream = stream;
    this.#template = stream.frame.words.slice(0, Math.ceil(stream.size / 4));
    this.#seen[0] = 1; // Nothing has been seen: no number's place holds it.
  }

  /** Checks one frame. */
  check(frame: FrameBuffer, length: number): void {
    if (length !== this.#stream.size || !this.#unchanged(frame.words)) {
      this.#countDamage(frame.words);
      return;
    }
    const low = frame.words[SEQUENCE_LOW];
    const sequence = frame.words[SEQUENCE_HIGH] * TWO_32 + low;
    const state = this.#state;
    if (sequence >= this.#stream.count[0]) {
      this.#corrupt++; // a number that was never given out
      return;
    }
    this.#received++;
    const late = state[0] - sequence;
    if (late <= 0) {
      state[1] -= late;
      state[0] = sequence + 1;
      this.#seen[low & (WINDOW - 1)] = low;
    } else {
      this.#countLate(low, late);
    }
  }

  /** Counts by name: numbers not seen are `gap` below the highest seen, `outstanding` above. */
  statistics(): Record<string, number> {
    return {
      received: this.#received,
      reordered: this.#reordered,
      corrupt: this.#corrupt,
      foreign: this.#foreign,
      gap: this.#state[1],
      outstanding: this.#stream.count[0] - this.#state[0],
    };
  }

  /** Every byte as sent, but byte 1, to which a forwarder may have added 1. */
  #unchanged(words: Uint32Array): boolean {
    const template = this.#template;
    const low = words[SEQUENCE_LOW];
    const high = words[SEQUENCE_HIGH];
    let difference = (words[0] ^ template[0]) & 0xffff00ff;
    difference |= (((words[0] >>> 8) - (template[0] >>> 8)) & 0xff) >> 1;
    for (let i = 1; i < SEQUENCE_LOW; i++) difference |= words[i] ^ template[i];
    difference |= words[13] ^ template[13];
    difference |= words[GUARD] ^ low ^ high ^ GUARD_SALT;
    const whole = this.#stream.size >>> 2;
    for (let i = GUARD + 1; i < whole; i++) difference |= words[i] ^ template[i];
    const rest = this.#stream.size & 3;
    if (rest !== 0) difference |= (words[whole] ^ template[whole]) & ((1 << rest * 8) - 1);
    return difference === 0;
  }

  /** A frame that came after one with a higher number: late if new, repeated if not. */
  #countLate(low: number, late: number): void {
    this.#reordered++;
    const slot = low & (WINDOW - 1);
    if (late > WINDOW || this.#seen[slot] === low) return;
    this.#seen[slot] = low;
    this.#state[1]--;
  }

  /** A frame with neither our IP header nor our mark is somebody else's: a guest's ARP, say. */
  #countDamage(words: Uint32Array): void {
    if (words[13] !== MARK && words[3] !== this.#template[3]) this.#foreign++;
    else this.#corrupt++;
  }
}
