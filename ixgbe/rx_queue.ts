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
import type { Addressing } from "../src/dma.ts";
import type { Mempool } from "../src/mempool.ts";
import { refuseBatch } from "../src/queue.ts";
import { RX_DD, RX_EOP, RX_RXE, WORDS } from "./descriptors.ts";

const WHOLE_FRAME = RX_DD | RX_EOP;
const STATUS_MASK = RX_DD | RX_EOP | RX_RXE;
const PACKETS = 0, BYTES = 1;

/** One receive ring of a device. */
export class IxgbeRxQueue implements RxQueue {
  readonly number: number;
  /** Packets dropped because they did not fit a buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  noBuffer = 0;
  /** Packets dropped because the NIC marked them as damaged. */
  damaged = 0;
  readonly #pool: Mempool;
  /** The pool's buffers as the device addresses them. */
  readonly #address: Uint32Array;
  #ring: Uint32Array;
  readonly #mask: number;
  /** The buffer that each descriptor has. */
  readonly #slots: Uint32Array;
  readonly #doorbell: Doorbell;
  /** The descriptor that is written back next. */
  #next = 0;
  /** RXE while a frame that began in an earlier descriptor is being dropped, else 0. */
  #dropping = 0;
  /** Whether `receive` is called to go on after an exception. */
  #recovering = false;
  /** As a typed array: a field would change its representation, and the code that uses it, at 2^31. */
  readonly #counts = new Float64Array(2);

  /**
   * Fills the ring with buffers.
   *
   * @param addressing What bus addresses the device uses.
   * @param ring The descriptors, four words each; a power of two of them.
   * @param doorbell RDT.
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
    this.#mask = ring.length / WORDS - 1;
    this.#slots = new Uint32Array(ring.length / WORDS);
    this.#doorbell = doorbell;
    for (let i = 0; i < this.#slots.length; i++) {
      const buffer = pool.allocate(1);
      pool.length[buffer] = 0;
      this.#slots[i] = buffer;
      this.#arm(i, buffer);
    }
  }

  /** Packets handed to the program. */
  get packets(): number {
    return this.#counts[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#counts[BYTES];
  }

  /** Hands all descriptors but one to the NIC. */
  start(): void {
    this.#ringDoorbell(this.#mask);
  }

  receive(batch: PacketBatch): number {
    const pool = this.#pool, ring = this.#ring;
    if (batch.pool !== pool || batch.length !== 0 || ring.length === 0) {
      refuseBatch("receive", batch, pool, ring.length === 0);
    }
    const slots = this.#slots, mask = this.#mask, dropping = this.#dropping;
    const address = this.#address, { length, stack, bufferSize } = pool;
    const buffers = batch.buffers, capacity = buffers.length;
    const first = this.#next;
    let i = first, n = 0, bytes = 0, available = pool.available;
    // No call is in the loop: then the compiler keeps the arrays' addresses in registers.
    for (; n < capacity; n++) {
      const d = i << 2;
      if (((ring[d | 2] | dropping) & STATUS_MASK) !== WHOLE_FRAME) break;
      const size = ring[d | 3] & 0xffff;
      if (available === 0 || (size - 1) >>> 0 >= bufferSize) break;
      const buffer = slots[i], fresh = stack[--available];
      slots[i] = fresh;
      ring[d] = address[fresh << 1];
      ring[d | 1] = address[fresh << 1 | 1];
      ring[d | 2] = 0;
      length[buffer] = size;
      bytes = (bytes + size) | 0;
      buffers[n] = buffer;
      i = (i + 1) & mask;
    }
    if (n > 0) {
      pool.available = available;
      this.#next = i;
      this.#counts[PACKETS] += n;
      this.#counts[BYTES] += bytes;
      batch.length = n;
      this.#ringDoorbell((i - 1) & mask);
    } else if ((ring[i << 2 | 2] & RX_DD) !== 0 && !this.#recovering) {
      return this.#recover(batch);
    }
    return n;
  }

  /**
   * Goes past descriptors that hold no whole frame, or for which the pool has no buffer, and receives
   * what follows. One ring at most: the NIC may bring more of them for as long as it is let.
   */
  #recover(batch: PacketBatch): number {
    this.#recovering = true;
    let n = 0;
    for (let i = 0; i <= this.#mask && n === 0; i++) {
      if ((this.#ring[this.#next << 2 | 2] & RX_DD) === 0) break;
      this.#exception(this.#next);
      n = this.receive(batch);
    }
    this.#recovering = false;
    return n;
  }

  /** What happens rarely: a frame that is dropped, its buffer left where it is; or an empty pool. */
  #exception(i: number): void {
    const status = this.#ring[i * 4 + 2], size = this.#ring[i * 4 + 3] & 0xffff;
    const end = (status & RX_EOP) !== 0;
    if (this.#dropping !== 0 || !end || size > this.#pool.bufferSize) {
      if (this.#dropping === 0) this.tooLong++;
      this.#dropping = end ? 0 : RX_RXE;
    } else if ((status & RX_RXE) !== 0 || size === 0) {
      this.damaged++;
    } else if (this.#pool.available > 0 || this.#pool.reclaim() > 0) {
      return; // the frame is whole after all, and there is a buffer again
    } else {
      this.noBuffer++;
    }
    this.#arm(i, this.#slots[i]);
    this.#next = (i + 1) & this.#mask;
    this.#ringDoorbell(i);
  }

  /** Writes a descriptor that the NIC can fill. */
  #arm(i: number, buffer: number): void {
    const d = i * 4;
    this.#ring[d] = this.#address[2 * buffer];
    this.#ring[d + 1] = this.#address[2 * buffer + 1];
    this.#ring[d + 2] = 0;
    this.#ring[d + 3] = 0;
  }

  #ringDoorbell(value: number): void {
    const doorbell = this.#doorbell;
    doorbell.words[doorbell.index] = value;
    if (doorbell.ring !== undefined) doorbell.ring(value);
  }

  /** Gives every buffer of the ring back. Only once the NIC has stopped. */
  close(): void {
    const pool = this.#pool;
    for (const buffer of this.#slots) pool.stack[pool.available++] = buffer;
    this.#ring = new Uint32Array(0);
  }
}
