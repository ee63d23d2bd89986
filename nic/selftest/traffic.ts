/**
 * Traffic of the self-test: numbered frames of any sizes, checked as they arrive, and single frames whose
 * queue and hash are of interest. The receiver may be the sender itself, in loopback.
 *
 * A numbered frame:
 *
 *     byte 0  destination, source, EtherType for experiments     20  number
 *         14  padding                                            24  its complement
 *         16  id of the traffic                                  28  a piece of random data, by number
 *
 * A single frame ends with the id and its number.
 *
 * @module
 */

import { type Device, PacketBatch } from "../../mod.ts";
import { type Bench, counted, Failed, type OpenPort } from "./check.ts";

/** EtherType for local experiments (IEEE 802): stacks and switches do not interpret it. */
const ETHERTYPE = 0x88b5;
/** Smallest packet, in bytes without CRC: Ethernet pads shorter ones. */
const MIN_PACKET = 60;
/** Largest packet that the driver sends and receives in the self-test's buffers, without CRC. */
const MAX_PACKET = 15868;

/** Every size of a packet. */
export const ALL_SIZES: readonly number[] = Array.from(
  { length: MAX_PACKET - MIN_PACKET + 1 },
  (_, i) => MIN_PACKET + i,
);

// Words of a numbered frame.
const ID = 4, NUMBER = 5, COMPLEMENT = 6, DATA = 7;
/** Bytes of a single frame's tag. */
const TAG = 8;
/** Most frames on their way: they fit every ring. */
const WINDOW = 32;
/** Rounds without a frame between looks at the clock and the device. */
const ROUNDS = 16;
/** Words of random data, and the longest piece of it. */
const RANDOM_WORDS = 8192, PIECE_WORDS = MAX_PACKET / 4;

const RANDOM = new Uint32Array(RANDOM_WORDS);
for (let i = 0; i < RANDOM_WORDS; i += 4096) crypto.getRandomValues(RANDOM.subarray(i, i + 4096));

/** A single frame that arrived. */
export interface Arrival {
  /** Its index among the frames sent. */
  readonly number: number;
  /** Number of the queue that received it. */
  readonly queue: number;
  /** Its RSS hash. */
  readonly hash: number;
}

/** What became of a stream of numbered frames. */
export interface StreamResult {
  /** Frames that came as they were sent. */
  readonly intact: number;
  readonly lost: number;
  /** Frames that came after one with a higher number, or twice. */
  readonly reordered: number;
  readonly corrupt: number;
  /** Frames that the NIC has not sent, among those lost. */
  readonly waiting: number;
  /** Frames that the receiver had no descriptor for, or found damaged, as it counts them. */
  readonly missed: number;
  readonly damaged: number;
  /** Frames given to the NIC to send, and their bytes without CRC. */
  readonly sent: number;
  readonly bytes: number;
}

/** Traffic from one port to another, or to itself. */
export class Traffic {
  readonly #from: Device;
  readonly #to: Device;
  readonly #bench: Bench;
  readonly #out: PacketBatch;
  readonly #in: PacketBatch;
  /** Tells this traffic from all other. */
  readonly #id = crypto.getRandomValues(new Uint32Array(1))[0];

  constructor({ device: from }: OpenPort, { device: to }: OpenPort, bench: Bench) {
    this.#from = from;
    this.#to = to;
    this.#bench = bench;
    this.#out = new PacketBatch(from.pool, WINDOW);
    this.#in = new PacketBatch(to.pool, WINDOW);
  }

  /** Sends numbered frames of these sizes to the receiver's address, and checks what arrives. */
  stream(sizes: readonly number[]): StreamResult {
    const stream = new Stream(this.#id, this.#to.macAddress(), this.#from.macAddress());
    const out = this.#out, tx = this.#from.txQueues[0], before = this.#to.statistics();
    let next = 0, bytes = 0;
    this.#receiveUntil(
      () => stream.expected >= sizes.length,
      () => {
        for (; next < sizes.length && next - stream.expected < WINDOW; next++) {
          if (out.allocate(sizes[next]) === undefined) break;
          stream.write(out, out.length - 1, next);
          bytes += sizes[next];
        }
        tx.transmit(out);
      },
      (batch, i) => stream.verify(batch, i, sizes),
    );
    out.free();
    tx.reclaim();
    const { rxMissed, rxErrors } = this.#to.statistics();
    const missed = rxMissed - before.rxMissed, damaged = rxErrors - before.rxErrors;
    return { ...stream.result(next), bytes, waiting: tx.pending, missed, damaged };
  }

  /**
   * Sends single frames and returns those that arrive, in the order of arrival. Waits for all, or for the
   * last one: in one queue, those before it have arrived too then.
   *
   * @param frames Frames of at least 60 bytes; the last 8 of them are overwritten.
   */
  exchange(frames: readonly Uint8Array[], wait: "all" | "last"): Arrival[] {
    const arrivals: Arrival[] = [], out = this.#out;
    let next = 0;
    const all = () => arrivals.length === frames.length;
    const last = () => arrivals.some(({ number }) => number === frames.length - 1);
    this.#receiveUntil(
      wait === "all" ? all : last,
      () => {
        for (; next < frames.length && next - arrivals.length < WINDOW; next++) {
          if (!this.#add(frames[next], next)) break;
        }
        this.#from.txQueues[0].transmit(out);
      },
      (batch, i, queue) => this.#take(batch, i, queue, arrivals),
    );
    out.free();
    return arrivals;
  }

  /** Sends one single frame, and does not look at what arrives. */
  send(frame: Uint8Array): void {
    this.#add(frame, 0);
    this.#from.txQueues[0].transmit(this.#out);
    this.#out.free();
  }

  /** Returns the single frames that have arrived. */
  arrived(): Arrival[] {
    const arrivals: Arrival[] = [];
    const take = (batch: PacketBatch, i: number, queue: number) => {
      this.#take(batch, i, queue, arrivals);
    };
    this.#receiveUntil(() => true, () => {}, take);
    return arrivals;
  }

  /** Adds a single frame to the batch; returns whether there was a buffer. */
  #add(frame: Uint8Array, number: number): boolean {
    const out = this.#out;
    if (!out.add(frame)) return false;
    const tag = tagOf(out.packet(out.length - 1));
    tag.setUint32(0, this.#id);
    tag.setUint32(4, number);
    return true;
  }

  /** Adds a packet to the arrivals if it is a single frame of this traffic. */
  #take(batch: PacketBatch, index: number, queue: number, arrivals: Arrival[]): void {
    const bytes = batch.packet(index);
    if (bytes.length < MIN_PACKET) return;
    const tag = tagOf(bytes);
    if (tag.getUint32(0) !== this.#id) return;
    arrivals.push({
      number: tag.getUint32(4),
      queue,
      hash: batch.pool.rssHash[batch.buffers[index]],
    });
  }

  /** Sends numbered frames to an address, and does not look at what arrives. */
  flood(destination: Uint8Array, frames: number, size: number): void {
    const stream = new Stream(this.#id, destination, this.#from.macAddress());
    const out = this.#out;
    for (let i = 0; i < frames && out.allocate(size) !== undefined; i++) {
      stream.write(out, out.length - 1, i);
      if (out.length === out.capacity) this.#from.txQueues[0].transmit(out);
    }
    this.#from.txQueues[0].transmit(out);
    out.free();
  }

  /** Receives until all has arrived, or nothing has for a while. Other frames do not count. */
  #receiveUntil(
    done: () => boolean,
    send: () => void,
    take: (batch: PacketBatch, index: number, queue: number) => void,
  ): void {
    const { rxQueues } = this.#to, batch = this.#in;
    let since = performance.now(), idle = 0, late = false;
    do {
      late = performance.now() - since >= this.#bench.silenceMs;
      send();
      let received = 0;
      for (const queue of rxQueues) {
        const n = queue.receive(batch);
        for (let i = 0; i < n; i++) take(batch, i, queue.number);
        received += n;
        batch.free();
      }
      if (received > 0) {
        since = performance.now();
        late = false;
        continue;
      }
      if (++idle % ROUNDS !== 0) continue;
      for (const device of new Set([this.#from, this.#to])) device.checkAlive();
      this.#bench.checkStop();
    } while (!done() && !late);
  }
}

/** Returns the end of a single frame, which holds its id and number. */
function tagOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + bytes.length - TAG, TAG);
}

/** Numbered frames: their contents, and counts of those that came. */
class Stream {
  /** Number of the next frame in order. */
  expected = 0;
  readonly #id: number;
  readonly #header: Uint8Array;
  #intact = 0;
  #reordered = 0;
  #corrupt = 0;

  constructor(id: number, destination: Uint8Array, source: Uint8Array) {
    this.#id = id;
    this.#header = header(destination, source);
  }

  /** Writes a frame with a number to a packet of a batch. */
  write(batch: PacketBatch, index: number, number: number): void {
    const bytes = batch.packet(index), words = wordsOf(batch, index), count = bytes.length >>> 2;
    bytes.set(this.#header);
    words[ID] = this.#id;
    words[NUMBER] = number;
    words[COMPLEMENT] = ~number;
    const from = pieceOf(number);
    words.set(RANDOM.subarray(from, from + count - DATA), DATA);
    for (let i = 4 * count; i < bytes.length; i++) bytes[i] = number + i;
  }

  /** Counts a packet of a batch; other traffic does not count. */
  verify(batch: PacketBatch, index: number, sizes: readonly number[]): void {
    const bytes = batch.packet(index), words = wordsOf(batch, index);
    if (bytes.length < MIN_PACKET || words[ID] !== this.#id) return;
    const number = words[NUMBER];
    if (!this.#isIntact(bytes, words, sizes[number])) {
      this.#corrupt++;
    } else if (number < this.expected) {
      this.#reordered++;
    } else {
      this.#intact++;
      this.expected = number + 1;
    }
  }

  #isIntact(bytes: Uint8Array, words: Uint32Array, size: number | undefined): boolean {
    const number = words[NUMBER], header = this.#header, count = bytes.length >>> 2;
    let differs = bytes.length === size ? 0 : 1;
    differs |= ~(number ^ words[COMPLEMENT]);
    for (let i = 0; i < header.length; i++) differs |= bytes[i] ^ header[i];
    const from = pieceOf(number) - DATA;
    for (let i = DATA; i < count; i++) differs |= words[i] ^ RANDOM[from + i];
    for (let i = 4 * count; i < bytes.length; i++) differs |= bytes[i] ^ number + i & 0xff;
    return differs === 0;
  }

  result(
    sent: number,
  ): Pick<StreamResult, "intact" | "lost" | "reordered" | "corrupt" | "sent"> {
    const came = this.#intact + this.#reordered + this.#corrupt;
    return {
      intact: this.#intact,
      lost: Math.max(0, sent - came),
      reordered: this.#reordered,
      corrupt: this.#corrupt,
      sent,
    };
  }
}

/** Returns a packet's buffer as words. */
function wordsOf({ pool, buffers }: PacketBatch, index: number): Uint32Array {
  const { bytes, stride, maxLength } = pool;
  const start = bytes.byteOffset + buffers[index] * stride;
  return new Uint32Array(bytes.buffer, start, maxLength / 4);
}

/** Returns the index of the random data of a frame. */
function pieceOf(number: number): number {
  return number * 61 % (RANDOM_WORDS - PIECE_WORDS);
}

/** Returns the first 16 bytes of a frame. */
function header(destination: Uint8Array, source: Uint8Array): Uint8Array {
  return Uint8Array.of(...destination, ...source, ETHERTYPE >>> 8, ETHERTYPE & 0xff, 0, 0);
}

/** Returns a single frame of the smallest size. */
export function frameTo(destination: Uint8Array, source: Uint8Array): Uint8Array {
  const frame = new Uint8Array(MIN_PACKET);
  frame.set(header(destination, source));
  return frame;
}

/** @throws {Failed} if a stream did not arrive whole. */
export function assertWhole(result: StreamResult): void {
  const { intact, lost, reordered, corrupt, waiting, missed, damaged, sent } = result;
  if (intact === sent && lost + reordered + corrupt === 0) return;
  throw new Failed(
    `of ${
      counted(sent, "frame")
    }, ${lost} lost (${waiting} not sent, ${missed} missed, ${damaged} ` +
      `damaged), ${corrupt} corrupt, ${reordered} out of order`,
  );
}
