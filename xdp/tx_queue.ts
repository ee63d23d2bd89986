/**
 * Transmit queues: the hot path from a batch to the kernel.
 *
 * The kernel takes descriptors from the transmit ring, and puts the addresses of their buffers into the
 * completion ring once it no longer needs them. The queue reclaims buffers when it is half full, and when
 * the pool runs out of them.
 *
 * Methods are shared by all queues, as those of `rx_queue.ts` are.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { TxQueue } from "../src/device.ts";
import { keepUnsent, MIN_PACKET, refuseBatch } from "../src/driver.ts";
import { DeviceError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";
import { DESC, MAX_CHUNK } from "./abi.ts";
import type { Ring, Rings } from "./rings.ts";
import type { Wakeup } from "./wakeup.ts";

const PACKETS = 0, BYTES = 1, RETURNED = 2;

/** The sending half of an AF_XDP socket. */
export class XdpTxQueue implements TxQueue {
  readonly number: number;
  readonly pool: Mempool;
  readonly #address: string;
  readonly #tx: Ring;
  readonly #completion: Ring;
  readonly #wakeup: Pick<Wakeup, "look">;
  /** Descriptors of each buffer that the kernel has: 0 if it does not have the buffer. */
  readonly #with: Uint8Array;
  /** Bytes of a chunk, which a descriptor must not cross: a longer packet takes several. */
  readonly #chunk: number;
  /** Base-2 logarithm of the buffer size. */
  readonly #shift: number;
  /** Descriptors in use from which `transmit` reclaims. */
  readonly #reclaimFrom: number;
  /** The producer index of the transmit ring, and the consumer index of the completion ring. */
  readonly #indices: Uint32Array;
  readonly #counts = new Float64Array(3);
  #closed = false;

  /**
   * Creates a queue with empty rings.
   *
   * @param address The device's address, for messages.
   */
  constructor(
    address: string,
    number: number,
    pool: Mempool,
    { tx, completion }: Rings,
    wakeup: Pick<Wakeup, "look">,
  ) {
    this.#address = address;
    this.number = number;
    this.pool = pool;
    this.#tx = tx;
    this.#completion = completion;
    this.#wakeup = wakeup;
    this.#with = new Uint8Array(pool.buffers);
    this.#shift = Math.log2(pool.bufferSize);
    this.#chunk = Math.min(pool.bufferSize, MAX_CHUNK);
    this.#reclaimFrom = (tx.mask + 1) >> 1;
    this.#indices = Uint32Array.of(tx.producer[0], completion.consumer[0]);
    pool.addReclaimer(this);
  }

  get pending(): number {
    return this.#counts[PACKETS] - this.#counts[RETURNED];
  }

  /** Descriptors in use. */
  get #used(): number {
    return (this.#indices[0] - this.#indices[1]) >>> 0;
  }

  /** Packets that the program passed to the queue. */
  get packets(): number {
    return this.#counts[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#counts[BYTES];
  }

  transmit(batch: PacketBatch): number {
    const pool = this.pool, indices = this.#indices;
    if (batch.pool !== pool || this.#closed) refuseBatch("transmit", batch, pool, this.#closed);
    if (this.#used >= this.#reclaimFrom) this.reclaim();
    const { entries: tx, mask, producer } = this.#tx, held = this.#with, shift = this.#shift;
    const { lengths, maxLength, headroom } = pool, { buffers } = batch, chunk = this.#chunk;
    const first = indices[0], end = first + mask + 1 - this.#used;
    let next = first, n = 0, bytes = 0, full = false;
    for (; n < batch.length; n++) {
      const buffer = buffers[n], size = lengths[buffer] | 0; // 0 if the buffer does not exist
      if ((size - MIN_PACKET) >>> 0 > maxLength - MIN_PACKET) break;
      const pieces = headroom + size > chunk ? Math.ceil((headroom + size) / chunk) : 1;
      full = next + pieces > end;
      if (full) break;
      lengths[buffer] = 0;
      held[buffer] = pieces;
      let at = (buffer << shift) + headroom, left = size, room = chunk - headroom;
      for (let more = pieces - 1; more >= 0; more--, next++) {
        const d = (next & mask) << 2;
        tx[d] = at;
        tx[d | DESC.ADDRESS_HIGH] = 0;
        tx[d | DESC.LENGTH] = more > 0 ? room : left;
        tx[d | DESC.OPTIONS] = more > 0 ? DESC.CONTINUES : 0;
        at += room;
        left -= room;
        room = chunk;
      }
      bytes = (bytes + size) | 0;
    }
    if (n > 0) {
      indices[0] = next;
      this.#counts[PACKETS] += n;
      this.#counts[BYTES] += bytes;
      producer[0] = indices[0];
    }
    try {
      if (n < batch.length) keepUnsent(batch, n, !full, maxLength);
      else batch.length = 0;
    } finally {
      this.#wakeup.look();
    }
    return n;
  }

  reclaim(): number {
    if (this.#closed) return 0;
    this.#wakeup.look();
    const pool = this.pool, indices = this.#indices, held = this.#with, shift = this.#shift;
    const { entries, mask, producer, consumer } = this.#completion, { freeStack } = pool;
    const first = indices[1], arrived = (producer[0] - first) >>> 0;
    const { headroom } = pool, within = this.#chunk - 1, offsets = pool.bufferSize - 1;
    if (arrived > this.#used) {
      throw this.#malformed(`${arrived} descriptors, more than the ${this.#used} that it has`);
    }
    const before = pool.freeCount;
    let free = before, n = 0;
    for (; n < arrived; n++) {
      const c = ((first + n) & mask) << 1, at = entries[c], buffer = at >>> shift;
      // The first piece begins behind the headroom, the others at the start of a chunk.
      const start = (at & offsets) <= within ? headroom : 0;
      if ((at & within) !== start || entries[c | 1] !== 0 || !(held[buffer] > 0)) break;
      held[buffer]--;
      if (held[buffer] === 0) freeStack[free++] = buffer;
    }
    pool.freeCount = free;
    this.#counts[RETURNED] += free - before;
    consumer[0] = indices[1] = first + n;
    if (n < arrived) {
      const c = (indices[1] & mask) << 1, at = entries[c | 1] * 2 ** 32 + entries[c];
      throw this.#malformed(`address ${at}, at which it has no packet`);
    }
    return free - before;
  }

  #malformed(problem: string): DeviceError {
    return new DeviceError(
      this.#address,
      `the kernel returns ${problem}, in the completion ring of queue ${this.number}: report this ` +
        "with the versions of the kernel and of the interface's driver",
    );
  }

  /** Whether the kernel has taken all packets; with zero-copy, whether it has sent them. */
  isAtRest(zeroCopy: boolean): boolean {
    this.#wakeup.look();
    const { producer, consumer } = this.#tx;
    if (producer[0] !== consumer[0]) return false;
    return !zeroCopy || this.#completion.producer[0] === producer[0];
  }

  /** Whether the queue has sent any packet. */
  get used(): boolean {
    return this.packets !== 0;
  }

  /** Detaches from the rings without freeing the buffers in them. The queue is closed from then on. */
  detach(): void {
    this.#closed = true;
    this.pool.removeReclaimer(this);
    this.#with.fill(0);
  }

  /** Closes the queue and returns all its buffers to the pool. The socket must be closed. */
  close(): void {
    const buffers = [...this.#with.keys()].filter((buffer) => this.#with[buffer] > 0);
    this.#counts[RETURNED] = this.packets;
    this.detach();
    this.pool.takeBack(buffers);
  }
}
