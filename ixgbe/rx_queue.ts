/**
 * A receive queue: the hot path from the NIC to a batch.
 *
 * The ring is four 32-bit words a descriptor. The NIC writes back a descriptor with DD in word 2 last
 * (and x86 keeps the order of loads), so what is read after DD is what the NIC wrote. RDT is written
 * once a batch, and one descriptor always stays with software: a full ring would look empty.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Doorbell } from "../src/bus/bus.ts";
import type { RxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import { RX_DD, RX_EOP, RX_RXE } from "./descriptors.ts";

const STATUS_OF_A_WHOLE_FRAME = RX_DD | RX_EOP;
const STATUS_MASK = RX_DD | RX_EOP | RX_RXE;

/** One receive ring of a device. */
export class IxgbeRxQueue implements RxQueue {
  readonly number: number;
  /** Packets handed to the program. */
  packets = 0;
  /** Bytes of these packets. */
  bytes = 0;
  /** Packets dropped because they did not fit a buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  noBuffer = 0;
  /** Packets dropped because the NIC marked them as damaged. */
  damaged = 0;
  readonly #pool: Mempool;
  #ring: Uint32Array;
  readonly #entries: number;
  /** The buffer that each descriptor has. */
  readonly #slots: Uint32Array;
  readonly #doorbell: Doorbell;
  /** The descriptor that is written back next. */
  #next = 0;
  /** Whether a frame that began in an earlier descriptor is being dropped. */
  #dropping = false;

  /**
   * Fills the ring with buffers.
   *
   * @param ring The descriptors, four words each.
   * @param doorbell RDT.
   */
  constructor(number: number, pool: Mempool, ring: Uint32Array, doorbell: Doorbell) {
    this.number = number;
    this.#pool = pool;
    this.#ring = ring;
    this.#entries = ring.length / 4;
    this.#slots = new Uint32Array(this.#entries);
    this.#doorbell = doorbell;
    for (let i = 0; i < this.#entries; i++) {
      const buffer = pool.allocate(1);
      pool.length[buffer] = 0;
      this.#slots[i] = buffer;
      this.#arm(i, buffer);
    }
  }

  /** Hands all descriptors but one to the NIC. */
  start(): void {
    this.#ringDoorbell(this.#entries - 1);
  }

  receive(batch: PacketBatch): number {
    const pool = this.#pool;
    if (batch.pool !== pool || batch.length !== 0) this.#refuse(batch);
    const ring = this.#ring, slots = this.#slots, entries = this.#entries;
    const { low, high, length, stack, bufferSize } = pool;
    const buffers = batch.buffers, capacity = buffers.length;
    let i = this.#next, last = -1, n = 0, bytes = 0, available = pool.available;
    while (n < capacity) {
      const d = i << 2;
      const status = ring[d + 2];
      if ((status & RX_DD) === 0) break;
      const size = ring[d + 3] & 0xffff;
      if (
        (status & STATUS_MASK) !== STATUS_OF_A_WHOLE_FRAME || this.#dropping || available === 0 ||
        size > bufferSize || size === 0
      ) {
        pool.available = available;
        this.#exception(i, status, size);
        available = pool.available;
        // After an empty pool was refilled, the frame is looked at again.
        if (ring[d + 2] & RX_DD) continue;
      } else {
        const buffer = slots[i], fresh = stack[--available];
        slots[i] = fresh;
        ring[d] = low[fresh];
        ring[d + 1] = high[fresh];
        ring[d + 2] = 0;
        ring[d + 3] = 0;
        length[buffer] = size;
        bytes += size;
        buffers[n++] = buffer;
      }
      last = i;
      if (++i === entries) i = 0;
    }
    if (last >= 0) {
      pool.available = available;
      this.#next = i;
      this.packets += n;
      this.bytes += bytes;
      batch.length = n;
      this.#ringDoorbell(last);
    }
    return n;
  }

  /** What happens rarely: a frame that is dropped, its buffer left where it is; or an empty pool. */
  #exception(i: number, status: number, size: number): void {
    const end = (status & RX_EOP) !== 0;
    if (this.#dropping || !end || size > this.#pool.bufferSize) {
      if (!this.#dropping) this.tooLong++;
      this.#dropping = !end;
    } else if ((status & RX_RXE) !== 0 || size === 0) {
      this.damaged++;
    } else if (this.#pool.reclaim() > 0) {
      return;
    } else {
      this.noBuffer++;
    }
    this.#arm(i, this.#slots[i]);
  }

  /** Writes a descriptor that the NIC can fill. */
  #arm(i: number, buffer: number): void {
    const d = i * 4;
    this.#ring[d] = this.#pool.low[buffer];
    this.#ring[d + 1] = this.#pool.high[buffer];
    this.#ring[d + 2] = 0;
    this.#ring[d + 3] = 0;
  }

  #ringDoorbell(value: number): void {
    const doorbell = this.#doorbell;
    doorbell.words[doorbell.index] = value;
    if (doorbell.ring !== undefined) doorbell.ring(value);
  }

  #refuse(batch: PacketBatch): void {
    if (this.#ring.length === 0) throw new Error("receive on a closed device");
    if (batch.pool !== this.#pool) {
      throw new Error("the batch is of another pool than the device: open both with one pool");
    }
    throw new Error(`the batch holds ${batch.length} packets: send or free them before receiving`);
  }

  /** Gives every buffer of the ring back. Only once the NIC has stopped. */
  close(): void {
    const pool = this.#pool;
    for (const buffer of this.#slots) pool.stack[pool.available++] = buffer;
    this.#ring = new Uint32Array(0);
  }
}
