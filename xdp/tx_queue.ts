/**
 * Transmit queues: the hot path from a batch to the kernel.
 *
 * The kernel takes descriptors from the transmit ring, and puts the addresses of their buffers into the
 * completion ring once it no longer needs them. The queue reclaims buffers when it is half full, and when
 * the pool runs out of them.
 *
 * The kernel does not write the transmit ring, whose memory was zeroed: the upper halves of its addresses stay
 * 0.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { TxQueue } from "../src/device.ts";
import { keepUnsent, MIN_PACKET, refuseBatch } from "../src/driver.ts";
import { DeviceError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";
import { specialise } from "../src/specialise.ts";
import { DESC, MAX_CHUNK } from "./abi.ts";
import type { Ring, Rings } from "./rings.ts";
import type { Wakeup } from "./wakeup.ts";

/**
 * Indices into a queue's state: numbers of 32 bits. TAIL: the producer index of the transmit ring. CLEAN: the
 * consumer index of the completion ring. Those between are in use. NEW_PACKETS, NEW_BYTES: sent since `reclaim`
 * ran, at most a ring full.
 */
const TAIL = 0, CLEAN = 1, CLOSED = 2, NEW_PACKETS = 3, NEW_BYTES = 4, STATES = 5;
/** Indices into a queue's totals. RETURNED: packets whose buffers are back in the pool. */
const PACKETS = 0, BYTES = 1, RETURNED = 2, TOTALS = 3;
/** Words of a descriptor. */
const { ADDRESS, LENGTH, OPTIONS, CONTINUES } = DESC;

/**
 * Creates the `transmit` and `reclaim` functions of a queue.
 *
 * @param held Descriptors of each buffer that the kernel has.
 * @param look Wakes the kernel if it asks for that.
 * @param sendRest Sends the rest of a batch after its first packets, as far as possible.
 * @param overrun Returns the error for too many entries in the completion ring.
 * @param malformed Returns the error for its next entry.
 */
const makeTransmit = specialise(
  import.meta.url,
  {
    ...{ ADDRESS, LENGTH, OPTIONS, MAX_CHUNK, MIN_PACKET },
    ...{ TAIL, CLEAN, CLOSED, NEW_PACKETS, NEW_BYTES, PACKETS, BYTES, RETURNED, refuseBatch },
  },
  function transmitter(
    pool: Mempool,
    tx: Ring,
    completion: Ring,
    held: Uint8Array,
    state: Int32Array,
    totals: Float64Array,
    look: () => void,
    sendRest: (batch: PacketBatch, sent: number) => number,
    overrun: (arrived: number) => Error,
    malformed: () => Error,
  ) {
    const { lengths, freeStack, bufferSize, headroom } = pool;
    const { entries: descriptors, mask, producer } = tx, entries = mask + 1, half = entries >> 1;
    const { entries: done, mask: doneMask, producer: doneProducer, consumer } = completion;
    const shift = Math.log2(bufferSize), offsets = bufferSize - 1;
    const chunk = Math.min(bufferSize, MAX_CHUNK), within = chunk - 1, whole = chunk === bufferSize;
    const lengthRange = chunk - headroom - MIN_PACKET; // of packets that one descriptor holds

    // Returns the buffers in the completion ring to the pool.
    const takeBack = (): number => {
      const first = state[CLEAN], arrived = (doneProducer[0] - first) >>> 0;
      if (arrived > ((state[TAIL] - first) >>> 0)) throw overrun(arrived);
      const before = pool.freeCount | 0;
      let n = 0, returned = 0;
      for (; n < arrived; n++) {
        const c = ((first + n) & doneMask) << 1, at = done[c], buffer = at >>> shift;
        // The first piece begins behind the headroom, the others at the start of a chunk.
        const start = whole || (at & offsets) <= within ? headroom : 0, pieces = held[buffer];
        if ((at & within) !== start || done[c + 1] !== 0 || !(pieces > 0)) break;
        held[buffer] = pieces - 1;
        if (pieces !== 1) continue;
        freeStack[(before + returned) | 0] = buffer;
        returned = (returned + 1) | 0;
      }
      pool.freeCount = before + returned;
      totals[RETURNED] += returned;
      totals[PACKETS] += state[NEW_PACKETS];
      totals[BYTES] += state[NEW_BYTES];
      state[NEW_PACKETS] = state[NEW_BYTES] = 0;
      state[CLEAN] = first + n;
      consumer[0] = first + n;
      if (n < arrived) throw malformed();
      return returned;
    };

    const reclaim = (): number => {
      if (state[CLOSED] !== 0) return 0;
      look();
      return takeBack();
    };

    const transmit = (batch: PacketBatch): number => {
      if (batch.pool !== pool || state[CLOSED] !== 0) {
        refuseBatch("transmit", batch, pool, state[CLOSED] !== 0);
      }
      const tail = state[TAIL];
      if (((tail - state[CLEAN]) | 0) >= half) takeBack();
      const { buffers, length } = batch, room = (entries - tail + state[CLEAN]) | 0;
      const count = Math.min(length | 0, room) | 0;
      let n = 0, bytes = 0;
      for (; n < count; n++) {
        const buffer = buffers[n], size = lengths[buffer] | 0; // 0 if the buffer does not exist
        if ((size - MIN_PACKET) >>> 0 > lengthRange) break;
        const d = ((tail + n) & mask) << 2;
        lengths[buffer] = 0;
        held[buffer] = 1;
        descriptors[d + ADDRESS] = (buffer << shift) + headroom;
        descriptors[d + LENGTH] = size;
        if (!whole) descriptors[d + OPTIONS] = 0;
        bytes = (bytes + size) | 0;
      }
      if (n > 0) {
        state[TAIL] = tail + n;
        state[NEW_PACKETS] += n;
        state[NEW_BYTES] += bytes;
        producer[0] = tail + n;
      }
      if (n < length) return sendRest(batch, n);
      batch.length = 0;
      look();
      return n;
    };

    return { transmit, reclaim };
  },
);

/** The sending half of an AF_XDP socket. */
export class XdpTxQueue implements TxQueue {
  declare readonly number: number;
  declare readonly pool: Mempool;
  declare readonly transmit: (batch: PacketBatch) => number;
  declare readonly reclaim: () => number;
  readonly #address: string;
  readonly #tx: Ring;
  readonly #completion: Ring;
  readonly #wakeup: Pick<Wakeup, "lookAtTransmit">;
  /** Descriptors of each buffer that the kernel has: 0 if it does not have the buffer. */
  readonly #with: Uint8Array;
  /** Bytes of a chunk, which a descriptor must not cross: a longer packet takes several. */
  readonly #chunk: number;
  /** Base-2 logarithm of the buffer size. */
  readonly #shift: number;
  readonly #state = new Int32Array(STATES);
  readonly #totals = new Float64Array(TOTALS);

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
    wakeup: Pick<Wakeup, "lookAtTransmit">,
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
    this.#state[TAIL] = tx.producer[0];
    this.#state[CLEAN] = completion.consumer[0];
    const made = makeTransmit(
      pool,
      tx,
      completion,
      this.#with,
      this.#state,
      this.#totals,
      wakeup.lookAtTransmit,
      (batch, sent) => this.#sendRest(batch, sent),
      (arrived) => this.#failed(`${arrived} descriptors, more than the ${this.#used} that it has`),
      () => this.#malformed(),
    );
    this.transmit = made.transmit;
    this.reclaim = made.reclaim;
    pool.addReclaimer(this);
  }

  get pending(): number {
    return this.packets - this.#totals[RETURNED];
  }

  /** Descriptors in use. */
  get #used(): number {
    return (this.#state[TAIL] - this.#state[CLEAN]) | 0;
  }

  /** Packets that the program passed to the queue. */
  get packets(): number {
    return this.#totals[PACKETS] + this.#state[NEW_PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#totals[BYTES] + this.#state[NEW_BYTES];
  }

  /**
   * Sends the rest of a batch whose first packets were put into the ring, as far as that has room: also packets
   * that take several descriptors.
   *
   * @returns The number of packets sent from the whole batch.
   * @throws {Error} if the next packet cannot be sent.
   */
  #sendRest(batch: PacketBatch, sent: number): number {
    const { entries: tx, mask, producer } = this.#tx, held = this.#with, shift = this.#shift;
    const { lengths, maxLength, headroom } = this.pool, { buffers } = batch, chunk = this.#chunk;
    const state = this.#state, first = state[TAIL], room = mask + 1 - this.#used;
    let used = 0, n = sent, bytes = 0, full = false;
    for (; n < batch.length; n++) {
      const buffer = buffers[n], size = lengths[buffer] | 0; // 0 if the buffer does not exist
      if ((size - MIN_PACKET) >>> 0 > maxLength - MIN_PACKET) break;
      const pieces = headroom + size > chunk ? Math.ceil((headroom + size) / chunk) : 1;
      full = used + pieces > room;
      if (full) break;
      lengths[buffer] = 0;
      held[buffer] = pieces;
      let at = (buffer << shift) + headroom, left = size, space = chunk - headroom;
      for (let more = pieces - 1; more >= 0; more--, used++) {
        const d = ((first + used) & mask) << 2;
        tx[d | ADDRESS] = at;
        tx[d | LENGTH] = more > 0 ? space : left;
        tx[d | OPTIONS] = more > 0 ? CONTINUES : 0;
        at += space;
        left -= space;
        space = chunk;
      }
      bytes += size;
    }
    state[TAIL] = first + used;
    this.#totals[PACKETS] += n - sent;
    this.#totals[BYTES] += bytes;
    producer[0] = first + used;
    try {
      if (n < batch.length) keepUnsent(batch, n, !full, maxLength);
      else batch.length = 0;
    } finally {
      this.#wakeup.lookAtTransmit();
    }
    return n;
  }

  /** Returns the error for the next entry of the completion ring. */
  #malformed(): DeviceError {
    const { entries, mask } = this.#completion, c = (this.#state[CLEAN] & mask) << 1;
    const at = entries[c | 1] * 2 ** 32 + entries[c];
    return this.#failed(`address ${at}, at which it has no packet`);
  }

  #failed(problem: string): DeviceError {
    return new DeviceError(
      this.#address,
      `the kernel returns ${problem}, in the completion ring of queue ${this.number}: report this ` +
        "with the versions of the kernel and of the interface's driver",
    );
  }

  /** Whether the kernel has taken all packets; with zero-copy, whether it has sent them. */
  isAtRest(zeroCopy: boolean): boolean {
    this.#wakeup.lookAtTransmit();
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
    this.#state[CLOSED] = 1;
    this.pool.removeReclaimer(this);
    this.#with.fill(0);
  }

  /** Closes the queue and returns all its buffers to the pool. The socket must be closed. */
  close(): void {
    const buffers = [...this.#with.keys()].filter((buffer) => this.#with[buffer] > 0);
    this.#totals[RETURNED] = this.packets;
    this.detach();
    this.pool.takeBack(buffers);
  }
}
