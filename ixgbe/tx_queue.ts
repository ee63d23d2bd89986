/**
 * A transmit queue: the hot path from a batch to the NIC.
 *
 * Write-back is asked for (RS) on the last descriptor of a run, not on every one: a run ends with a
 * call of `transmit`, or after 32 packets. For each run, its first descriptor's slot in `ends` holds
 * its last one, so that freeing looks at one descriptor a run. So every packet's buffer comes back
 * once the packet has left, also the last few before silence.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Doorbell } from "../src/pci/function.ts";
import type { TxQueue } from "../src/device.ts";
import type { Addressing } from "../src/dma.ts";
import type { Mempool } from "../src/mempool.ts";
import { specialise } from "../src/specialise.ts";
import { keepUnsent, refuseBatch } from "../src/driver.ts";
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

const COMMAND = { DATA: TX_DTYP_DATA | TX_DEXT | TX_IFCS | TX_EOP, RS: TX_RS, DD: TX_DD, RUN: 32 };

/**
 * Indices into a queue's state, which is doubles, so that counts do not wrap. TAIL: descriptors filled
 * so far; CLEAN: those whose packets are known to have left.
 */
const STATE = { TAIL: 0, CLEAN: 1, BYTES: 2, CLOSED: 3 };
const STATES = 8;

/** What `transmit` and `reclaim` work on. */
interface TransmitParts {
  readonly pool: Mempool;
  readonly ring: Uint32Array;
  /** The same memory, by which addresses are moved as in `rx_queue.ts`. */
  readonly ring64: Float64Array;
  readonly slots: Uint32Array;
  /** At the first descriptor of a run: its last. */
  readonly ends: Uint32Array;
  readonly address: Float64Array;
  readonly state: Float64Array;
  readonly doorbell: Doorbell;
  readonly refuse: (batch: PacketBatch) => void;
  readonly keepUnsent: (batch: PacketBatch, sent: number, refused: boolean) => void;
  readonly command: typeof COMMAND;
  readonly payloadShift: number;
  readonly at: typeof STATE;
}

/** Makes `reclaim`; see `specialise` for what it must not do. */
function makeReclaim(parts: TransmitParts): () => number {
  const { pool, ring, slots, ends, state } = parts, { freeStack } = pool;
  const { DD } = parts.command, { TAIL, CLEAN } = parts.at;
  const mask = slots.length - 1;
  return function reclaim(): number {
    const tail = state[TAIL] & mask, before = pool.freeCount;
    let clean = state[CLEAN] & mask, available = before;
    while (clean !== tail) {
      const end = ends[clean];
      if ((ring[end << 2 | 3] & DD) === 0) break;
      const after = (end + 1) & mask;
      for (; clean !== after; clean = (clean + 1) & mask) freeStack[available++] = slots[clean];
    }
    pool.freeCount = available;
    state[CLEAN] += available - before;
    return available - before;
  };
}

/** Makes `transmit`; see `specialise` for what it must not do. */
function makeTransmit(
  parts: TransmitParts,
  reclaim: () => number,
): (batch: PacketBatch) => number {
  const { pool, ring, ring64, slots, ends, address, state, refuse, keepUnsent } = parts;
  const { DATA, RS, RUN } = parts.command,
    { TAIL, CLEAN, BYTES, CLOSED } = parts.at,
    { payloadShift } = parts;
  const { words, index, write: tell } = parts.doorbell;
  const { lengths, bufferSize } = pool;
  const mask = slots.length - 1, reclaimFrom = slots.length / 2;
  return function transmit(batch: PacketBatch): number {
    if (batch.pool !== pool || state[CLOSED] !== 0) refuse(batch);
    const tail = state[TAIL];
    if (tail - state[CLEAN] >= reclaimFrom) reclaim();
    const { buffers } = batch, count = Math.min(batch.length, mask - (tail - state[CLEAN]));
    let t = tail & mask, n = 0, bytes = 0;
    for (; n < count; n++) {
      const buffer = buffers[n], size = lengths[buffer] | 0; // 0 too where there is no such buffer
      if ((size - 1) >>> 0 >= bufferSize) break;
      lengths[buffer] = 0;
      slots[t] = buffer;
      ring64[t << 1] = address[buffer];
      ring[t << 2 | 2] = DATA | size;
      ring[t << 2 | 3] = size << payloadShift;
      bytes = (bytes + size) | 0;
      t = (t + 1) & mask;
    }
    if (n > 0) {
      for (let start = tail & mask, left = n; left > 0; left -= RUN) {
        const end = (start + (left < RUN ? left : RUN) - 1) & mask;
        ring[end << 2 | 2] |= RS;
        ends[start] = end;
        start = (end + 1) & mask;
      }
      state[TAIL] = tail + n;
      state[BYTES] += bytes;
      words[index] = t;
      if (tell !== undefined) tell(t);
    }
    if (n < batch.length) keepUnsent(batch, n, n < count);
    else batch.length = 0;
    return n;
  };
}

/** One transmit ring of a device. */
export class IxgbeTxQueue implements TxQueue {
  readonly number: number;
  readonly pool: Mempool;
  readonly transmit: (batch: PacketBatch) => number;
  readonly reclaim: () => number;
  readonly #ring: Uint32Array;
  readonly #doorbell: Doorbell;
  readonly #mask: number;
  /** The buffer that each descriptor has. */
  readonly #slots: Uint32Array;
  readonly #state = new Float64Array(STATES);

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
    const entries = ring.length / WORDS;
    this.number = number;
    this.pool = pool;
    this.#ring = ring;
    this.#doorbell = doorbell;
    this.#mask = entries - 1;
    this.#slots = new Uint32Array(entries);
    const parts: TransmitParts = {
      pool,
      ring,
      ring64: new Float64Array(ring.buffer, ring.byteOffset, ring.length / 2),
      slots: this.#slots,
      ends: new Uint32Array(entries),
      address: new Float64Array(pool.addresses(addressing).buffer),
      state: this.#state,
      doorbell,
      refuse: (batch) => refuseBatch("transmit", batch, pool, this.#state[STATE.CLOSED] !== 0),
      keepUnsent,
      command: COMMAND,
      payloadShift: TX_PAYLEN_SHIFT,
      at: STATE,
    };
    this.reclaim = specialise(makeReclaim)(parts);
    this.transmit = specialise(makeTransmit)(parts, this.reclaim);
    pool.addReclaimer(this);
  }

  get pending(): number {
    return this.#state[STATE.TAIL] - this.#state[STATE.CLEAN];
  }

  /** Packets taken from the program. */
  get packets(): number {
    return this.#state[STATE.TAIL];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#state[STATE.BYTES];
  }

  /** Whether anything was sent. */
  get used(): boolean {
    return this.packets !== 0;
  }

  /** Lets go of a ring that is not used yet, for another thread to go on with. */
  transfer(): { ring: Uint32Array; doorbell: Doorbell } {
    this.detach();
    return { ring: this.#ring, doorbell: this.#doorbell };
  }

  /** Lets go of the ring, with the buffers in it. */
  detach(): void {
    this.#state[STATE.CLOSED] = 1;
  }

  /** Gives the buffers of all packets back. Only once the NIC has stopped. */
  close(): void {
    const pool = this.pool, state = this.#state;
    for (; state[STATE.CLEAN] < state[STATE.TAIL]; state[STATE.CLEAN]++) {
      pool.freeStack[pool.freeCount++] = this.#slots[state[STATE.CLEAN] & this.#mask];
    }
    pool.removeReclaimer(this);
    this.detach();
  }
}
