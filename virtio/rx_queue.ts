/**
 * A receive queue: the hot path from the device to a batch.
 *
 * The device fills chains and reports each in the used ring, id and length, before it moves the used
 * index (and x86 keeps the order of loads), so what is read behind the index is what the device wrote.
 * The available ring's index is moved once a batch. As many chains as were posted at first stay with
 * the device: for each that comes back, one with a fresh buffer goes out.
 *
 * A packet is to begin where its buffer begins, but the device puts a header first. Where the device
 * takes chains, the header gets a descriptor of its own: a small packet then is one cache line, and if
 * nobody needs the headers, they are all written to one place. Else it stands in the buffer, and the
 * packet is moved over it.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { RxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import { refuseBatch } from "../src/driver.ts";
import { DESC_WRITE, LAYOUT, type Virtqueue } from "./virtqueue.ts";

const { AVAILABLE_RING, USED_RING, WORDS } = LAYOUT;
const PACKETS = 0, BYTES = 1;
/** From the id of a chain of two descriptors to its header, in words of 16 bits: a shift. */
const HEADER_SHIFT = 2;
/** Place of num_buffers among the 16-bit words of a header (section 5.1.6). */
const NUM_BUFFERS = 5;
/** Bytes of a packet from which on a call moves it faster than a loop. */
const LONG = 256;

/** A virtqueue that receives packets. */
export class VirtioRxQueue implements RxQueue {
  readonly number: number;
  readonly pool: Mempool;
  /** Packets dropped because they did not fit a buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  noBuffer = 0;
  readonly #queue: Virtqueue;
  /** The pool's buffers as the device addresses them. */
  readonly #address: Uint32Array;
  readonly #headerBytes: number;
  /** Bytes of the header that stand before the packet in its buffer: all, or none. */
  readonly #inBuffer: number;
  /** The longest packet. */
  readonly #mostBytes: number;
  /** Memory that has the headers. */
  readonly #headers: Uint16Array;
  /** The pool's memory, to move packets in. */
  readonly #words: Uint32Array;
  /** Whether the device may spread a packet over several buffers, and says over how many. */
  readonly #merges: boolean;
  /** Chains that are with the device whenever `receive` is not running. */
  readonly #posted: number;
  /** The buffer of each chain, by the chain's id. */
  readonly #slots: Uint32Array;
  /** The queue's columns; empty once it is closed. */
  #used: Uint32Array;
  /** Position of the used entry to read next, modulo 2^16. */
  #next = 0;
  /** Buffers still to drop of a packet that is spread over several. */
  #dropping = 0;
  /** Whether `receive` is called to go on after an exception. */
  #recovering = false;
  /** As a typed array: a field would change its representation, and the code that uses it, at 2^31. */
  readonly #counts = new Float64Array(2);

  /**
   * Fills the queue with buffers. Nothing is shown to the device yet.
   *
   * @param queue Its chains have two descriptors, or one if the header has 12 bytes.
   * @param headerBytes Bytes of the header that the device puts before each packet: 10 or 12.
   * @param merges Whether MRG_RXBUF was negotiated.
   * @param most The most packets to have buffers for.
   */
  constructor(queue: Virtqueue, pool: Mempool, headerBytes: number, merges: boolean, most: number) {
    this.number = queue.index >> 1; // pairs of queues (section 5.1.2)
    this.pool = pool;
    this.#queue = queue;
    this.#address = pool.addresses(queue.addressing);
    this.#headerBytes = headerBytes;
    this.#merges = merges;
    this.#posted = Math.min(queue.chains, most);
    this.#inBuffer = queue.perChain === 1 ? headerBytes : 0;
    this.#mostBytes = pool.bufferSize - this.#inBuffer;
    this.#headers = this.#inBuffer > 0 ? new Uint16Array(pool.memory.buffer) : queue.headers;
    this.#words = new Uint32Array(pool.memory.buffer);
    this.#slots = new Uint32Array(queue.areas.entries);
    this.#used = queue.used;
    queue.describeChains(headerBytes, pool.bufferSize, DESC_WRITE, !merges);
    for (let p = 0; p < this.#posted; p++) {
      const buffer = pool.allocate(1);
      pool.lengths[buffer] = 0;
      this.#post(p, buffer);
    }
  }

  /** Packets handed to the program. */
  get packets(): number {
    return this.#counts[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#counts[BYTES];
  }

  /** Shows the device all buffers. */
  start(): void {
    this.#queue.publish(this.#posted);
  }

  receive(batch: PacketBatch): number {
    const pool = this.pool, used = this.#used;
    if (batch.pool !== pool || batch.length !== 0 || used.length === 0) {
      refuseBatch("receive", batch, pool, used.length === 0);
    }
    const queue = this.#queue, first = this.#next, posted = this.#posted;
    const arrived = (queue.usedIndex[1] - first) & 0xffff;
    if (arrived === 0) return 0;
    if (arrived > posted) throw queue.overrun(first, posted);
    const { order, available, descriptors } = queue, last = queue.perChain - 1;
    const slots = this.#slots, address = this.#address, headerBytes = this.#headerBytes;
    const inBuffer = this.#inBuffer, mostBytes = this.#mostBytes;
    const { lengths, freeStack, bufferSize } = pool, buffers = batch.buffers;
    const merges = this.#merges, headers = this.#headers, stride = bufferSize >> 1;
    const orderMask = order.length - 1, mask = queue.areas.entries - 1;
    let free = pool.freeCount, n = 0, bytes = 0;
    const count = Math.min(arrived, buffers.length, this.#dropping === 0 ? free : 0);
    // No call is in the loop: then the compiler keeps the arrays' addresses in registers.
    for (; n < count; n++) {
      const position = first + n, entry = USED_RING + ((position & mask) << 1);
      const id = used[entry], size = (used[entry + 1] - headerBytes) | 0;
      if (id !== order[position & orderMask] || (size - 1) >>> 0 >= mostBytes) break;
      const buffer = slots[id], fresh = freeStack[free - 1];
      if (merges) {
        const header = inBuffer === 0 ? id << HEADER_SHIFT : Math.imul(buffer, stride);
        if (headers[header + NUM_BUFFERS] !== 1) break;
      }
      free--;
      const again = position + posted, next = order[again & orderMask];
      const d = (next + last) << 2, place = AVAILABLE_RING + (again & mask);
      slots[next] = fresh;
      descriptors[d] = address[fresh << 1];
      descriptors[d | 1] = address[fresh << 1 | 1];
      if (available[place] !== next) available[place] = next;
      lengths[buffer] = size;
      bytes = (bytes + size) | 0;
      buffers[n] = buffer;
    }
    if (n > 0) {
      pool.freeCount = free;
      this.#next = (first + n) & 0xffff;
      this.#counts[PACKETS] += n;
      this.#counts[BYTES] += bytes;
      batch.length = n;
      if (inBuffer > 0) this.#strip(buffers, n);
      if (n < count) this.#arrange(arrived - n, posted - n);
      queue.publish(this.#next + posted);
    } else if (!this.#recovering) {
      return this.#recover(batch);
    }
    return n;
  }

  /** Moves packets to where their buffers begin, over their headers of 12 bytes. */
  #strip(buffers: Uint32Array, n: number): void {
    const { lengths, bufferSize, bytes } = this.pool, words = this.#words;
    const header = this.#inBuffer >> 2, stride = bufferSize >> 2;
    for (let i = 0; i < n; i++) {
      const buffer = buffers[i], size = lengths[buffer];
      let w = Math.imul(buffer, stride);
      if (size < LONG) {
        for (const end = w + ((size + 3) >> 2); w < end; w++) words[w] = words[w + header];
      } else {
        bytes.copyWithin(w << 2, (w + header) << 2, ((w + header) << 2) + size);
      }
    }
  }

  /**
   * Goes past entries that hold no whole packet, that are out of order, or for which the pool has no
   * buffer, and receives what follows. A ring at most: a device may bring more of them for as long as
   * it is let.
   */
  #recover(batch: PacketBatch): number {
    this.#recovering = true;
    let n = 0;
    try {
      for (let i = 0; i < this.#posted && n === 0; i++) {
        const arrived = (this.#queue.usedIndex[1] - this.#next) & 0xffff;
        if (arrived === 0) break;
        this.#exception(arrived);
        n = this.receive(batch);
      }
    } finally {
      this.#recovering = false;
    }
    return n;
  }

  /** What happens rarely: a packet is dropped, its buffer posted again; or the order is mended. */
  #exception(arrived: number): void {
    const queue = this.#queue, position = this.#next;
    const entry = USED_RING + 2 * (position & (queue.areas.entries - 1));
    const expected = queue.order[position % queue.chains], buffer = this.#slots[expected];
    if (this.#arrange(arrived, this.#posted)) return;
    const bytes = this.#used[entry + 1], most = this.#headerBytes + this.#mostBytes;
    const least = this.#dropping > 0 ? 1 : this.#headerBytes + 1;
    if (bytes < least || bytes > most) {
      throw queue.malformed(position, `a length of ${bytes} bytes`);
    }
    if (this.#dropping > 0) {
      this.#dropping--;
    } else {
      const inBuffer = this.#inBuffer > 0;
      const header = inBuffer ? buffer * this.pool.bufferSize / 2 : expected << HEADER_SHIFT;
      const spread = this.#merges ? this.#headers[header + NUM_BUFFERS] : 1;
      if (spread === 0 || spread > this.#posted) {
        throw queue.malformed(position, `a packet in ${spread} buffers`);
      }
      if (spread > 1) this.tooLong++;
      else if (this.pool.freeCount > 0 || this.pool.reclaim() > 0) return; // there is a buffer again
      else this.noBuffer++;
      this.#dropping = spread - 1;
    }
    this.#next = (position + 1) & 0xffff;
    this.#post(position + this.#posted, buffer);
    queue.publish(this.#next + this.#posted);
  }

  /**
   * Puts the next entry's chain in order if it is another than expected; returns whether it was. Has
   * to come before new buffers are published: the device cannot have those yet.
   */
  #arrange(arrived: number, outstanding: number): boolean {
    const queue = this.#queue, position = this.#next;
    const entry = USED_RING + 2 * (position & (queue.areas.entries - 1));
    if (this.#used[entry] === queue.order[position % queue.chains]) return false;
    queue.arrange(position, outstanding, arrived, this.#headerBytes + this.#mostBytes);
    return true;
  }

  /** Makes the chain whose turn it is available at a position, with a buffer. */
  #post(position: number, buffer: number): void {
    const { order, available, descriptors, areas, chains } = this.#queue;
    const id = order[position % chains];
    this.#slots[id] = buffer;
    const d = WORDS * (id + this.#queue.perChain - 1);
    descriptors[d] = this.#address[2 * buffer];
    descriptors[d + 1] = this.#address[2 * buffer + 1];
    available[AVAILABLE_RING + (position & (areas.entries - 1))] = id;
  }

  /**
   * Closes the queue.
   *
   * @param atRest Whether the device has stopped: then the pool gets the queue's buffers back.
   */
  close(atRest: boolean): void {
    const { order, chains } = this.#queue, pool = this.pool;
    for (let i = 0; atRest && i < this.#posted; i++) {
      pool.freeStack[pool.freeCount++] = this.#slots[order[(this.#next + i) % chains]];
    }
    this.#used = new Uint32Array(0);
  }
}
