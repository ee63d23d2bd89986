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
 * The functions of the hot path are compiled for each queue alone; `src/specialise.ts` has the reasons,
 * also for the typed arrays of numbers.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import type { Peer } from "../src/peer.ts";
import { keepUnsent, MIN_PACKET, refuseBatch } from "../src/driver.ts";
import { specialise } from "../src/specialise.ts";
import { LAYOUT, type Virtqueue } from "./virtqueue.ts";

const { AVAILABLE_RING, USED_RING } = LAYOUT;
/** 32-bit words before a packet that contain its header. */
const HEADER_WORDS = 3;

/**
 * Indices into a queue's state. TAIL and CLEAN, modulo 2^16: position of the next packet, and of the
 * first one that was not reclaimed.
 */
const TAIL = 0, CLEAN = 1, CLOSED = 2, STATES = 3;
/** Indices into a queue's totals: packets and bytes that the program sent. */
const PACKETS = 0, BYTES = 1, TOTALS = 2;

/**
 * Creates the `transmit` and `reclaim` functions of a queue.
 *
 * @param before Bytes of the header in the headroom: all, or 0.
 * @param maxPackets Most packets in the queue at once.
 * @param slots The buffer of each chain, by the chain's id.
 * @param address The packets, with their headers if these are in the headroom, as the device addresses
 * them.
 * @param reclaimSlowly Reclaims a number of entries that may be out of order.
 */
const makeTransmit = specialise(
  import.meta.url,
  {
    AVAILABLE_RING,
    USED_RING,
    HEADER_WORDS,
    MIN_PACKET,
    TAIL,
    CLEAN,
    CLOSED,
    PACKETS,
    BYTES,
    keepUnsent,
    refuseBatch,
  },
  function chainTransmitter(
    queue: Virtqueue,
    pool: Mempool,
    before: number,
    maxPackets: number,
    slots: Uint32Array,
    address: Float64Array,
    state: Int32Array,
    totals: Float64Array,
    reclaimSlowly: (entries: number) => number,
  ) {
    const { order, available, used, usedIndex, descriptors, perChain } = queue;
    const { lengths, freeStack, maxLength, bufferSize, headroom } = pool;
    const last = perChain - 1, orderMask = order.length - 1, mask = queue.areas.entries - 1;
    const words = new Uint32Array(pool.memory.buffer), stride = bufferSize >> 2;
    const header = (headroom >> 2) - HEADER_WORDS, reclaimFrom = maxPackets >> 1;
    const descriptors64 = new Float64Array(
      descriptors.buffer,
      descriptors.byteOffset,
      descriptors.length / 2,
    );

    const reclaim = (): number => {
      if (state[CLOSED] !== 0) return 0;
      const clean = state[CLEAN], pending = (state[TAIL] - clean) & 0xffff;
      const arrived = (usedIndex[1] - clean) & 0xffff, free = pool.freeCount;
      if (arrived > pending) throw queue.overrun(clean, pending);
      let n = 0;
      for (; n < arrived; n++) {
        const position = clean + n, id = order[position & orderMask];
        if (used[USED_RING + ((position & mask) << 1)] !== id) break;
        freeStack[(free + n) | 0] = slots[id];
      }
      pool.freeCount = free + n;
      state[CLEAN] = (clean + n) & 0xffff;
      return n < arrived ? n + reclaimSlowly(arrived - n) : n;
    };

    const transmit = (batch: PacketBatch): number => {
      if (batch.pool !== pool || state[CLOSED] !== 0) {
        refuseBatch("transmit", batch, pool, state[CLOSED] !== 0);
      }
      const tail = state[TAIL];
      if (((tail - state[CLEAN]) & 0xffff) >= reclaimFrom) reclaim();
      const { buffers, length } = batch, room = maxPackets - ((tail - state[CLEAN]) & 0xffff);
      const count = length < room ? length : room;
      let n = 0, bytes = 0;
      for (; n < count; n++) {
        const buffer = buffers[n], size = lengths[buffer] | 0; // 0 if the buffer does not exist
        if ((size - MIN_PACKET) >>> 0 > maxLength - MIN_PACKET) break;
        lengths[buffer] = 0;
        const position = tail + n, id = order[position & orderMask];
        const d = id + last, place = AVAILABLE_RING + (position & mask);
        slots[id] = buffer;
        if (before !== 0) {
          const h = Math.imul(buffer, stride) + header;
          // Stores nothing over zeros: it would take the cache line from the device's processor.
          if ((words[h] | words[h + 1] | words[h + 2]) !== 0) {
            words[h] = words[h + 1] = words[h + 2] = 0;
          }
        }
        descriptors64[d << 1] = address[buffer];
        descriptors[(d << 2) + 2] = before + size;
        if (available[place] !== id) available[place] = id;
        bytes = (bytes + size) | 0;
      }
      if (n > 0) {
        state[TAIL] = (tail + n) & 0xffff;
        totals[PACKETS] += n;
        totals[BYTES] += bytes;
        queue.publish(tail + n);
      }
      if (n < length) keepUnsent(batch, n, n < count, maxLength);
      else batch.length = 0;
      return n;
    };

    return { transmit, reclaim };
  },
);

/** A virtqueue that transmits packets. */
export class VirtioTxQueue implements TxQueue {
  declare readonly number: number;
  declare readonly pool: Mempool;
  declare readonly transmit: (batch: PacketBatch) => number;
  /**
   * Returns the buffers of sent packets to the pool.
   *
   * @returns How many there were.
   * @throws {DeviceError} if the device returns a buffer that it does not have.
   */
  declare readonly reclaim: () => number;
  readonly #queue: Virtqueue;
  /** The buffer of each chain, by the chain's id. */
  readonly #slots: Uint32Array;
  readonly #state = new Int32Array(STATES);
  readonly #totals = new Float64Array(TOTALS);

  /**
   * Creates a transmit queue.
   *
   * @param queue An empty queue, with chains of two descriptors; of one if the headroom is to hold
   * headers.
   * @param headerBytes Bytes of the header before each packet: 10 or 12.
   * @param most Most packets to have in the queue.
   */
  constructor(queue: Virtqueue, pool: Mempool, headerBytes: number, most: number) {
    const before = queue.perChain === 1 ? headerBytes : 0;
    this.number = queue.index >> 1; // pairs of queues (section 5.1.2)
    this.pool = pool;
    this.#queue = queue;
    this.#slots = new Uint32Array(queue.areas.entries);
    queue.describeChains(headerBytes, 0, 0, true);
    const made = makeTransmit(
      queue,
      pool,
      before,
      Math.min(queue.chains, most),
      this.#slots,
      new Float64Array(pool.addresses(queue.addressing, before).buffer),
      this.#state,
      this.#totals,
      (entries) => this.#reclaimSlowly(entries),
    );
    this.transmit = made.transmit;
    this.reclaim = made.reclaim;
    pool.addReclaimer(this);
  }

  get pending(): number {
    return (this.#state[TAIL] - this.#state[CLEAN]) & 0xffff;
  }

  /** Packets sent by the program. */
  get packets(): number {
    return this.#totals[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#totals[BYTES];
  }

  /** Reclaims entries that may be out of order. */
  #reclaimSlowly(left: number): number {
    const queue = this.#queue, pool = this.pool, state = this.#state;
    let n = 0;
    for (; n < left; n++) {
      const position = state[CLEAN];
      const id = queue.used[USED_RING + 2 * (position & (queue.areas.entries - 1))];
      if (id !== queue.order[position % queue.chains]) {
        queue.arrange(position, this.pending, left - n, 0);
      }
      pool.freeStack[pool.freeCount++] = this.#slots[queue.order[position % queue.chains]];
      state[CLEAN] = (position + 1) & 0xffff;
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
    const { order, chains } = this.#queue, pool = this.pool, state = this.#state;
    const buffers: number[] = [];
    for (let n = this.pending, i = 0; i < n; i++) {
      buffers.push(this.#slots[order[(state[CLEAN] + i) % chains]]);
    }
    state[CLEAN] = state[TAIL];
    state[CLOSED] = 1;
    pool.removeReclaimer(this);
    if (peer) peer.giveBack(pool, buffers);
    else if (atRest) pool.takeBack(buffers);
  }
}
