/**
 * A transmit queue: the hot path from a batch to the NIC.
 *
 * Write-back is asked for (RS) on the last descriptor of a run, not on every one: a run ends with a
 * call of `transmit`, or after 32 packets. For each run, its first descriptor's slot in `#ends` holds
 * its last one, so that freeing looks at one descriptor a run. So every packet's buffer comes back
 * once the packet has left, also the last few before silence.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Doorbell } from "../src/bus/bus.ts";
import type { TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import {
  TX_DD,
  TX_DEXT,
  TX_DTYP_DATA,
  TX_EOP,
  TX_IFCS,
  TX_PAYLEN_SHIFT,
  TX_RS,
} from "./descriptors.ts";

const COMMAND = TX_DTYP_DATA | TX_DEXT | TX_IFCS | TX_EOP;
/** The most packets of a run. */
const RUN = 32;
/** Packets in the ring from which on `transmit` looks for those that have left. */
const RECLAIM_FROM = 2 * RUN;

/** One transmit ring of a device. */
export class IxgbeTxQueue implements TxQueue {
  readonly number: number;
  /** Packets taken from the program. */
  packets = 0;
  /** Bytes of these packets. */
  bytes = 0;
  readonly #pool: Mempool;
  #ring: Uint32Array;
  readonly #entries: number;
  /** The buffer that each descriptor has. */
  readonly #slots: Uint32Array;
  /** At the first descriptor of a run: its last. */
  readonly #ends: Uint32Array;
  readonly #doorbell: Doorbell;
  /** The next descriptor to fill: what RDT has. */
  #tail = 0;
  /** The first descriptor whose packet is not known to have left. */
  #clean = 0;

  /**
   * @param ring The descriptors, four words each.
   * @param doorbell TDT.
   */
  constructor(number: number, pool: Mempool, ring: Uint32Array, doorbell: Doorbell) {
    this.number = number;
    this.#pool = pool;
    this.#ring = ring;
    this.#entries = ring.length / 4;
    this.#slots = new Uint32Array(this.#entries);
    this.#ends = new Uint32Array(this.#entries);
    this.#doorbell = doorbell;
    pool.addReclaimer(this);
  }

  get pending(): number {
    const n = this.#tail - this.#clean;
    return n < 0 ? n + this.#entries : n;
  }

  transmit(batch: PacketBatch): number {
    const pool = this.#pool, ring = this.#ring;
    if (batch.pool !== pool || ring.length === 0) this.#refuse(batch);
    if (this.pending >= RECLAIM_FROM) this.reclaim();
    const slots = this.#slots, ends = this.#ends, entries = this.#entries;
    const { low, high, length, bufferSize } = pool;
    const buffers = batch.buffers;
    const free = entries - 1 - this.pending;
    const count = batch.length < free ? batch.length : free;
    let t = this.#tail, first = t, run = 0, n = 0, bytes = 0;
    for (; n < count; n++) {
      const buffer = buffers[n], size = length[buffer];
      if (!(size > 0 && size <= bufferSize)) break;
      length[buffer] = 0;
      slots[t] = buffer;
      const d = t << 2;
      ring[d] = low[buffer];
      ring[d + 1] = high[buffer];
      ring[d + 3] = size << TX_PAYLEN_SHIFT;
      bytes += size;
      if (++run === RUN || n === count - 1) {
        ring[d + 2] = COMMAND | TX_RS | size;
        ends[first] = t;
        run = 0;
        if (++t === entries) t = 0;
        first = t;
      } else {
        ring[d + 2] = COMMAND | size;
        if (++t === entries) t = 0;
      }
    }
    if (n > 0) {
      if (run > 0) this.#endRun(first, t);
      this.#tail = t;
      this.packets += n;
      this.bytes += bytes;
      const doorbell = this.#doorbell;
      doorbell.words[doorbell.index] = t;
      if (doorbell.ring !== undefined) doorbell.ring(t);
    }
    if (n < batch.length) this.#keep(batch, n, n < count);
    else batch.length = 0;
    return n;
  }

  reclaim(): number {
    const ring = this.#ring, ends = this.#ends, slots = this.#slots, entries = this.#entries;
    const stack = this.#pool.stack;
    const tail = this.#tail;
    let clean = this.#clean, top = this.#pool.available;
    const before = top;
    while (clean !== tail) {
      const end = ends[clean];
      if ((ring[(end << 2) + 3] & TX_DD) === 0) break;
      for (;;) {
        const at = clean;
        stack[top++] = slots[at];
        if (++clean === entries) clean = 0;
        if (at === end) break;
      }
    }
    this.#clean = clean;
    this.#pool.available = top;
    return top - before;
  }

  /** Ends a run early, before the packet that was refused. */
  #endRun(first: number, tail: number): void {
    const end = (tail === 0 ? this.#entries : tail) - 1;
    this.#ring[end * 4 + 2] |= TX_RS;
    this.#ends[first] = end;
  }

  /** Moves the packets that were not sent to the front of their batch. */
  #keep(batch: PacketBatch, sent: number, refused: boolean): void {
    batch.buffers.copyWithin(0, sent, batch.length);
    batch.length -= sent;
    if (!refused) return;
    const buffer = batch.buffers[0], size = this.#pool.length[buffer];
    throw new Error(
      size > 0
        ? `the packet in buffer ${buffer} has ${size} bytes, a buffer has ${this.#pool.bufferSize}`
        : `buffer ${buffer} is sent, but nobody has it in hand`,
    );
  }

  #refuse(batch: PacketBatch): void {
    if (this.#ring.length === 0) throw new Error("transmit on a closed device");
    if (batch.pool !== this.#pool) {
      throw new Error("the batch is of another pool than the device: open both with one pool");
    }
  }

  /** Gives the buffers of all packets back. Only once the NIC has stopped. */
  close(): void {
    const pool = this.#pool;
    for (; this.#clean !== this.#tail; this.#clean = (this.#clean + 1) % this.#entries) {
      pool.stack[pool.available++] = this.#slots[this.#clean];
    }
    pool.removeReclaimer(this);
    this.#ring = new Uint32Array(0);
  }
}
