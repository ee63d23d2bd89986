/**
 * A receive queue: the hot path from the NIC to a batch.
 *
 * The queue polls a ring of descriptors, each four 32-bit words (`descriptors.ts`). DD tells that the NIC
 * has written a descriptor back, so everything else in it is read after DD. That the loads keep this
 * order is a property of x86 and V8's practice, see `src/specialise.ts`.
 *
 * A packet takes its buffer along, and leaves its descriptor empty. Empty descriptors get free buffers
 * many at a time, and RDT is written once for all of them. On the software NIC both are faster: reading
 * descriptors does not wait for writes to lines that the other core has, and RDT is in a line that both
 * share. On PCIe a register write is uncached and posted, so fewer writes should be cheaper there too;
 * this was not measured.
 *
 * A call that finds no packet has time: it also fills empty descriptors, as far as the pool has buffers. So
 * if few packets arrive, RDT is written once for each.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Doorbell } from "../src/pci/function.ts";
import type { Interrupt, RxQueue, Understudy } from "../src/device.ts";
import type { Addressing } from "../src/dma.ts";
import type { Mempool } from "../src/mempool.ts";
import type { Peer } from "../src/peer.ts";
import { refuseBatch } from "../src/driver.ts";
import { apart, specialise } from "../src/specialise.ts";
import { RX_DD, RX_EOP, RX_RXE, WORDS } from "./descriptors.ts";
import { receiveUnderstudy } from "./understudy.ts";

/** Descriptors are refilled when this many, or an eighth of the ring if less, are empty, or no packet is there. */
export const MAX_EMPTY = 32;

/**
 * Indices into a queue's state: numbers of 32 bits. NEXT_TO_CLEAN and TAIL count descriptors and wrap;
 * their low bits are an index into the ring. NEXT_TO_CLEAN: the next descriptor to read. TAIL: the next
 * one to refill, up to which the NIC may have them. Those between are empty; an empty descriptor still
 * has DD, so the driver must not come round to it. NEW_BYTES: bytes received since the last refill. MOST:
 * how many descriptors `receive` may leave empty; 0 while it may not take any packet, because the queue is
 * closed, or the rest of a frame must be dropped.
 */
const NEXT_TO_CLEAN = 0, TAIL = 1, NEW_BYTES = 2, MOST = 3, STATES = 4;

/** Indices into a queue's totals, which a refill updates: descriptors refilled, and bytes received. */
const REFILLED = 0, BYTES = 1, TOTALS = 2;

/**
 * Creates the `receive` and `refill` functions of a queue. A descriptor that was written back has the RSS
 * hash in word 1, the status in word 2, and the packet's length in the low half of word 3.
 *
 * @param slots The buffer of each descriptor. The queue no longer owns that of an empty descriptor.
 * @param address Bus addresses of the pool's buffers.
 * @param hashes Receives the RSS hashes, by buffer; undefined if the NIC does not hash packets.
 */
const makeReceive = specialise(
  import.meta.url,
  {
    RX_DD,
    RX_EOP,
    RX_RXE,
    MAX_EMPTY,
    NEXT_TO_CLEAN,
    TAIL,
    NEW_BYTES,
    MOST,
    REFILLED,
    BYTES,
    apart,
  },
  function receiver(
    pool: Mempool,
    ring: Uint32Array,
    slots: Uint32Array,
    address: Float64Array,
    hashes: Uint32Array | undefined,
    state: Int32Array,
    totals: Float64Array,
    writeTail: () => void,
    slowPath: (batch: PacketBatch) => number,
  ) {
    const WHOLE = RX_DD | RX_EOP, CHECKED = RX_DD | RX_EOP | RX_RXE, LENGTH = 0xffff;
    const { lengths, freeStack, bufferSize } = pool, { min } = Math;
    const hashed = hashes !== undefined;
    const ring64 = new Float64Array(ring.buffer, ring.byteOffset, ring.length / 2);
    const entries = slots.length, mask = entries - 1, maxEmpty = Math.min(entries / 8, MAX_EMPTY);
    const block = new Float64Array(2 * maxEmpty); // descriptors; their second halves stay 0, which clears DD

    const refillOne = (i: number, buffer: number): void => {
      slots[i] = buffer;
      ring64[i << 1] = address[buffer];
      ring64[(i << 1) + 1] = 0; // clears DD
    };

    // A block is copied at once: few long stores, whose cache misses overlap.
    const refillBlock = (i: number, top: number): void => {
      for (let k = 0; k < maxEmpty; k++) {
        const buffer = freeStack[top + k];
        slots[i + k] = buffer;
        block[k << 1] = address[buffer];
      }
      ring64.set(block, i << 1);
    };

    // Gives free buffers to the empty descriptors, as far as the pool has any, and passes them to the NIC.
    const refill = apart((): void => {
      const tail = state[TAIL], empty = (state[NEXT_TO_CLEAN] - tail) | 0;
      const count = min(empty, pool.freeCount) | 0, left = (pool.freeCount - count) | 0;
      for (let n = 0, i = tail & mask; n < count;) {
        const whole = count - n >= maxEmpty && i + maxEmpty <= entries;
        if (whole) refillBlock(i, left + n);
        else refillOne(i, freeStack[left + n]);
        const step = whole ? maxEmpty : 1;
        n = (n + step) | 0;
        i = (i + step) & mask;
      }
      pool.freeCount = left;
      state[TAIL] = tail + count;
      totals[REFILLED] += count;
      totals[BYTES] += state[NEW_BYTES];
      state[NEW_BYTES] = 0;
      writeTail();
    });

    const receive = (batch: PacketBatch): number => {
      if (batch.pool !== pool || batch.length !== 0) return slowPath(batch);
      const { buffers } = batch;
      const next = state[NEXT_TO_CLEAN], empty = (next - state[TAIL]) | 0;
      // Not round to an empty descriptor, and no more than the pool has buffers to refill with.
      const most = min(buffers.length | 0, min(state[MOST], pool.freeCount) - empty) | 0;
      let i = next & mask, n = 0, bytes = 0;
      // Stops at a descriptor that is not written back yet, or that the slow path must handle.
      for (; n < most; n++) {
        if ((ring[(i << 2) + 2] & CHECKED) !== WHOLE) break;
        const size = ring[(i << 2) + 3] & LENGTH;
        if ((size - 1) >>> 0 >= bufferSize) break;
        const buffer = slots[i];
        if (hashed) hashes[buffer] = ring[(i << 2) + 1];
        lengths[buffer] = size;
        bytes = (bytes + size) | 0;
        buffers[n] = buffer;
        i = (i + 1) & mask;
      }
      if (n > 0) {
        state[NEXT_TO_CLEAN] = next + n;
        state[NEW_BYTES] += bytes;
        batch.length = n;
        if (empty + n >= maxEmpty) refill();
      } else if (empty > 0 || (ring[(i << 2) + 2] & RX_DD) !== 0) { // of a closed queue, one counts as empty
        return slowPath(batch);
      }
      return n;
    };

    return { receive, refill };
  },
);

/** One receive ring of a device. */
export class IxgbeRxQueue implements RxQueue {
  declare readonly number: number;
  declare readonly pool: Mempool;
  declare readonly receive: (batch: PacketBatch) => number;
  /** Its interrupt; undefined if the device was opened without `interrupts`. */
  interrupt: Interrupt | undefined;
  /** Packets dropped because they did not fit a buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to refill the ring with. */
  noBuffer = 0;
  /** Packets dropped because the NIC marked them as damaged. */
  damaged = 0;
  /** Bus addresses of the pool's buffers. */
  readonly #address: Float64Array;
  #ring: Uint32Array;
  readonly #mask: number;
  /** The buffer of each descriptor. */
  readonly #slots: Uint32Array;
  /** RDT; in a rehearsal a word of memory. */
  #doorbell: Doorbell;
  readonly #refill: () => void;
  readonly #state = new Int32Array(STATES);
  readonly #totals = new Float64Array(TOTALS);
  /** Descriptors whose packets were dropped. */
  #dropped = 0;
  /** Whether the NIC has descriptors. */
  #started: boolean;
  /** Whether the slow path is calling `receive`, which must not enter it again. */
  #recovering = false;

  /**
   * Creates a queue, and fills its ring with buffers from the pool.
   *
   * @param addressing The kind of the device's bus addresses.
   * @param ring The descriptors, four words each; their number is a power of two.
   * @param doorbell RDT.
   * @param rss Whether the NIC hashes packets.
   * @param slots The buffer of each descriptor, if another thread has already filled the ring.
   * @param started Whether that thread has also passed the ring to the NIC.
   */
  constructor(
    number: number,
    pool: Mempool,
    addressing: Addressing,
    ring: Uint32Array,
    doorbell: Doorbell,
    rss = false,
    slots?: Uint32Array,
    started = false,
  ) {
    const entries = ring.length / WORDS;
    this.number = number;
    this.pool = pool;
    this.#address = new Float64Array(pool.addresses(addressing).buffer);
    this.#ring = ring;
    this.#mask = entries - 1;
    this.#slots = new Uint32Array(entries);
    this.#doorbell = doorbell;
    this.#started = started;
    if (slots !== undefined) this.#slots.set(slots);
    else this.#fill();
    this.#state[MOST] = this.#mask;
    const made = makeReceive(
      pool,
      ring,
      this.#slots,
      this.#address,
      rss ? pool.rssHash : undefined,
      this.#state,
      this.#totals,
      () => this.#writeTail(),
      apart((batch) => this.#slowPath(batch)),
    );
    this.receive = made.receive;
    this.#refill = made.refill;
  }

  /** Gives each descriptor a buffer from the pool. */
  #fill(): void {
    const pool = this.pool;
    for (let i = 0; i < this.#slots.length; i++) {
      const buffer = pool.allocate(1);
      pool.lengths[buffer] = 0; // the NIC owns it
      this.#slots[i] = buffer;
      this.#writeDescriptor(i);
    }
  }

  /** Packets that the program received. */
  get packets(): number {
    return this.read - this.#dropped;
  }

  /** Descriptors that were read: those of received packets and of dropped frames. */
  get read(): number {
    return this.#totals[REFILLED] + this.#empty;
  }

  /** Descriptors that have got a buffer again after they were read. */
  get refilled(): number {
    return this.#totals[REFILLED];
  }

  /** Bytes of the received packets. */
  get bytes(): number {
    return this.#totals[BYTES] + this.#state[NEW_BYTES];
  }

  /** Passes the filled ring to the NIC, once. Call it after the queue is enabled (section 4.6.7.1). */
  start(): void {
    if (this.#started || this.#closed) return;
    this.#started = true;
    this.#writeTail();
  }

  /** Whether the NIC has descriptors: the queue was started, by this thread or another. */
  get started(): boolean {
    return this.#started;
  }

  understudy(): Understudy | undefined {
    if (this.#started || this.#closed) return undefined;
    const doorbell = this.#doorbell, tail = new Uint32Array(1);
    this.#doorbell = { ...doorbell, words: tail, index: 0, write: undefined };
    const arrays = [this.#ring, this.#slots, this.#state, this.#totals];
    return receiveUnderstudy(arrays, tail, () => {
      this.#doorbell = doorbell;
      this.damaged = this.#dropped = 0;
    });
  }

  /**
   * Writes RDT, which passes all descriptors with a buffer to the NIC except the last one: RDT = RDH means
   * that the NIC has none (section 7.1.9).
   */
  #writeTail(): void {
    const doorbell = this.#doorbell, tail = (this.#state[TAIL] - 1) & this.#mask;
    doorbell.words[doorbell.index] = tail;
    if (doorbell.write !== undefined) doorbell.write(tail);
  }

  /** Descriptors without a buffer: those from TAIL to NEXT_TO_CLEAN. */
  get #empty(): number {
    return (this.#state[NEXT_TO_CLEAN] - this.#state[TAIL] - (this.#closed ? 1 : 0)) | 0;
  }

  get #closed(): boolean {
    return this.#ring.length === 0;
  }

  /**
   * Handles what the fast path does not. Refuses a batch that cannot be received into; otherwise drops
   * frames that are damaged, longer than a buffer, or for which the pool has no free buffer, fills empty
   * descriptors, and receives the frames after them. It drops at most one ring of descriptors, because the
   * NIC may refill them as fast as they are dropped.
   */
  #slowPath(batch: PacketBatch): number {
    const pool = this.pool, state = this.#state;
    if (this.#closed || batch.pool !== pool || batch.length !== 0) {
      refuseBatch("receive", batch, pool, this.#closed);
    }
    if (this.#recovering) return 0;
    for (; this.#empty < this.#mask; state[NEXT_TO_CLEAN]++) {
      const i = state[NEXT_TO_CLEAN] & this.#mask;
      if ((this.#ring[i * WORDS + 2] & RX_DD) === 0 || !this.#mustDrop(i)) break;
      pool.takeBack([this.#slots[i]]);
      this.#dropped++;
    }
    const all = this.#empty === this.#mask;
    if (this.#empty > 0 && pool.freeCount > 0) this.#refill();
    if (state[MOST] === 0 || all) return 0;
    this.#recovering = true;
    try {
      return this.receive(batch);
    } finally {
      this.#recovering = false;
    }
  }

  /** Returns whether the frame in a descriptor must be dropped, and counts the reason. */
  #mustDrop(i: number): boolean {
    const state = this.#state, pool = this.pool;
    const status = this.#ring[i * WORDS + 2], size = this.#ring[i * WORDS + 3] & 0xffff;
    const end = (status & RX_EOP) !== 0, dropping = state[MOST] === 0;
    if (dropping || !end || size > pool.bufferSize) {
      if (!dropping) this.tooLong++;
      state[MOST] = end ? this.#mask : 0; // the rest of the frame will be dropped too
    } else if ((status & RX_RXE) !== 0 || size === 0) {
      this.damaged++;
    } else if (this.#hasBuffer || (pool.reclaim() > 0 && this.#hasBuffer)) {
      return false; // the frame is complete, and a buffer is free again
    } else {
      this.noBuffer++;
    }
    return true;
  }

  /** Writes a descriptor with the buffer of its slot, for the NIC to fill. */
  #writeDescriptor(i: number): void {
    const address = new Uint32Array(this.#address.buffer), d = i * WORDS, b = this.#slots[i] * 2;
    this.#ring.set([address[b], address[b + 1], 0, 0], d);
  }

  /** Whether the pool has a buffer to take the place of the next packet's. */
  get #hasBuffer(): boolean {
    return this.pool.freeCount > this.#empty;
  }

  /** Whether the queue has received or dropped any packet. */
  get used(): boolean {
    return this.read > 0;
  }

  /** Detaches from an unused ring and returns it, for another thread to adopt. */
  transfer(): { ring: Uint32Array; slots: Uint32Array; doorbell: Doorbell } {
    const ring = this.#ring;
    this.detach();
    return { ring, slots: this.#slots, doorbell: this.#doorbell };
  }

  /**
   * Closes the queue and returns the buffers of all descriptors to the pool. The NIC must have stopped.
   * Does nothing if the queue is detached: it no longer owns the buffers.
   *
   * @param peer The process that serves the NIC, if there is one: it decides when the buffers return.
   */
  close(peer?: Peer): void {
    if (this.#closed) return;
    const buffers: number[] = [];
    for (let n = this.#empty; n <= this.#mask; n++) {
      buffers.push(this.#slots[(this.#state[TAIL] + n) & this.#mask]);
    }
    this.detach();
    if (peer) peer.giveBack(this.pool, buffers);
    else this.pool.takeBack(buffers);
  }

  /**
   * Detaches from the ring without freeing the buffers in it. The queue is closed from then on: TAIL moves
   * back, so that one more descriptor counts as empty, and `receive` takes the slow path before it reads any.
   */
  detach(): void {
    if (this.#closed) return;
    this.#ring = new Uint32Array(0);
    this.#state[MOST] = 0;
    this.#state[TAIL]--;
  }
}
