/**
 * Receive queues: the hot path from the device to a batch.
 *
 * The device fills a chain and writes its id and length to the used ring before it writes the used
 * index. The driver reads the index first, so the entries before it are complete;
 * `src/specialise.ts` says why loads keep this order. The available index is written once a batch.
 * The number of chains with the device is constant: each one that comes back is replaced by one
 * with a free buffer.
 *
 * The device writes a header before each packet. If the pool has headroom, the header goes there, and
 * a packet takes one descriptor. Without headroom, the packet must begin at the start of its buffer:
 * if the device accepts chains, the header has its own descriptor, and headers that are not needed
 * all go to one place; otherwise the packet is moved over its header.
 *
 * Methods are shared by all queues, not specialised. Each call copies the queue's fields into local
 * constants before its loop; `src/specialise.ts` has the reasons, also for the typed array of
 * counts.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { RxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import type { Peer } from "../src/peer.ts";
import { refuseBatch } from "../src/driver.ts";
import { DESC_WRITE, LAYOUT, type Virtqueue } from "./virtqueue.ts";

const { AVAILABLE_RING, USED_RING, WORDS } = LAYOUT;
const PACKETS = 0, BYTES = 1;
/** Shifts the id of a chain of two descriptors to the index of its header, in 16-bit words. */
const HEADER_SHIFT = 2;
/** Index of num_buffers in the 16-bit words of a header (section 5.1.6). */
const NUM_BUFFERS = 5;
/** From this size in bytes, `copyWithin` moves a packet faster than a loop. */
const LONG = 256;

/** A virtqueue that receives packets. */
export class VirtioRxQueue implements RxQueue {
  readonly number: number;
  readonly pool: Mempool;
  /** Packets dropped because they did not fit in one buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  noBuffer = 0;
  readonly #queue: Virtqueue;
  /** The packets, with their headers if these are in the headroom, as the device addresses them. */
  readonly #address: Uint32Array;
  readonly #headerBytes: number;
  /** Bytes that each packet must be moved over, those of its header, or 0. */
  readonly #over: number;
  /** Longest packet in bytes. */
  readonly #maxBytes: number;
  /** Memory from the first header on. */
  readonly #headers: Uint16Array;
  /** The packets' memory, for moving them. */
  readonly #words: Uint32Array;
  /** Whether a packet may span several buffers; its header then has their number. */
  readonly #merges: boolean;
  /** Chains that are with the device while `receive` is not running. */
  readonly #posted: number;
  /** The buffer of each chain, by the chain's id. */
  readonly #slots: Uint32Array;
  /** The used ring; empty once the queue is closed. */
  #used: Uint32Array;
  /** Position of the used entry to read next, modulo 2^16. */
  #next = 0;
  /** Buffers still to drop of a packet that spans several. */
  #dropping = 0;
  /** Whether `#recover` is calling `receive`. */
  #recovering = false;
  readonly #counts = new Float64Array(2);

  /**
   * Creates a receive queue and fills it with buffers. They become available to the device with
   * {@linkcode VirtioRxQueue.prototype.start}.
   *
   * @param queue Chains of two descriptors; or of one if the pool has headroom or the header has 12
   * bytes.
   * @param headerBytes Bytes of the header that the device writes before each packet: 10 or 12.
   * @param merges Whether MRG_RXBUF was negotiated.
   * @param most Most packets to have buffers for.
   */
  constructor(queue: Virtqueue, pool: Mempool, headerBytes: number, merges: boolean, most: number) {
    this.number = queue.index >> 1; // pairs of queues (section 5.1.2)
    this.pool = pool;
    this.#queue = queue;
    const before = queue.perChain === 1 && pool.headroom >= headerBytes ? headerBytes : 0;
    this.#address = pool.addresses(queue.addressing, before);
    this.#headerBytes = headerBytes;
    this.#merges = merges;
    this.#posted = Math.min(queue.chains, most);
    this.#over = queue.perChain === 1 ? headerBytes - before : 0;
    this.#maxBytes = pool.maxLength - this.#over;
    this.#headers = queue.perChain === 1
      ? new Uint16Array(pool.memory.buffer, pool.headroom - before)
      : queue.headers;
    this.#words = new Uint32Array(pool.memory.buffer, pool.headroom);
    this.#slots = new Uint32Array(queue.areas.entries);
    this.#used = queue.used;
    queue.describeChains(headerBytes, before + pool.maxLength, DESC_WRITE, !merges);
    for (let p = 0; p < this.#posted; p++) {
      const buffer = pool.allocate(1);
      pool.lengths[buffer] = 0;
      this.#post(p, buffer);
    }
  }

  /** Packets received by the program. */
  get packets(): number {
    return this.#counts[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#counts[BYTES];
  }

  /** Makes all buffers available to the device. */
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
    const over = this.#over, maxBytes = this.#maxBytes;
    const { lengths, freeStack, bufferSize } = pool, buffers = batch.buffers;
    const merges = this.#merges, headers = this.#headers, stride = bufferSize >> 1;
    const orderMask = order.length - 1, mask = queue.areas.entries - 1;
    let free = pool.freeCount, n = 0, bytes = 0;
    const count = Math.min(arrived, buffers.length, this.#dropping === 0 ? free : 0);
    // The loop makes no calls, so that V8 keeps the arrays' addresses in registers.
    for (; n < count; n++) {
      const position = first + n, entry = USED_RING + ((position & mask) << 1);
      const id = used[entry], size = (used[entry + 1] - headerBytes) | 0;
      if (id !== order[position & orderMask] || (size - 1) >>> 0 >= maxBytes) break;
      const buffer = slots[id], fresh = freeStack[free - 1];
      if (merges) {
        const header = last === 1 ? id << HEADER_SHIFT : Math.imul(buffer, stride);
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
      if (over > 0) this.#strip(buffers, n);
      if (n < count) this.#arrange(arrived - n, posted - n);
      queue.publish(this.#next + posted);
    } else if (!this.#recovering) {
      return this.#recover(batch);
    }
    return n;
  }

  /** Moves packets to the start of their buffers, over their headers of 12 bytes. */
  #strip(buffers: Uint32Array, n: number): void {
    const { lengths, bufferSize, bytes } = this.pool, words = this.#words;
    const header = this.#over >> 2, stride = bufferSize >> 2;
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
   * Handles entries without a whole packet, out of order, or that the pool has no buffer for, then
   * receives the packets that follow. Stops after one ring, since a device may add such entries
   * without end.
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

  /** Handles one such entry: puts it in order, or drops its packet and posts its buffer again. */
  #exception(arrived: number): void {
    const queue = this.#queue, position = this.#next;
    const entry = USED_RING + 2 * (position & (queue.areas.entries - 1));
    const expected = queue.order[position % queue.chains], buffer = this.#slots[expected];
    if (this.#arrange(arrived, this.#posted)) return;
    const bytes = this.#used[entry + 1], most = this.#headerBytes + this.#maxBytes;
    const least = this.#dropping > 0 ? 1 : this.#headerBytes + 1;
    if (bytes < least || bytes > most) {
      throw queue.malformed(position, `a length of ${bytes} bytes`);
    }
    if (this.#dropping > 0) {
      this.#dropping--;
    } else {
      const header = queue.perChain === 1
        ? buffer * this.pool.bufferSize / 2
        : expected << HEADER_SHIFT;
      const spread = this.#merges ? this.#headers[header + NUM_BUFFERS] : 1;
      if (spread === 0 || spread > this.#posted) {
        throw queue.malformed(position, `a packet in ${spread} buffers`);
      }
      if (spread > 1) this.tooLong++;
      else if (this.pool.freeCount > 0 || this.pool.reclaim() > 0) return; // not lost: try again
      else this.noBuffer++;
      this.#dropping = spread - 1;
    }
    this.#next = (position + 1) & 0xffff;
    this.#post(position + this.#posted, buffer);
    queue.publish(this.#next + this.#posted);
  }

  /**
   * Puts the next entry in order if its chain is not the expected one. Call it before new buffers
   * are published: an entry cannot refer to those yet.
   *
   * @returns Whether the chain was not the expected one.
   */
  #arrange(arrived: number, outstanding: number): boolean {
    const queue = this.#queue, position = this.#next;
    const entry = USED_RING + 2 * (position & (queue.areas.entries - 1));
    if (this.#used[entry] === queue.order[position % queue.chains]) return false;
    queue.arrange(position, outstanding, arrived, this.#headerBytes + this.#maxBytes);
    return true;
  }

  /** Writes the next chain in order to a position of the available ring, with a buffer. */
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
   * @param atRest Whether the device has stopped, so that the queue's buffers return to the pool.
   * @param peer The process that serves the device, if there is one: it decides when they return.
   */
  close(atRest: boolean, peer?: Peer): void {
    const { order, chains } = this.#queue, pool = this.pool, buffers: number[] = [];
    for (let i = 0; i < this.#posted; i++) {
      buffers.push(this.#slots[order[(this.#next + i) % chains]]);
    }
    if (peer) peer.giveBack(pool, buffers);
    else if (atRest) pool.takeBack(buffers);
    this.#used = new Uint32Array(0);
  }
}
