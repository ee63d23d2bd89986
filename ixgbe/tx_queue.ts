/**
 * A transmit queue: the hot path from a batch to the NIC.
 *
 * The NIC sets DD in a descriptor after it has sent the packet, but only if the descriptor has RS. It
 * completes descriptors in order, so DD in one stands for all before it. The queue sets RS in the last
 * descriptor of each block of 32, and in the last one of each `transmit` call. So `transmit` reads one
 * descriptor a block to reclaim its buffers, however few packets a call sends; and `reclaim` returns the
 * buffers of all packets that were sent, up to a whole call.
 *
 * While TXDCTL.WTHRESH is 0, software "should set the RS bit in the last Tx descriptors of every packet"
 * (X550: section 8.2.2.10.10). That is a recommendation: the section adds that only descriptors with RS
 * are written back, and section 4.6.8.1.1 says how to disable a queue whose last descriptor has no RS.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Doorbell } from "../src/pci/function.ts";
import type { TxQueue, Understudy } from "../src/device.ts";
import type { Addressing } from "../src/dma.ts";
import type { Mempool } from "../src/mempool.ts";
import type { Peer } from "../src/peer.ts";
import { keepUnsent, MIN_PACKET, refuseBatch } from "../src/driver.ts";
import { apart, specialise } from "../src/specialise.ts";
import {
  CRC,
  MAX_FRAME,
  TX_DD,
  TX_DEXT,
  TX_DTYP_DATA,
  TX_EOP,
  TX_IFCS,
  TX_PAYLEN_SHIFT,
  TX_RS,
  WORDS,
} from "./descriptors.ts";
import { transmitUnderstudy } from "./understudy.ts";

/** Descriptors of a block. */
export const BLOCK = 32;
/** Size of the longest packet that the NIC sends: MAXFRS limits only what it receives (8.2.3.22.13). */
const MAX_PACKET = MAX_FRAME - CRC;
/** Smallest PAYLEN that the NIC takes, as Intel's driver for Linux has it. Shorter packets are padded. */
const MIN_PAYLEN = 17;
/** Word 2 of each descriptor, except for the packet's length and RS. */
const TX_DATA = TX_DTYP_DATA | TX_DEXT | TX_IFCS | TX_EOP;
/** What is added to a packet's length to find the words with RS in `COMMANDS`. */
const WITH_RS = MAX_PACKET + 1;
/**
 * Words 2 and 3 of a descriptor as one double, by the packet's length: first without RS, then with it. No length
 * makes it a NaN. Each store to a cache line that the NIC had last may wait for the line, so the fewer the better.
 */
const COMMANDS = new Float64Array(2 * WITH_RS);
for (let i = 0, words = new Uint32Array(COMMANDS.buffer); i < COMMANDS.length; i++) {
  const size = i % WITH_RS;
  words[2 * i] = TX_DATA | size | (i < WITH_RS ? 0 : TX_RS);
  words[2 * i + 1] = size << TX_PAYLEN_SHIFT;
}

/**
 * Indices into a queue's state: numbers of 32 bits. TAIL and LIMIT count descriptors and wrap; their low
 * bits are an index into the ring. TAIL: the next descriptor to fill. LIMIT: the one that must stay empty. It
 * lies right before the oldest descriptor that still has a buffer. Closing a queue sets LIMIT to TAIL, so that
 * there is no room for a packet.
 * NEW_BYTES: bytes sent since `reclaim` ran.
 */
const TAIL = 0, LIMIT = 1, NEW_BYTES = 2, CLOSED = 3, STATES = 4;

/** Indices into a queue's totals, which `reclaim` updates: buffers reclaimed, and bytes. */
const PACKETS = 0, BYTES = 1, TOTALS = 2;

/**
 * Creates the `transmit` and `reclaim` functions of a queue.
 *
 * @param slots The buffer of each descriptor.
 * @param address Bus addresses of the pool's buffers.
 * @param doorbell TDT.
 * @param place Its index in `doorbell.words`; in a rehearsal one past their end, where a store does nothing.
 */
const makeTransmit = specialise(
  import.meta.url,
  {
    MAX_PACKET,
    MIN_PACKET,
    MIN_PAYLEN,
    COMMANDS,
    WITH_RS,
    TX_DD,
    TX_RS,
    BLOCK,
    TAIL,
    LIMIT,
    NEW_BYTES,
    PACKETS,
    BYTES,
    CLOSED,
    keepUnsent,
    refuseBatch,
    apart,
  },
  function transmitter(
    pool: Mempool,
    ring: Uint32Array,
    slots: Uint32Array,
    address: Float64Array,
    state: Int32Array,
    totals: Float64Array,
    doorbell: Doorbell,
    place: Uint32Array,
  ) {
    const { lengths, freeStack, bufferSize, stride } = pool;
    const longest = Math.min(bufferSize, MAX_PACKET);
    const lengthRange = longest - MIN_PAYLEN;
    const { words, write } = doorbell, rings = write !== undefined;
    const ring64 = new Float64Array(ring.buffer, ring.byteOffset, ring.length / 2);
    const IN_BLOCK = BLOCK - 1; // the bits of a descriptor's number that are its place in its block
    const mask = slots.length - 1, half = slots.length / 2;
    const copied = new Float64Array(2 * BLOCK); // descriptors

    // Frees the buffers of `count` descriptors from `first` on.
    const free = (first: number, count: number): void => {
      const top = pool.freeCount;
      for (let n = 0; n < count; n++) freeStack[(top + n) | 0] = slots[(first + n) & mask];
      pool.freeCount = top + count;
      state[LIMIT] += count;
      totals[PACKETS] += count;
    };

    // Reclaims whole blocks, and the last one if all of it was sent. First looks at all of them: the loads of
    // their DD bits do not wait for each other.
    const reclaimBlocks = apart((): number => {
      const first = (state[LIMIT] - mask) | 0;
      const pending = state[CLOSED] !== 0 ? 0 : (state[TAIL] - first) | 0;
      let count = 0;
      while (count < pending) {
        // RS is set in the last descriptor of each block, and in the last one of all.
        const start = (first + count) & mask;
        const more = Math.min(BLOCK - (start & IN_BLOCK), pending - count) | 0;
        const last = start + more - 1;
        if ((ring[(last << 2) + 3] & TX_DD) === 0) break;
        count = (count + more) | 0;
      }
      free(first, count);
      totals[BYTES] += state[NEW_BYTES];
      state[NEW_BYTES] = 0;
      return count;
    });

    // Also reclaims what was sent of the first block that is not done: up to a descriptor with DD.
    const reclaim = (): number => {
      if (state[CLOSED] !== 0) return 0;
      const n = reclaimBlocks(), first = (state[LIMIT] - mask) | 0, start = first & mask;
      let count = Math.min(BLOCK - (start & IN_BLOCK), (state[TAIL] - first) | 0);
      while (count > 0 && (ring[((start + count - 1) << 2) + 3] & TX_DD) === 0) count--;
      free(first, count);
      return n + count;
    };

    const refuse = apart((batch: PacketBatch): void => {
      refuseBatch("transmit", batch, pool, state[CLOSED] !== 0);
    });

    // Passes the packets in the descriptors before `tail` to the NIC.
    const pass = (tail: number, bytes: number): void => {
      const t = tail & mask;
      state[TAIL] = tail;
      state[NEW_BYTES] += bytes;
      words[place[0]] = t;
      if (rings) write(t);
    };

    // Passes the first `n` packets of a batch to the NIC, and deals with the others: the batch is longer than the
    // ring has room for, or the next packet cannot be sent. Pads a packet of 14 to 16 bytes and goes on; padding
    // does not count as bytes sent. Also refuses what a closed queue is given, and ends an empty batch.
    const rest = apart((batch: PacketBatch, n: number, bytes: number): number => {
      if (state[CLOSED] !== 0) refuse(batch);
      const room = (state[LIMIT] - state[TAIL]) | 0;
      if (n > 0) {
        const tail = state[TAIL] + n;
        ring[(((tail - 1) & mask) << 2) + 2] |= TX_RS;
        pass(tail, bytes);
      }
      if (batch.length === 0) return 0;
      const buffer = batch.buffers[n], size = lengths[buffer] | 0, start = buffer * stride;
      const pads = n < room && (size - MIN_PACKET) >>> 0 < MIN_PAYLEN - MIN_PACKET;
      keepUnsent(batch, n, n < room && !pads, longest);
      if (!pads) return n;
      pool.bytes.fill(0, start + size, start + MIN_PAYLEN);
      lengths[buffer] = MIN_PAYLEN;
      state[NEW_BYTES] -= MIN_PAYLEN - size;
      return n + transmit(batch);
    });

    // Writes the descriptors of a long batch's first packets, 32 at a time, until fewer are left, one cannot be sent,
    // or the ring's end is near; returns the number of packets. Each 32 are copied to the ring at once: few long
    // stores, whose cache misses overlap. The loop also stands in `transmit`: with a function for both, V8 inlines
    // neither into the forwarder, and small batches lose a fifth.
    const fillMany = (batch: PacketBatch, count: number): number => {
      const { buffers, length } = batch, first = state[TAIL] & mask, { min } = Math;
      const end = (min(count, slots.length - first) & ~IN_BLOCK) | 0;
      let n = 0, bytes = 0;
      while (n < end) {
        const buffer = buffers[n], size = lengths[buffer] | 0, t = first + n, k = n & IN_BLOCK;
        if ((size - MIN_PAYLEN) >>> 0 > lengthRange) break;
        n = (n + 1) | 0;
        lengths[buffer] = 0;
        slots[t] = buffer;
        copied[k << 1] = address[buffer];
        const reports = n === length || (t & IN_BLOCK) === IN_BLOCK;
        copied[(k << 1) + 1] = COMMANDS[reports ? size + WITH_RS : size];
        bytes = (bytes + size) | 0;
        if (k === IN_BLOCK) ring64.set(copied, (t - IN_BLOCK) << 1);
      }
      const begun = n & IN_BLOCK;
      if (begun > 0) ring64.set(copied.subarray(0, 2 * begun), (first + n - begun) << 1);
      state[NEW_BYTES] += bytes;
      return n;
    };

    const transmit = (batch: PacketBatch): number => {
      if (batch.pool !== pool) refuse(batch);
      const tail = state[TAIL];
      let room = (state[LIMIT] - tail) | 0;
      if (room < half) room += reclaimBlocks();
      const { buffers, length } = batch, count = length < room ? length : room;
      let n = count > IN_BLOCK ? fillMany(batch, count) : 0, t = (tail + n) & mask, bytes = 0;
      while (n < count) {
        const buffer = buffers[n], size = lengths[buffer] | 0; // 0 if the buffer does not exist
        if ((size - MIN_PAYLEN) >>> 0 > lengthRange) break;
        n++;
        lengths[buffer] = 0;
        slots[t] = buffer;
        ring64[t << 1] = address[buffer];
        const reports = n === length || (t & IN_BLOCK) === IN_BLOCK;
        ring64[(t << 1) + 1] = COMMANDS[reports ? size + WITH_RS : size];
        bytes = (bytes + size) | 0;
        t = (t + 1) & mask;
      }
      if (n < length || n === 0) return rest(batch, n, bytes);
      pass(tail + n, bytes);
      batch.length = 0;
      return n;
    };

    return { transmit, reclaim };
  },
);

/** One transmit ring of a device. */
export class IxgbeTxQueue implements TxQueue {
  declare readonly number: number;
  declare readonly pool: Mempool;
  declare readonly transmit: (batch: PacketBatch) => number;
  declare readonly reclaim: () => number;
  readonly #ring: Uint32Array;
  readonly #doorbell: Doorbell;
  readonly #place: Uint32Array;
  readonly #mask: number;
  /** The buffer of each descriptor. */
  readonly #slots: Uint32Array;
  readonly #state = new Int32Array(STATES);
  readonly #totals = new Float64Array(TOTALS);

  /**
   * Creates a queue with an empty ring.
   *
   * @param addressing The kind of the device's bus addresses.
   * @param ring The descriptors, four words each; their number is a power of two.
   * @param doorbell TDT.
   */
  constructor(
    number: number,
    pool: Mempool,
    addressing: Addressing,
    ring: Uint32Array,
    doorbell: Doorbell,
  ) {
    const entries = ring.length / WORDS;
    this.number = number;
    this.pool = pool;
    this.#ring = ring;
    this.#doorbell = doorbell;
    this.#place = new Uint32Array([doorbell.index]);
    this.#mask = entries - 1;
    this.#slots = new Uint32Array(entries);
    this.#state[LIMIT] = this.#mask;
    const address = new Float64Array(pool.addresses(addressing).buffer);
    const made = makeTransmit(
      pool,
      ring,
      this.#slots,
      address,
      this.#state,
      this.#totals,
      doorbell,
      this.#place,
    );
    this.transmit = made.transmit;
    this.reclaim = made.reclaim;
    pool.addReclaimer(this);
  }

  get pending(): number {
    const state = this.#state;
    return state[CLOSED] !== 0 ? 0 : (state[TAIL] - this.#next) | 0;
  }

  /** The first descriptor whose buffer was not reclaimed yet. */
  get #next(): number {
    return (this.#state[LIMIT] - this.#mask) | 0;
  }

  /** Packets that the program passed to the queue. */
  get packets(): number {
    return this.#totals[PACKETS] + this.pending;
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#totals[BYTES] + this.#state[NEW_BYTES];
  }

  /** Whether the queue has sent any packet. */
  get used(): boolean {
    return this.packets !== 0;
  }

  understudy(): Understudy | undefined {
    const { words, write, index } = this.#doorbell;
    if (write !== undefined || this.used || this.#state[CLOSED] !== 0) return undefined;
    this.#place[0] = words.length;
    const arrays = [this.#ring, this.#slots, this.#state, this.#totals];
    return transmitUnderstudy(arrays, () => this.#state[TAIL], () => {
      this.#place[0] = index;
    });
  }

  /** Detaches from an unused ring and returns it, for another thread to adopt. */
  transfer(): { ring: Uint32Array; doorbell: Doorbell } {
    this.detach();
    return { ring: this.#ring, doorbell: this.#doorbell };
  }

  /** Detaches from the ring without freeing the buffers in it. The queue is closed from then on. */
  detach(): void {
    this.#totals[PACKETS] += this.pending;
    this.#state[CLOSED] = 1;
    this.#state[LIMIT] = this.#state[TAIL];
  }

  /**
   * Closes the queue and returns the buffers of all packets to the pool. The NIC must have stopped.
   *
   * @param peer The process that serves the NIC, if there is one: it decides when the buffers return.
   */
  close(peer?: Peer): void {
    const buffers = Array.from({ length: this.pending }, (_, n) => {
      return this.#slots[(this.#next + n) & this.#mask];
    });
    this.pool.removeReclaimer(this);
    this.detach();
    if (peer) peer.giveBack(this.pool, buffers);
    else this.pool.takeBack(buffers);
  }
}
