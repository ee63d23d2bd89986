/**
 * Transmit queues: the hot path from a batch to the device.
 *
 * The device reads a header before each packet: zeros, since the driver uses no offloads. The header
 * is in the headroom of the packet's buffer, so that one descriptor leads to both. A device may have
 * written there, when it received the packet. If the pool has no headroom, or a legacy device
 * requires a descriptor for the header alone, all packets share one header: the first of a chain's
 * two descriptors leads to it.
 *
 * The device writes a chain to the used ring once it no longer needs the packet. The queue reclaims
 * buffers when it is half full, and when the pool runs out of them.
 *
 * Methods are shared by all queues, not specialised. Each call copies the queue's fields into local
 * constants before its loop; `src/specialise.ts` has the reasons, also for the typed array of
 * counts.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import type { Peer } from "../src/peer.ts";
import { keepUnsent, MIN_PACKET, refuseBatch } from "../src/driver.ts";
import { LAYOUT, type Virtqueue } from "./virtqueue.ts";

const { AVAILABLE_RING, USED_RING } = LAYOUT;
const PACKETS = 0, BYTES = 1;
/** 32-bit words before a packet that contain its header. */
const HEADER_WORDS = 3;

/** A virtqueue that transmits packets. */
export class VirtioTxQueue implements TxQueue {
  readonly number: number;
  readonly pool: Mempool;
  readonly #queue: Virtqueue;
  /** The packets, with their headers if these are in the headroom, as the device addresses them. */
  readonly #address: Uint32Array;
  /** Bytes of the header in the headroom: all, or 0. */
  readonly #before: number;
  /** The pool's memory, which contains these headers. */
  readonly #words: Uint32Array;
  /** Most packets in the queue at once. */
  readonly #maxPackets: number;
  /** Packets in the queue from which `transmit` reclaims. */
  readonly #reclaimFrom: number;
  /** The buffer of each chain, by the chain's id. */
  readonly #slots: Uint32Array;
  /** The used ring; empty once the queue is closed. */
  #used: Uint32Array;
  /** Position of the next packet, modulo 2^16. */
  #tail = 0;
  /** Position of the first packet that was not reclaimed, modulo 2^16. */
  #clean = 0;
  readonly #counts = new Float64Array(2);

  /**
   * Creates a transmit queue.
   *
   * @param queue An empty queue, with chains of two descriptors; of one if the headroom is to hold
   * headers.
   * @param headerBytes Bytes of the header before each packet: 10 or 12.
   * @param most Most packets to have in the queue.
   */
  constructor(queue: Virtqueue, pool: Mempool, headerBytes: number, most: number) {
    this.number = queue.index >> 1; // pairs of queues (section 5.1.2)
    this.pool = pool;
    this.#queue = queue;
    this.#before = queue.perChain === 1 ? headerBytes : 0;
    this.#address = pool.addresses(queue.addressing, this.#before);
    this.#words = new Uint32Array(pool.memory.buffer);
    this.#maxPackets = Math.min(queue.chains, most);
    this.#reclaimFrom = this.#maxPackets >> 1;
    this.#slots = new Uint32Array(queue.areas.entries);
    this.#used = queue.used;
    queue.describeChains(headerBytes, 0, 0, true);
    pool.addReclaimer(this);
  }

  get pending(): number {
    return (this.#tail - this.#clean) & 0xffff;
  }

  /** Packets sent by the program. */
  get packets(): number {
    return this.#counts[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#counts[BYTES];
  }

  transmit(batch: PacketBatch): number {
    const pool = this.pool, queue = this.#queue;
    if (batch.pool !== pool || this.#used.length === 0) {
      refuseBatch("transmit", batch, pool, this.#used.length === 0);
    }
    if (this.pending >= this.#reclaimFrom) this.reclaim();
    const { order, available, descriptors } = queue;
    const slots = this.#slots, address = this.#address, { lengths, maxLength } = pool;
    const last = queue.perChain - 1, before = this.#before, words = this.#words;
    const stride = pool.bufferSize >> 2, header = (pool.headroom >> 2) - HEADER_WORDS;
    const orderMask = order.length - 1, mask = queue.areas.entries - 1;
    const buffers = batch.buffers, first = this.#tail;
    const count = Math.min(batch.length, this.#maxPackets - this.pending);
    let n = 0, bytes = 0;
    for (; n < count; n++) {
      const buffer = buffers[n], size = lengths[buffer] | 0;
      if ((size - MIN_PACKET) >>> 0 > maxLength - MIN_PACKET) break;
      lengths[buffer] = 0;
      const position = first + n, id = order[position & orderMask];
      const d = (id + last) << 2, place = AVAILABLE_RING + (position & mask);
      slots[id] = buffer;
      if (before !== 0) {
        const h = Math.imul(buffer, stride) + header;
        // Stores nothing over zeros: it would take the cache line from the device's processor.
        if ((words[h] | words[h + 1] | words[h + 2]) !== 0) {
          words[h] = words[h + 1] = words[h + 2] = 0;
        }
      }
      descriptors[d] = address[buffer << 1];
      descriptors[d | 1] = address[buffer << 1 | 1];
      descriptors[d | 2] = before + size;
      if (available[place] !== id) available[place] = id;
      bytes = (bytes + size) | 0;
    }
    if (n > 0) {
      this.#tail = (first + n) & 0xffff;
      this.#counts[PACKETS] += n;
      this.#counts[BYTES] += bytes;
      queue.publish(this.#tail);
    }
    if (n < batch.length) keepUnsent(batch, n, n < count, maxLength);
    else batch.length = 0;
    return n;
  }

  /**
   * Returns the buffers of sent packets to the pool.
   *
   * @returns How many there were.
   * @throws {DeviceError} if the device returns a buffer that it does not have.
   */
  reclaim(): number {
    const queue = this.#queue, used = this.#used, pool = this.pool;
    if (used.length === 0) return 0;
    const { order } = queue, slots = this.#slots, stack = pool.freeStack;
    const orderMask = order.length - 1, mask = queue.areas.entries - 1;
    const first = this.#clean, pending = this.pending;
    const arrived = (queue.usedIndex[1] - first) & 0xffff;
    if (arrived > pending) throw queue.overrun(first, pending);
    let available = pool.freeCount, n = 0;
    for (; n < arrived; n++) {
      const position = first + n;
      const id = used[USED_RING + ((position & mask) << 1)];
      if (id !== order[position & orderMask]) break;
      stack[available++] = slots[id];
    }
    pool.freeCount = available;
    this.#clean = (first + n) & 0xffff;
    return n < arrived ? n + this.#reclaimSlowly(arrived - n) : n;
  }

  /** Reclaims entries that may be out of order. */
  #reclaimSlowly(left: number): number {
    const queue = this.#queue, pool = this.pool;
    let n = 0;
    for (; n < left; n++) {
      const position = this.#clean;
      const id = this.#used[USED_RING + 2 * (position & (queue.areas.entries - 1))];
      if (id !== queue.order[position % queue.chains]) {
        queue.arrange(position, this.pending, left - n, 0);
      }
      pool.freeStack[pool.freeCount++] = this.#slots[queue.order[position % queue.chains]];
      this.#clean = (position + 1) & 0xffff;
    }
    return n;
  }

  /**
   * Closes the queue.
   *
   * @param atRest Whether the device has stopped, so that the queue's buffers return to the pool.
   * @param peer The process that serves the device, if there is one: it decides when they return.
   */
  close(atRest: boolean, peer?: Peer): void {
    const { order, chains } = this.#queue, pool = this.pool, buffers: number[] = [];
    for (let n = this.pending, i = 0; i < n; i++) {
      buffers.push(this.#slots[order[(this.#clean + i) % chains]]);
    }
    this.#clean = this.#tail;
    pool.removeReclaimer(this);
    if (peer) peer.giveBack(pool, buffers);
    else if (atRest) pool.takeBack(buffers);
    this.#used = new Uint32Array(0);
  }
}
