/**
 * A transmit queue: the hot path from a batch to the NIC.
 *
 * The NIC sets DD in a descriptor after it has sent the packet, but only if the descriptor has RS. The
 * queue sets RS in the last descriptor of each run: the packets of one `transmit` call, split into runs
 * of at most 32. So `reclaim` reads one descriptor per run, and all buffers return to the pool, including
 * those of the last packets before traffic ends.
 *
 * While TXDCTL.WTHRESH is 0, software "should set the RS bit in the last Tx descriptors of every packet"
 * (X550: section 8.2.2.10.10). That is a recommendation: the section adds that only descriptors with RS
 * are written back, and section 4.6.8.1.1 says how to disable a queue whose last descriptor has no RS. The
 * NIC completes descriptors in order, so DD in the last descriptor of a run stands for the whole run.
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
import { specialise } from "../src/specialise.ts";
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

/** The longest run, in packets. */
const MAX_RUN = 32;
/** Size of the longest packet that the NIC sends: MAXFRS limits only what it receives (8.2.3.22.13). */
const MAX_PACKET = MAX_FRAME - CRC;
/** Smallest PAYLEN that the NIC takes, as Intel's driver for Linux has it. Shorter packets are padded. */
const MIN_PAYLEN = 17;
/** Word 2 of each descriptor, except for the packet's length and RS. */
const TX_DATA = TX_DTYP_DATA | TX_DEXT | TX_IFCS | TX_EOP;

/**
 * Indices into a queue's state. TAIL and NEXT_TO_CLEAN count descriptors and do not wrap; their low bits
 * are an index into the ring. TAIL: the next descriptor to fill. NEXT_TO_CLEAN: the first descriptor
 * whose buffer was not reclaimed yet.
 */
const TAIL = 0, NEXT_TO_CLEAN = 1, BYTES = 2, CLOSED = 3, STATES = 4;

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
    TX_DATA,
    TX_DD,
    TX_PAYLEN_SHIFT,
    TX_RS,
    MAX_RUN,
    TAIL,
    NEXT_TO_CLEAN,
    BYTES,
    CLOSED,
    keepUnsent,
    refuseBatch,
  },
  function transmitter(
    pool: Mempool,
    ring: Uint32Array,
    slots: Uint32Array,
    address: Float64Array,
    state: Float64Array,
    doorbell: Doorbell,
    place: Uint32Array,
  ) {
    const { lengths, freeStack, bufferSize } = pool, longest = Math.min(bufferSize, MAX_PACKET);
    const { words, write } = doorbell;
    const ring64 = new Float64Array(ring.buffer, ring.byteOffset, ring.length / 2);
    const mask = slots.length - 1, reclaimFrom = slots.length / 2;
    const ends = new Uint32Array(slots.length); // the last descriptor of a run, by its first

    const reclaim = (): number => {
      const tail = state[TAIL] & mask, before = pool.freeCount;
      let clean = state[NEXT_TO_CLEAN] & mask, freeCount = before;
      while (clean !== tail) {
        const end = ends[clean];
        if ((ring[end << 2 | 3] & TX_DD) === 0) break;
        const after = (end + 1) & mask;
        for (; clean !== after; clean = (clean + 1) & mask) freeStack[freeCount++] = slots[clean];
      }
      pool.freeCount = freeCount;
      state[NEXT_TO_CLEAN] += freeCount - before;
      return freeCount - before;
    };

    // Pads a packet of 14 to 16 bytes; returns whether it was one. Padding does not count as bytes sent.
    const pad = (buffer: number): boolean => {
      const size = lengths[buffer] | 0, start = buffer * bufferSize;
      if ((size - MIN_PACKET) >>> 0 >= MIN_PAYLEN - MIN_PACKET) return false;
      pool.bytes.fill(0, start + size, start + MIN_PAYLEN);
      lengths[buffer] = MIN_PAYLEN;
      state[BYTES] -= MIN_PAYLEN - size;
      return true;
    };

    const transmit = (batch: PacketBatch): number => {
      if (batch.pool !== pool || state[CLOSED] !== 0) {
        refuseBatch("transmit", batch, pool, state[CLOSED] !== 0);
      }
      const tail = state[TAIL];
      if (tail - state[NEXT_TO_CLEAN] >= reclaimFrom) reclaim();
      const free = mask - (tail - state[NEXT_TO_CLEAN]);
      const { buffers } = batch, count = Math.min(batch.length, free);
      let t = tail & mask, n = 0, bytes = 0;
      for (; n < count; n++) {
        const buffer = buffers[n], size = lengths[buffer] | 0; // 0 if the buffer does not exist
        if ((size - MIN_PAYLEN) >>> 0 > longest - MIN_PAYLEN) break;
        lengths[buffer] = 0;
        slots[t] = buffer;
        ring64[t << 1] = address[buffer];
        ring[t << 2 | 2] = TX_DATA | size;
        ring[t << 2 | 3] = size << TX_PAYLEN_SHIFT;
        bytes = (bytes + size) | 0;
        t = (t + 1) & mask;
      }
      if (n > 0) {
        for (let start = tail & mask, left = n; left > 0; left -= MAX_RUN) {
          const end = (start + (left < MAX_RUN ? left : MAX_RUN) - 1) & mask;
          ring[end << 2 | 2] |= TX_RS;
          ends[start] = end;
          start = (end + 1) & mask;
        }
        state[TAIL] = tail + n;
        state[BYTES] += bytes;
        words[place[0]] = t;
        if (write !== undefined) write(t);
      }
      if (n === batch.length) {
        batch.length = 0;
      } else if (n < count && pad(buffers[n])) {
        keepUnsent(batch, n, false, longest);
        return n + transmit(batch);
      } else {
        keepUnsent(batch, n, n < count, longest);
      }
      return n;
    };

    return { transmit, reclaim };
  },
);

/** One transmit ring of a device. */
export class IxgbeTxQueue implements TxQueue {
  readonly number: number;
  readonly pool: Mempool;
  readonly transmit: (batch: PacketBatch) => number;
  readonly reclaim: () => number;
  readonly #ring: Uint32Array;
  readonly #doorbell: Doorbell;
  readonly #place: Uint32Array;
  readonly #mask: number;
  /** The buffer of each descriptor. */
  readonly #slots: Uint32Array;
  readonly #state = new Float64Array(STATES);

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
    const address = new Float64Array(pool.addresses(addressing).buffer);
    const state = this.#state, place = this.#place;
    const made = makeTransmit(pool, ring, this.#slots, address, state, doorbell, place);
    this.transmit = made.transmit;
    this.reclaim = made.reclaim;
    pool.addReclaimer(this);
  }

  get pending(): number {
    return this.#state[TAIL] - this.#state[NEXT_TO_CLEAN];
  }

  /** Packets that the program passed to the queue. */
  get packets(): number {
    return this.#state[TAIL];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#state[BYTES];
  }

  /** Whether the queue has sent any packet. */
  get used(): boolean {
    return this.packets !== 0;
  }

  understudy(): Understudy | undefined {
    const { words, write, index } = this.#doorbell;
    if (write !== undefined || this.used || this.#state[CLOSED] !== 0) return undefined;
    this.#place[0] = words.length;
    const arrays = [this.#ring, this.#slots, this.#state] as const;
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
    this.#state[CLOSED] = 1;
  }

  /**
   * Closes the queue and returns the buffers of all packets to the pool. The NIC must have stopped.
   *
   * @param peer The process that serves the NIC, if there is one: it decides when the buffers return.
   */
  close(peer?: Peer): void {
    const state = this.#state, buffers: number[] = [];
    for (; state[NEXT_TO_CLEAN] < state[TAIL]; state[NEXT_TO_CLEAN]++) {
      buffers.push(this.#slots[state[NEXT_TO_CLEAN] & this.#mask]);
    }
    this.pool.removeReclaimer(this);
    this.detach();
    if (peer) peer.giveBack(this.pool, buffers);
    else this.pool.takeBack(buffers);
  }
}
