/**
 * A stream of numbered test frames: the layout of a frame, and the byte-by-byte check of one that
 * comes back.
 *
 * A frame is a UDP datagram of IPv4 with correct lengths and IP checksum. The parts that change
 * from frame to frame are whole words of the frame buffer. Bytes 44 to 51 are the sequence number,
 * low word first. Bytes 56 to 59 guard it, so that a damaged number is recognised.
 *
 * A stream can have several flows, which take turns: frame n belongs to flow n modulo their number,
 * and has its UDP source port. A device that spreads flows over queues keeps the order within each
 * flow, not between flows. So the checker judges each flow separately.
 *
 * @module
 */

import { checksum } from "../../packets/checksum.ts";
import { UsageError } from "../../src/errors.ts";
import { FRAME, FrameBuffer } from "../frames/frame.ts";

const { MIN: MIN_FRAME, MAX: MAX_FRAME } = FRAME;

/** Maximum number of flows of a stream. */
export const MAX_FLOWS = 1024;

/** Words of a frame. In an object for the reason that `rings/descriptors.ts` gives. */
export const WORD = {
  /** Holds the source port, in its upper half. */
  PORTS: 8,
  /** The halves of the sequence number. */
  SEQUENCE_LOW: 11,
  SEQUENCE_HIGH: 12,
  /** Tells a stream's frames from others on the wire. */
  MARK: 13,
  /** Guards the sequence number. */
  GUARD: 14,
} as const;
const { PORTS, SEQUENCE_LOW, SEQUENCE_HIGH, GUARD } = WORD;

const GUARD_SALT = 0x6978792e;
const MARK = 0x6d697369;

const TWO_32 = 2 ** 32;
/** Recent sequence numbers kept, of all flows, to tell late frames from repeated ones. */
const WINDOW = 16384;
/** Source port of the first flow of several. */
const FIRST_PORT = 1024;

/** The frames of one stream, and the next number. */
export class Stream {
  /** The next frame. */
  readonly frame: FrameBuffer = new FrameBuffer();
  /** Bytes of a frame, without CRC. */
  readonly size: number;
  /** Element 0: count of numbers sent so far. */
  readonly count: Float64Array<ArrayBuffer> = new Float64Array(1);
  /** Number of flows. */
  readonly flows: number;
  /** Word 8 of the frames of each flow. */
  readonly ports: Uint32Array;

  /**
   * Creates a stream whose next number is 0.
   *
   * @param id Number of the stream: 0 to 255.
   * @param size Bytes of a frame without CRC: 60 to 15,868.
   * @param destination Destination MAC address of the frames.
   * @param flows Number of flows: 1 to 1024.
   * @throws {UsageError} if the size or the number of flows is out of range.
   */
  constructor(id: number, size: number, destination: Uint8Array, flows = 1) {
    if (!Number.isInteger(size) || size < MIN_FRAME || size > MAX_FRAME) {
      throw new UsageError(`frames have ${MIN_FRAME} to ${MAX_FRAME} bytes, not ${size}`);
    }
    if (!Number.isInteger(flows) || flows < 1 || flows > MAX_FLOWS) {
      throw new UsageError(`a stream has 1 to ${MAX_FLOWS} flows, not ${flows}`);
    }
    this.size = size;
    this.flows = flows;
    fillTemplate(this.frame, id, size, destination);
    this.ports = flowPorts(this.frame.words[PORTS], flows);
    this.number(0);
  }

  /** Sets the frame's sequence number: 0 to 2^53 - 1. */
  number(sequence: number): void {
    const words = this.frame.words;
    const low = sequence >>> 0;
    const high = (sequence / TWO_32) >>> 0;
    words[SEQUENCE_LOW] = low;
    words[SEQUENCE_HIGH] = high;
    if (this.flows !== 1) words[PORTS] = this.ports[flowOf(sequence, this.flows)];
    words[GUARD] = low ^ high ^ GUARD_SALT;
  }
}

/** Writes Ethernet, IPv4 and UDP headers, and a payload that differs between streams. */
function fillTemplate(frame: FrameBuffer, id: number, size: number, destination: Uint8Array): void {
  const { bytes, words } = frame;
  for (let i = 0; i < size; i++) bytes[i] = (i * 31 + id * 17) & 0xff;
  const view = new DataView(bytes.buffer);
  bytes.set(destination, 0);
  bytes.set([0x02, 0, 0, 0, 0x51, id], 6);
  view.setUint16(12, 0x0800);
  view.setUint32(14, 0x45000000 | (size - 14));
  view.setUint32(18, 0x00004000); // don't fragment
  view.setUint32(22, 0x40110000); // time to live 64, UDP
  view.setUint32(26, 0xc6120001 | id << 8); // 198.18.0.0/15: for benchmarks (RFC 2544)
  view.setUint32(30, 0xc6130001 | id << 8);
  view.setUint16(24, checksum(bytes, 14, 34));
  view.setUint16(34, 9);
  view.setUint16(36, 9); // port 9: discard
  view.setUint16(38, size - 34);
  view.setUint16(40, 0); // no UDP checksum
  words[WORD.MARK] = MARK;
}

/** Returns the word with the source port, for each flow; a single flow keeps the word as it is. */
function flowPorts(word: number, flows: number): Uint32Array {
  if (flows === 1) return Uint32Array.of(word);
  return Uint32Array.from({ length: flows }, (_, flow) => {
    const port = FIRST_PORT + flow;
    return word & 0xffff | (port & 0xff) << 24 | (port & 0xff00) << 8;
  });
}

/** Returns the flow of a sequence number. The operator `%` is slow beyond 2^31. */
function flowOf(sequence: number, flows: number): number {
  return sequence - Math.floor(sequence / flows) * flows;
}

/** Checks and counts the frames of a stream that come back. */
export class Checker {
  readonly #stream: Stream;
  readonly #template: Uint32Array;
  readonly #flows: number;
  /** Recent numbers kept of each flow: a power of two. */
  readonly #window: number;
  /** Low words of the recent numbers, each at its own place; one flow after the other. */
  readonly #seen: Uint32Array;
  /**
   * Two elements for each flow, whose frames are numbered 0, 1, 2 … here: the number after the
   * highest one seen, and the count of lower numbers not seen.
   */
  readonly #state: Float64Array;
  #received = 0;
  #reordered = 0;
  #corrupt = 0;
  #foreign = 0;

  /**
   * Creates a checker that has seen no frame.
   *
   * @param stream The expected stream.
   */
  constructor(stream: Stream) {
    this.#stream = stream;
    this.#template = stream.frame.words.slice(0, Math.ceil(stream.size / 4));
    const flows = this.#flows = stream.flows;
    this.#window = WINDOW / 2 ** Math.ceil(Math.log2(flows));
    this.#seen = new Uint32Array(flows * this.#window);
    this.#state = new Float64Array(2 * flows);
    // No frame has been seen: the place of number 0 must not hold 0.
    for (let flow = 0; flow < flows; flow++) this.#seen[flow * this.#window] = 1;
  }

  /** Checks one frame. */
  check(frame: FrameBuffer, length: number): void {
    const words = frame.words, flows = this.#flows;
    const sequence = words[SEQUENCE_HIGH] * TWO_32 + words[SEQUENCE_LOW];
    let flow = 0, number = sequence;
    if (flows !== 1) {
      number = Math.floor(sequence / flows);
      flow = sequence - number * flows;
      this.#template[PORTS] = this.#stream.ports[flow];
    }
    if (length !== this.#stream.size || !this.#unchanged(words)) {
      this.#countDamage(words);
      return;
    }
    if (sequence >= this.#stream.count[0]) {
      this.#corrupt++; // a number that was never sent
      return;
    }
    this.#received++;
    this.#account(flow, number);
  }

  /** Counts an intact frame, by its flow and its number in the flow. */
  #account(flow: number, number: number): void {
    const state = this.#state;
    const late = state[2 * flow] - number;
    if (late <= 0) {
      state[2 * flow + 1] -= late;
      state[2 * flow] = number + 1;
      this.#seen[this.#placeOf(flow, number)] = number >>> 0;
    } else {
      this.#countLate(flow, number, late);
    }
  }

  /** Returns the index of a number in `#seen`. */
  #placeOf(flow: number, number: number): number {
    return Math.imul(flow, this.#window) + ((number >>> 0) & (this.#window - 1));
  }

  /**
   * Returns counts by name: numbers not seen are `gap` below the highest seen, else `outstanding`.
   */
  statistics(): Record<string, number> {
    let gap = 0, expected = 0;
    for (let flow = 0; flow < this.#flows; flow++) {
      expected += this.#state[2 * flow];
      gap += this.#state[2 * flow + 1];
    }
    return {
      received: this.#received,
      reordered: this.#reordered,
      corrupt: this.#corrupt,
      foreign: this.#foreign,
      gap,
      outstanding: this.#stream.count[0] - expected,
    };
  }

  /** Whether every byte is as sent in this flow; a forwarder may have added 1 to byte 1. */
  #unchanged(words: Uint32Array): boolean {
    const template = this.#template, size = this.#stream.size;
    const first = words[0], firstSent = template[0];
    // The words of the shortest frame, unrolled: a loop takes twice as long.
    let difference = (first ^ firstSent) & 0xffff00ff |
      (((first >>> 8) - (firstSent >>> 8)) & 0xff) >> 1 |
      words[1] ^ template[1] | words[2] ^ template[2] | words[3] ^ template[3] |
      words[4] ^ template[4] | words[5] ^ template[5] | words[6] ^ template[6] |
      words[7] ^ template[7] | words[8] ^ template[8] | words[9] ^ template[9] |
      words[10] ^ template[10] | words[WORD.MARK] ^ template[WORD.MARK] |
      words[GUARD] ^ words[SEQUENCE_LOW] ^ words[SEQUENCE_HIGH] ^ GUARD_SALT;
    if (size !== MIN_FRAME) difference |= this.#payloadDifference(words, size);
    return difference === 0;
  }

  /** Compares the bytes beyond the shortest frame; returns 0 if they are as sent. */
  #payloadDifference(words: Uint32Array, size: number): number {
    const template = this.#template, whole = size >>> 2, rest = size & 3;
    let difference = 0;
    for (let i = GUARD + 1; i < whole; i++) difference |= words[i] ^ template[i];
    if (rest !== 0) difference |= (words[whole] ^ template[whole]) & ((1 << rest * 8) - 1);
    return difference;
  }

  /** Counts a frame that came after a higher number: late if its own is new, else repeated. */
  #countLate(flow: number, number: number, late: number): void {
    this.#reordered++;
    const place = this.#placeOf(flow, number);
    if (late > this.#window || this.#seen[place] === number >>> 0) return;
    this.#seen[place] = number >>> 0;
    this.#state[2 * flow + 1]--;
  }

  /** Counts a changed frame: foreign without the stream's mark and IP header (a guest's ARP). */
  #countDamage(words: Uint32Array): void {
    if (words[WORD.MARK] !== MARK && words[3] !== this.#template[3]) this.#foreign++;
    else this.#corrupt++;
  }
}
