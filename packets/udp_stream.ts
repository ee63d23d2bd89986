/**
 * A stream of numbered UDP packets: `pktgen.ts` sends it, and checks the packets that come back.
 *
 * Every free buffer of the pool already holds the packet: to send one, only its number is written.
 * The number's complement follows it, so that both together add a constant to the UDP checksum, and
 * damage to one is detected by the other. A packet that comes back intact leaves a buffer that is
 * ready to be sent again; after any other packet, the buffer is written anew.
 *
 *     byte 0  Ethernet header      34  UDP header           44  number, 64 bits, little-endian
 *         14  IPv4 header          42  id of the stream     52  its complement
 *                                                           60  each byte's offset, modulo 256
 *
 * The typed array of counts, and the loops in functions of their own: see `src/specialise.ts`.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import { checksum } from "./checksum.ts";
import type { Mempool } from "../src/mempool.ts";

/** Shortest packet in bytes, without CRC; also the shortest of Ethernet. */
export const MIN_SIZE = 60;

// Offsets in a packet: in bytes, and from ADDRESSES on in 32-bit words.
const IP = 14, UDP = 34, PAYLOAD = 42;
const ADDRESSES = 7, PORTS = 8, ID = 10, LOW = 11, HIGH = 12, NOT_LOW = 13, NOT_HIGH = 14;
const TWO_32 = 2 ** 32;
/** Mask of word 0 without byte 1, which forwarders of the ixy family increment. */
const UNTOUCHED = 0xffff00ff;
/** How many numbers are remembered, to tell a reordered packet from a duplicate. */
const WINDOW = 1 << 16;

// Indices of the counts.
const NEXT = 0, EXPECTED = 1, RECEIVED = 2, REORDERED = 3, DUPLICATE = 4, CORRUPT = 5, FOREIGN = 6;

/** Counts of a stream. */
export interface StreamCounts {
  /** Packets that have not come back, although one with a higher number has. */
  readonly missing: number;
  /** Packets that came back after one with a higher number. */
  readonly reordered: number;
  /** Copies of packets that had come back before. */
  readonly duplicate: number;
  /** Packets of the stream that came back changed, other than in byte 1. */
  readonly corrupt: number;
  /** Packets that do not belong to the stream. */
  readonly foreign: number;
}

/** A stream of packets. It uses all buffers of its pool. */
export class UdpStream {
  /** Bytes of a packet, without CRC. */
  readonly size: number;
  readonly #words: Uint32Array;
  /** Words of a buffer. */
  readonly #stride: number;
  /** The packet with number 0. */
  readonly #packet: Uint32Array;
  /** Mask of the packet's last word: the bytes that belong to the packet. */
  readonly #lastMask: number;
  readonly #first: number;
  /** Low words of the numbers that came back; the index is the number modulo `WINDOW`. */
  readonly #seen = new Uint32Array(WINDOW).fill(0xffffffff);
  readonly #counts = new Float64Array(7);

  /**
   * Creates a stream and writes the packet to every free buffer. All other buffers of the pool must
   * be in receive rings.
   *
   * @param pool The pool of all packets that are sent and checked.
   * @param size Bytes of a packet without CRC, 60 to `pool.maxLength`.
   * @param source Source MAC address of the packets, 6 bytes.
   * @param first Number of the first packet, up to 2^53; default: 0.
   */
  constructor(pool: Mempool, size: number, source: Uint8Array, first = 0) {
    this.size = size;
    this.#first = this.#counts[NEXT] = this.#counts[EXPECTED] = first;
    const { buffer, byteOffset, length } = pool.bytes;
    this.#words = new Uint32Array(buffer, byteOffset, length / 4);
    this.#stride = pool.stride / 4;
    this.#packet = new Uint32Array(build(size, source).buffer);
    this.#lastMask = size % 4 === 0 ? -1 : (1 << 8 * (size % 4)) - 1;
    for (let i = 0; i < pool.freeCount; i++) {
      this.#words.set(this.#packet, pool.freeStack[i] * this.#stride);
    }
  }

  /** The number of the next packet. */
  get next(): number {
    return this.#counts[NEXT];
  }

  /**
   * Returns the counts.
   *
   * @param end Packets below this number were sent, and none of them is on its way any more.
   * Default: one above the highest number that came back, so that only gaps are missing.
   */
  counts(end: number = this.#counts[EXPECTED]): StreamCounts {
    const c = this.#counts;
    return {
      missing: Math.max(0, end - this.#first - c[RECEIVED] - c[CORRUPT]),
      reordered: c[REORDERED],
      duplicate: c[DUPLICATE],
      corrupt: c[CORRUPT],
      foreign: c[FOREIGN],
    };
  }

  /** Fills a batch with packets, as many as there are free buffers, of numbers below `limit`. */
  fill(batch: PacketBatch, limit: number): void {
    const { pool, buffers } = batch, { lengths, freeStack } = pool;
    const words = this.#words, stride = this.#stride, size = this.size, counts = this.#counts;
    const first = batch.length, next = counts[NEXT];
    const n = Math.min(buffers.length - first, pool.freeCount, limit - next);
    if (n <= 0) return;
    let low = next >>> 0, high = Math.floor(next / TWO_32), available = pool.freeCount;
    for (let i = first; i < first + n; i++) {
      const buffer = freeStack[--available], w = Math.imul(buffer, stride);
      lengths[buffer] = size;
      words[w + LOW] = low;
      words[w + HIGH] = high;
      words[w + NOT_LOW] = ~low;
      words[w + NOT_HIGH] = ~high;
      buffers[i] = buffer;
      low = (low + 1) >>> 0;
      if (low === 0) high++;
    }
    pool.freeCount = available;
    batch.length = first + n;
    counts[NEXT] = next + n;
  }

  /** Checks the packets of a batch, which have come back, and frees them. */
  verify(batch: PacketBatch): void {
    const { pool, buffers, length: n } = batch, { lengths, freeStack } = pool;
    const words = this.#words, stride = this.#stride, size = this.size;
    const packet = this.#packet, last = packet.length - 1, lastMask = this.#lastMask;
    let available = pool.freeCount;
    for (let i = 0; i < n; i++) {
      const buffer = buffers[i], w = Math.imul(buffer, stride);
      const low = words[w + LOW], high = words[w + HIGH];
      let differs = lengths[buffer] ^ size | (words[w] ^ packet[0]) & UNTOUCHED |
        ~(low ^ words[w + NOT_LOW]) | ~(high ^ words[w + NOT_HIGH]);
      for (let k = 1; k < LOW; k++) differs |= words[w + k] ^ packet[k];
      for (let k = NOT_HIGH + 1; k < last; k++) differs |= words[w + k] ^ packet[k];
      if (last > NOT_HIGH) differs |= (words[w + last] ^ packet[last]) & lastMask;
      words[w] = packet[0];
      if (differs === 0) this.#count(low, high);
      else this.#restore(w, lengths[buffer]);
      lengths[buffer] = 0;
      freeStack[available++] = buffer;
    }
    pool.freeCount = available;
    batch.length = 0;
  }

  /** Counts an intact packet. */
  #count(low: number, high: number): void {
    const counts = this.#counts, seen = this.#seen, place = low & (WINDOW - 1);
    const number = high * TWO_32 + low, expected = counts[EXPECTED];
    if (number >= counts[NEXT]) {
      counts[CORRUPT]++; // a number that was never sent
    } else if (number < expected && (seen[place] === low || expected - number > WINDOW)) {
      counts[DUPLICATE]++;
    } else {
      counts[RECEIVED]++;
      if (number < expected) counts[REORDERED]++;
      else counts[EXPECTED] = number + 1;
      seen[place] = low;
    }
  }

  /** Counts a packet that differs from the one sent, and writes the packet to its buffer anew. */
  #restore(w: number, length: number): void {
    const words = this.#words, packet = this.#packet;
    const ours = length >= 4 * LOW && words[w + ADDRESSES] === packet[ADDRESSES] &&
      words[w + PORTS] === packet[PORTS] &&
      words[w + ID] >>> 16 === packet[ID] >>> 16;
    this.#counts[ours ? CORRUPT : FOREIGN]++;
    words.set(packet, w);
  }
}

/** Returns the packet with number 0, padded to whole words. */
function build(size: number, source: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.ceil(size / 4) * 4);
  const view = new DataView(bytes.buffer);
  for (let i = MIN_SIZE; i < size; i++) bytes[i] = i;
  bytes.set([0x02, 0, 0, 0, 0, 1]); // locally administered
  bytes.set(source, 6);
  view.setUint16(12, 0x0800);
  view.setUint32(IP, 0x45000000 | size - IP);
  view.setUint32(IP + 4, 0x00004000); // do not fragment
  view.setUint32(IP + 8, 0x40110000); // time to live 64, UDP
  view.setUint32(IP + 12, 0xc6120001); // 198.18.0.1: 198.18.0.0/15 is for benchmarks (RFC 2544)
  view.setUint32(IP + 16, 0xc6130001); // 198.19.0.1
  view.setUint16(IP + 10, checksum(bytes, IP, UDP));
  view.setUint32(UDP, 0x00090009); // source and destination port 9, discard
  view.setUint16(UDP + 4, size - UDP);
  crypto.getRandomValues(bytes.subarray(PAYLOAD, 4 * LOW));
  bytes.fill(0xff, 4 * NOT_LOW, 4 * (NOT_HIGH + 1));
  // With the pseudo header (RFC 768): addresses, protocol, length. A checksum of 0 is sent as
  // 0xffff.
  const sum = checksum(
    bytes,
    UDP,
    size,
    (checksum(bytes, IP + 12, UDP) ^ 0xffff) + 17 + size - UDP,
  );
  view.setUint16(UDP + 6, sum === 0 ? 0xffff : sum);
  return bytes;
}
