/**
 * A receive queue: the hot path from the NIC to a batch.
 *
 * The ring is four 32-bit words a descriptor. The NIC writes back a descriptor with DD in word 2 last
 * (and x86 keeps the order of loads), so what is read after DD is what the NIC wrote. RDT is written
 * once an eighth of the ring or 64 descriptors have come back, whichever are fewer, and one descriptor
 * always stays with software: a full ring would look empty.
 *
 * Bus addresses are moved as doubles, eight bytes at once. Nothing is calculated with them, so their
 * bits stay as they are: no address is so high that it would be a NaN.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Doorbell } from "../src/pci/function.ts";
import type { RxInterrupt, RxQueue } from "../src/device.ts";
import type { Addressing } from "../src/dma.ts";
import type { Mempool } from "../src/mempool.ts";
import { refuseBatch } from "../src/driver.ts";
import { specialise } from "../src/specialise.ts";
import { RX_DD, RX_EOP, RX_RXE, WORDS } from "./descriptors.ts";

const FLAGS = { DONE: RX_DD, WHOLE: RX_DD | RX_EOP, LOOK_AT: RX_DD | RX_EOP | RX_RXE };
/** Most descriptors that wait to be handed over again, in parts of a ring, and at most. */
const OWED_PART = 8, OWED_MOST = 64;

/**
 * Indices into a queue's state, which is doubles, so that counts do not wrap. NEXT: descriptors that
 * came back so far; TOLD: those that were handed over again; EXCEPTION: not 0 while `receive` cannot go
 * on in the ordinary way.
 */
const STATE = { NEXT: 0, TOLD: 1, BYTES: 2, EXCEPTION: 3 };
const STATES = 8;

/** What `receive` works on. */
interface ReceiveParts {
  readonly pool: Mempool;
  readonly ring: Uint32Array;
  /** The same memory. */
  readonly ring64: Float64Array;
  readonly slots: Uint32Array;
  readonly address: Float64Array;
  readonly hashes: Uint32Array | undefined;
  readonly state: Float64Array;
  /** Descriptors that have come back, from which on they are handed over again. */
  readonly owed: number;
  readonly transfer: (next: number) => void;
  readonly exception: (batch: PacketBatch) => number;
  readonly refuse: (batch: PacketBatch) => void;
  readonly flags: typeof FLAGS;
  readonly at: typeof STATE;
}

/** Makes `receive`; see `specialise` for what it must not do. */
function makeReceive(parts: ReceiveParts): (batch: PacketBatch) => number {
  const { pool, ring, ring64, slots, address, hashes, state, owed } = parts;
  const { transfer, exception, refuse } = parts;
  const { DONE, WHOLE, LOOK_AT } = parts.flags;
  const { NEXT, TOLD, BYTES, EXCEPTION } = parts.at;
  const { lengths, freeStack, bufferSize } = pool;
  const mask = slots.length - 1;
  return function receive(batch: PacketBatch): number {
    if (batch.pool !== pool || batch.length !== 0) refuse(batch);
    if (state[EXCEPTION] !== 0) return exception(batch);
    const { buffers } = batch, capacity = buffers.length, next = state[NEXT];
    let i = next & mask, n = 0, bytes = 0, available = pool.freeCount;
    for (; n < capacity; n++) {
      if ((ring[i << 2 | 2] & LOOK_AT) !== WHOLE) break;
      const size = ring[i << 2 | 3] & 0xffff;
      if (available === 0 || (size - 1) >>> 0 >= bufferSize) break;
      const buffer = slots[i], fresh = freeStack[--available];
      slots[i] = fresh;
      if (hashes !== undefined) hashes[buffer] = ring[i << 2 | 1];
      ring64[i << 1] = address[fresh];
      ring64[i << 1 | 1] = 0;
      lengths[buffer] = size;
      bytes = (bytes + size) | 0;
      buffers[n] = buffer;
      i = (i + 1) & mask;
    }
    if (n > 0) {
      pool.freeCount = available;
      state[NEXT] = next + n;
      state[BYTES] += bytes;
      batch.length = n;
      if (next + n - state[TOLD] >= owed) transfer(next + n);
    } else if ((ring[i << 2 | 2] & DONE) !== 0) {
      return exception(batch);
    }
    return n;
  };
}

/** One receive ring of a device. */
export class IxgbeRxQueue implements RxQueue {
  readonly number: number;
  readonly pool: Mempool;
  readonly receive: (batch: PacketBatch) => number;
  /** Its interrupt; undefined where the device polls only. */
  interrupt: RxInterrupt | undefined;
  /** Packets dropped because they did not fit a buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  noBuffer = 0;
  /** Packets dropped because the NIC marked them as damaged. */
  damaged = 0;
  /** The pool's buffers as the device addresses them. */
  readonly #address: Float64Array;
  #ring: Uint32Array;
  readonly #mask: number;
  /** The buffer that each descriptor has. */
  readonly #slots: Uint32Array;
  readonly #doorbell: Doorbell;
  readonly #state = new Float64Array(STATES);
  /** Packets among the descriptors that were dropped. */
  #dropped = 0;
  /** Whether `receive` is called to go on after an exception. */
  #recovering = false;

  /**
   * Fills the ring with buffers.
   *
   * @param addressing What bus addresses the device uses.
   * @param ring The descriptors, four words each; a power of two of them.
   * @param doorbell RDT.
   * @param rss Whether the NIC hashes packets.
   * @param slots The buffer that each descriptor has already, of a ring that another thread has filled.
   */
  constructor(
    number: number,
    pool: Mempool,
    addressing: Addressing,
    ring: Uint32Array,
    doorbell: Doorbell,
    rss = false,
    slots?: Uint32Array,
  ) {
    const entries = ring.length / WORDS;
    this.number = number;
    this.pool = pool;
    this.#address = new Float64Array(pool.addresses(addressing).buffer);
    this.#ring = ring;
    this.#mask = entries - 1;
    this.#slots = new Uint32Array(entries);
    this.#doorbell = doorbell;
    if (slots !== undefined) this.#slots.set(slots);
    else this.#fill();
    this.receive = specialise(makeReceive)({
      pool,
      ring,
      ring64: new Float64Array(ring.buffer, ring.byteOffset, ring.length / 2),
      slots: this.#slots,
      address: this.#address,
      hashes: rss ? pool.rssHash : undefined,
      state: this.#state,
      owed: Math.min(entries / OWED_PART, OWED_MOST),
      transfer: (next) => this.#handOver(next),
      exception: (batch) => this.#exception(batch),
      refuse: (batch) => refuseBatch("receive", batch, pool, this.#closed),
      flags: FLAGS,
      at: STATE,
    });
  }

  /** Gives each descriptor a buffer. */
  #fill(): void {
    const pool = this.pool;
    for (let i = 0; i < this.#slots.length; i++) {
      const buffer = pool.allocate(1);
      pool.lengths[buffer] = 0;
      this.#slots[i] = buffer;
      this.#arm(i);
    }
  }

  /** Packets handed to the program. */
  get packets(): number {
    return this.#state[STATE.NEXT] - this.#dropped;
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#state[STATE.BYTES];
  }

  /** Hands all descriptors but one to the NIC. */
  start(): void {
    this.#handOver(0);
  }

  /** Tells the NIC that all descriptors before `next` are its own again, but for the last. */
  #handOver(next: number): void {
    const doorbell = this.#doorbell, tail = (next - 1) & this.#mask;
    this.#state[STATE.TOLD] = next;
    doorbell.words[doorbell.index] = tail;
    if (doorbell.write !== undefined) doorbell.write(tail);
  }

  get #closed(): boolean {
    return this.#ring.length === 0;
  }

  /**
   * What happens rarely. Goes past descriptors that hold no whole frame, or for which the pool has no
   * buffer, and receives what follows. One ring at most: the NIC may bring more of them for as long as
   * it is let.
   */
  #exception(batch: PacketBatch): number {
    if (this.#closed) refuseBatch("receive", batch, this.pool, true);
    if (this.#recovering) return 0;
    const state = this.#state;
    let dropped = 0;
    for (; dropped <= this.#mask; dropped++) {
      const i = state[STATE.NEXT] & this.#mask;
      if ((this.#ring[i * WORDS + 2] & RX_DD) === 0 || !this.#drops(i)) break;
      this.#arm(i);
      this.#dropped++;
      state[STATE.NEXT]++;
    }
    if (dropped > 0) this.#handOver(state[STATE.NEXT]);
    if (state[STATE.EXCEPTION] !== 0 || dropped > this.#mask) return 0;
    this.#recovering = true;
    try {
      return this.receive(batch);
    } finally {
      this.#recovering = false;
    }
  }

  /** Whether the frame in a descriptor is dropped; counts why. */
  #drops(i: number): boolean {
    const state = this.#state, pool = this.pool;
    const status = this.#ring[i * WORDS + 2], size = this.#ring[i * WORDS + 3] & 0xffff;
    const end = (status & RX_EOP) !== 0, dropping = state[STATE.EXCEPTION] !== 0;
    if (dropping || !end || size > pool.bufferSize) {
      if (!dropping) this.tooLong++;
      state[STATE.EXCEPTION] = end ? 0 : 1; // the rest of the frame is dropped too, when it comes
    } else if ((status & RX_RXE) !== 0 || size === 0) {
      this.damaged++;
    } else if (pool.freeCount > 0 || pool.reclaim() > 0) {
      return false; // the frame is whole after all, and there is a buffer again
    } else {
      this.noBuffer++;
    }
    return true;
  }

  /** Writes a descriptor that the NIC can fill, with the buffer that it has. */
  #arm(i: number): void {
    const address = new Uint32Array(this.#address.buffer), d = i * WORDS, b = this.#slots[i] * 2;
    this.#ring.set([address[b], address[b + 1], 0, 0], d);
  }

  /** Whether any descriptor has come back. */
  get used(): boolean {
    return this.#state[STATE.NEXT] !== 0;
  }

  /** Lets go of a ring that is not used yet, for another thread to go on with. */
  transfer(): { ring: Uint32Array; slots: Uint32Array; doorbell: Doorbell } {
    const ring = this.#ring;
    this.detach();
    return { ring, slots: this.#slots, doorbell: this.#doorbell };
  }

  /**
   * Gives every buffer of the ring back, unless it was let go: then they are somebody else's. Only once
   * the NIC has stopped.
   */
  close(): void {
    if (this.#closed) return;
    const pool = this.pool;
    for (const buffer of this.#slots) pool.freeStack[pool.freeCount++] = buffer;
    this.detach();
  }

  /** Lets go of the ring, with the buffers in it. */
  detach(): void {
    this.#ring = new Uint32Array(0);
    this.#state[STATE.EXCEPTION] = 1;
  }
}
