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
import type { Addressing } from "../src/dma.ts";
import type { Mempool } from "../src/mempool.ts";
import { keepUnsent, refuseBatch } from "../src/queue.ts";
import {
  TX_DD,
  TX_DEXT,
  TX_DTYP_DATA,
  TX_EOP,
  TX_IFCS,
  TX_PAYLEN_SHIFT,
  TX_RS,
  WORDS,
} from "./descriptors.ts";

const COMMAND = TX_DTYP_DATA | TX_DEXT | TX_IFCS | TX_EOP;
/** The most packets of a run. */
const RUN = 32;
const PACKETS = 0, BYTES = 1;

/** One transmit ring of a device. */
export class IxgbeTxQueue implements TxQueue {
  readonly number: number;
  readonly #pool: Mempool;
  /** The pool's buffers as the device addresses them. */
  readonly #address: Uint32Array;
  #ring: Uint32Array;
  readonly #mask: number;
  /**
   * Packets in the ring from which on `transmit` looks for those that have left: half a ring, so that
   * it seldom looks at a descriptor that the NIC is just writing.
   */
  readonly #reclaimFrom: number;
  /** The buffer that each descriptor has. */
  readonly #slots: Uint32Array;
  /** At the first descriptor of a run: its last. */
  readonly #ends: Uint32Array;
  readonly #doorbell: Doorbell;
  /** The next descriptor to fill: what TDT has. */
  #tail = 0;
  /** The first descriptor whose packet is not known to have left. */
  #clean = 0;
  /** As a typed array: a field would change its representation, and the code that uses it, at 2^31. */
  readonly #counts = new Float64Array(2);

  /**
   * Takes an empty ring.
   *
   * @param addressing What bus addresses the device uses.
   * @param ring The descriptors, four words each; a power of two of them.
   * @param doorbell TDT.
   */
  constructor(
    number: number,
    pool: Mempool,
    addressing: Addressing,
    ring: Uint32Array,
    doorbell: Doorbell,
  ) {
    this.number = number;
    this.#pool = pool;
    this.#address = pool.addresses(addressing);
    this.#ring = ring;
    const entries = ring.length / WORDS;
    this.#mask = entries - 1;
    this.#reclaimFrom = entries / 2;
    this.#slots = new Uint32Array(entries);
    this.#ends = new Uint32Array(entries);
    this.#doorbell = doorbell;
    pool.addReclaimer(this);
  }

  get pending(): number {
    return (this.#tail - this.#clean) & this.#mask;
  }

  /** Packets taken from the program. */
  get packets(): number {
    return this.#counts[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#counts[BYTES];
  }

  transmit(batch: PacketBatch): number {
    const pool = this.#pool, ring = this.#ring, mask = this.#mask;
    if (batch.pool !== pool || ring.length === 0) {
      refuseBatch("transmit", batch, pool, ring.length === 0);
    }
    if (this.pending >= this.#reclaimFrom) this.reclaim();
    const slots = this.#slots, address = this.#address, { length, bufferSize } = pool;
    const buffers = batch.buffers, first = this.#tail;
    const count = Math.min(batch.length, mask - this.pending);
    let t = first, n = 0, bytes = 0;
    for (; n < count; n++) {
      const buffer = buffers[n], size = length[buffer] | 0;
      if ((size - 1) >>> 0 >= bufferSize) break;
      length[buffer] = 0;
      slots[t] = buffer;
      const d = t << 2;
      ring[d] = address[buffer << 1];
      ring[d | 1] = address[buffer << 1 | 1];
      ring[d | 2] = COMMAND | size;
      ring[d | 3] = size << TX_PAYLEN_SHIFT;
      bytes = (bytes + size) | 0;
      t = (t + 1) & mask;
    }
    if (n > 0) {
      this.#requestReports(first, n);
      this.#tail = t;
      this.#counts[PACKETS] += n;
      this.#counts[BYTES] += bytes;
      const doorbell = this.#doorbell;
      doorbell.words[doorbell.index] = t;
      if (doorbell.ring !== undefined) doorbell.ring(t);
    }
    if (n < batch.length) keepUnsent(batch, n, n < count);
    else batch.length = 0;
    return n;
  }

  /** Divides `count` new descriptors into runs and asks for a report at the end of each. */
  #requestReports(first: number, count: number): void {
    const ring = this.#ring, ends = this.#ends, mask = this.#mask;
    for (let start = first, left = count; left > 0; left -= RUN) {
      const end = (start + (left < RUN ? left : RUN) - 1) & mask;
      ring[end << 2 | 2] |= TX_RS;
      ends[start] = end;
      start = (end + 1) & mask;
    }
  }

  reclaim(): number {
    const ring = this.#ring, ends = this.#ends, slots = this.#slots, mask = this.#mask;
    const pool = this.#pool, stack = pool.stack, tail = this.#tail;
    let clean = this.#clean, available = pool.available;
    const before = available;
    while (clean !== tail) {
      const end = ends[clean];
      if ((ring[end << 2 | 3] & TX_DD) === 0) break;
      const after = (end + 1) & mask;
      for (; clean !== after; clean = (clean + 1) & mask) stack[available++] = slots[clean];
    }
    this.#clean = clean;
    pool.available = available;
    return available - before;
  }

  /** Gives the buffers of all packets back. Only once the NIC has stopped. */
  close(): void {
    const pool = this.#pool;
    for (; this.#clean !== this.#tail; this.#clean = (this.#clean + 1) & this.#mask) {
      pool.stack[pool.available++] = this.#slots[this.#clean];
    }
    pool.removeReclaimer(this);
    this.#ring = new Uint32Array(0);
  }
}
