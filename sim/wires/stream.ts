/**
 * A stream of numbered test frames: what every frame of it looks like, and how one that comes back
 * is checked, byte by byte.
 *
 * A frame is a UDP datagram of IPv4 with correct lengths and IP checksum. Everything that changes
 * from frame to frame stands in whole words of the frame buffer: bytes 44 to 51 are the sequence
 * number, low word first, and bytes 56 to 59 guard it, so that damage to the number is seen as such.
 *
 * A stream can be of several flows, which take turns: the frame with number n is of flow n modulo their
 * number, and its UDP source port says so. A device that spreads flows over queues keeps the order within
 * each, not between them, and so does the checker, which judges each flow separately.
 *
 * @module
 */

import { checksum } from "../../packets/checksum.ts";
import { UsageError } from "../../src/errors.ts";
import { FRAME, FrameBuffer } from "../frames/frame.ts";

const { MIN: MIN_FRAME, MAX: MAX_FRAME } = FRAME;

/** The most flows of a stream. */
export const MAX_FLOWS = 1024;

/** Where things are in a frame, by 32-bit words; an object for the reason that `rings/descriptors.ts` has. */
export const WORD = {
  /** Holds the source port, in its upper half. */
  PORTS: 8,
  /** The sequence number's halves. */
  SEQUENCE_LOW: 11,
  SEQUENCE_HIGH: 12,
  /** Marks frames of a stream, among others on the wire. */
  MARK: 13,
  /** Guards the sequence number. */
  GUARD: 14,
} as const;
const { PORTS, SEQUENCE_LOW, SEQUENCE_HIGH, GUARD } = WORD;

const GUARD_SALT = 0x6978792e;
const MARK = 0x6d697369;

const TWO_32 = 2 ** 32;
/** Sequence numbers that are remembered, to tell a late frame from a repeated one: of all flows. */
const WINDOW = 16384;
/** Source port of the first of several flows. */
const FIRST_PORT = 1024;

/** The frames of one stream, and the next number. */
export class Stream {
  /** The next frame, complete. */
  readonly frame: FrameBuffer = new FrameBuffer();
  /** Bytes of a frame, without CRC. */
  readonly size: number;
  /** Element 0: numbers given out so far. */
  readonly count: Float64Array<ArrayBuffer> = new Float64Array(1);
  /** Number of flows. */
  readonly flows: number;
  /** Word 8 of each flow's frames. */
  readonly ports: Uint32Array;

  /**
   * A stream whose next number is 0.
   *
   * @param id Tells streams apart: 0 to 255.
   * @param size Bytes of a frame without CRC: 60 to 15,868.
   * @param destination MAC address that the frames go to.
   * @param flows Number of flows: 1 to 1024.
   * @throws {UsageError} for another size or number.
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

  /** Gives the frame a sequence number, 0 to 2^53 - 1. */
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
  view.setUint16(24, checksum(bytes, 14, 34));
  view.setUint16(34, 9);
  view.setUint16(36, 9); // port 9: discard
  view.setUint16(38, size - 34);
  view.setUint16(40, 0); // no UDP checksum
  words[WORD.MARK] = MARK;
}

/** The word with the source port, for each flow; a single flow keeps the word as it is. */
function flowPorts(word: number, flows: number): Uint32Array {
  if (flows === 1) return Uint32Array.of(word);
  return Uint32Array.from({ length: flows }, (_, flow) => {
    const port = FIRST_PORT + flow;
    return word & 0xffff | (port & 0xff) << 24 | (port & 0xff00) << 8;
  });
}

/** The flow of a frame, by its sequence number. Of numbers beyond 2^31 the remainder `%` is slow. */
function flowOf(sequence: number, flows: number): number {
  return sequence - Math.floor(sequence / flows) * flows;
}

/** Counts what has become of a stream's frames, where they come back. */
export class Checker {
  readonly #stream: Stream;
  readonly #template: Uint32Array;
  readonly #flows: number;
  /** Numbers of each flow that are remembered: a power of two. */
  readonly #window: number;
  /** Low words of the numbers seen last, each at its own place; flows one after the other. */
  readonly #seen: Uint32Array;
  /**
   * Of each flow, whose frames are numbered 0, 1, 2 … here: first the number after the highest one seen,
   * then numbers below it not seen.
   */
  readonly #state: Float64Array;
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
    const flows = this.#flows = stream.flows;
    this.#window = WINDOW / 2 ** Math.ceil(Math.log2(flows));
    this.#seen = new Uint32Array(flows * this.#window);
    this.#state = new Float64Array(2 * flows);
    // Nothing has been seen: no number's place holds it.
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
      this.#corrupt++; // a number that was never given out
      return;
    }
    this.#received++;
    this.#account(flow, number);
  }

  /** Takes note of a frame of a flow, by its number in the flow. */
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

  /** Where a number is remembered. */
  #placeOf(flow: number, number: number): number {
    return Math.imul(flow, this.#window) + ((number >>> 0) & (this.#window - 1));
  }

  /** Counts by name: numbers not seen are `gap` below the highest seen, `outstanding` above. */
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

  /** Every byte as sent in this flow, but byte 1, to which a forwarder may have added 1. */
  #unchanged(words: Uint32Array): boolean {
    const template = this.#template, size = this.#stream.size;
    const first = words[0], firstSent = template[0];
    // What every frame has, word for word: a loop takes twice as long.
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

  /** Of the bytes that the shortest frame does not have. */
  #payloadDifference(words: Uint32Array, size: number): number {
    const template = this.#template, whole = size >>> 2, rest = size & 3;
    let difference = 0;
    for (let i = GUARD + 1; i < whole; i++) difference |= words[i] ^ template[i];
    if (rest !== 0) difference |= (words[whole] ^ template[whole]) & ((1 << rest * 8) - 1);
    return difference;
  }

  /** A frame that came after one with a higher number: late if new, repeated if not. */
  #countLate(flow: number, number: number, late: number): void {
    this.#reordered++;
    const place = this.#placeOf(flow, number);
    if (late > this.#window || this.#seen[place] === number >>> 0) return;
    this.#seen[place] = number >>> 0;
    this.#state[2 * flow + 1]--;
  }

  /** A frame with neither a stream's IP header nor its mark is foreign: a guest's ARP, say. */
  #countDamage(words: Uint32Array): void {
    if (words[WORD.MARK] !== MARK && words[3] !== this.#template[3]) this.#foreign++;
    else this.#corrupt++;
  }
}
