/**
 * Receive queues: the hot path from the kernel to a batch.
 *
 * The kernel takes a free buffer from the fill ring, copies a frame into it (or lets the NIC write it,
 * with zero-copy), and puts a descriptor into the receive ring. The queue replaces each buffer that it
 * takes from there with a free one of the pool, in the fill ring. So the number of buffers with the kernel
 * is constant.
 *
 * The kernel leaves 256 bytes free before a frame. If the pool has as much headroom, that is where a packet
 * begins; without headroom, the packet is moved to the start of its buffer. A chunk of the kernel has at most
 * 4096 bytes: with larger buffers, it spreads a long frame over several, and the queue gathers the pieces in
 * the first one.
 *
 * The kernel does not write the fill ring, whose memory was zeroed: the upper halves of its addresses stay 0.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Interrupt, RxQueue } from "../src/device.ts";
import { refuseBatch } from "../src/driver.ts";
import type { Mempool } from "../src/mempool.ts";
import { specialise } from "../src/specialise.ts";
import { DESC, HEADROOM, MAX_CHUNK } from "./abi.ts";
import { type Frame, ReceivedFrames } from "./received_frames.ts";
import type { Ring, Rings } from "./rings.ts";
import type { Wakeup } from "./wakeup.ts";

/**
 * Indices into a queue's state: numbers of 32 bits. NEXT: the consumer index of the receive ring. The producer
 * index of the fill ring is ahead of it by the size of the rings, so a buffer that is taken from an entry of the
 * one is replaced in the same entry of the other. NEW_PACKETS, NEW_BYTES: received since they were last added to
 * the totals.
 */
const NEXT = 0, CLOSED = 1, NEW_PACKETS = 2, NEW_BYTES = 3, STATES = 4;
/** Indices into a queue's totals. */
const PACKETS = 0, BYTES = 1, TOTALS = 2;
/** From this many new bytes on, they are added to the totals: twice as many would be no 32-bit number. */
const MANY = 2 ** 30;
/** Words of a descriptor. */
const { ADDRESS, ADDRESS_HIGH, LENGTH, OPTIONS } = DESC;
/** From this size in bytes, `copyWithin` moves a packet faster than a loop. */
const LONG = 128;

/**
 * Creates the `receive` function of a queue.
 *
 * @param held 1 for each buffer that the kernel has.
 * @param look Wakes the kernel if it asks for that: for buffers that the call before put into the fill ring.
 * @param addUp Adds what is new to the totals.
 * @param slowPath Handles what this function does not.
 */
const makeReceive = specialise(
  import.meta.url,
  {
    ...{ ADDRESS, ADDRESS_HIGH, LENGTH, OPTIONS, HEADROOM, MAX_CHUNK, LONG },
    ...{ NEXT, CLOSED, NEW_PACKETS, NEW_BYTES, MANY },
  },
  function receiver(
    pool: Mempool,
    rx: Ring,
    fill: Ring,
    held: Uint8Array,
    state: Int32Array,
    look: () => void,
    addUp: () => void,
    slowPath: (batch: PacketBatch) => number,
  ) {
    const { lengths, freeStack, bufferSize } = pool;
    const { entries: descriptors, mask, producer, consumer } = rx, entries = mask + 1;
    const { entries: addresses, producer: fillProducer } = fill;
    const shift = Math.log2(bufferSize), offsets = bufferSize - 1;
    const room = Math.min(bufferSize, MAX_CHUNK) - HEADROOM, inPlace = pool.headroom === HEADROOM;
    const words = new Uint32Array(pool.memory.buffer), bytes = new Uint8Array(words.buffer);

    // Moves packets to the start of their buffers.
    const strip = (buffers: Uint32Array, n: number): void => {
      for (let i = 0; i < n; i++) {
        const buffer = buffers[i], size = lengths[buffer], start = buffer << shift;
        if (size < LONG) {
          const end = (start + size + 3) >>> 2;
          for (let w = start >>> 2; w < end; w++) words[w] = words[w + (HEADROOM >> 2)];
        } else {
          bytes.copyWithin(start, start + HEADROOM, start + HEADROOM + size);
        }
      }
    };

    return function receive(batch: PacketBatch): number {
      if (batch.pool !== pool || batch.length !== 0 || state[CLOSED] !== 0) return slowPath(batch);
      const first = state[NEXT], arrived = (producer[0] - first) >>> 0;
      look(); // now: both lines come from the kernel's core at the same time
      let n = 0;
      if (arrived !== 0) {
        if (arrived > entries) return slowPath(batch);
        const { buffers } = batch, free = pool.freeCount | 0;
        const count = Math.min(arrived, Math.min(buffers.length | 0, free)) | 0;
        let size = 0;
        // Stops at a descriptor that is not as expected, which the slow path handles.
        for (; n < count; n++) {
          const d = ((first + n) & mask) << 2, at = descriptors[d + ADDRESS];
          const length = descriptors[d + LENGTH] | 0, buffer = at >>> shift;
          if ((at & offsets) !== HEADROOM || (length - 1) >>> 0 >= room || held[buffer] !== 1) {
            break;
          }
          if ((descriptors[d + ADDRESS_HIGH] | descriptors[d + OPTIONS]) !== 0) break;
          held[buffer] = 0;
          lengths[buffer] = length;
          size = (size + length) | 0;
          buffers[n] = buffer;
        }
        if (n === 0) return slowPath(batch);
        // In a loop of its own: lines that the kernel's core has read are fetched all at once.
        for (let i = 0; i < n; i++) {
          const fresh = freeStack[(free - 1 - i) | 0];
          addresses[((first + i) & mask) << 1] = fresh << shift;
          held[fresh] = 1;
        }
        pool.freeCount = free - n;
        state[NEXT] = first + n;
        state[NEW_PACKETS] += n;
        state[NEW_BYTES] += size;
        if (state[NEW_BYTES] >= MANY) addUp();
        batch.length = n;
        if (!inPlace) strip(buffers, n);
        fillProducer[0] = first + n + entries;
        consumer[0] = first + n;
      }
      return n;
    };
  },
);

/** The receiving half of an AF_XDP socket. */
export class XdpRxQueue implements RxQueue {
  declare readonly number: number;
  declare readonly pool: Mempool;
  declare readonly receive: (batch: PacketBatch) => number;
  /** Its interrupt; undefined if the device was opened without `interrupts`. */
  interrupt: Interrupt | undefined;
  /** Packets dropped because they did not fit a buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  noBuffer = 0;
  readonly #rx: Ring;
  readonly #fill: Ring;
  /** Most buffers with the kernel: those that it has while `receive` is not running. */
  readonly #posted: number;
  /** Whether the kernel has a buffer, by its number. */
  readonly #with: Uint8Array;
  /** The checked view of the receive ring, for what the fast path leaves to it. */
  readonly #frames: ReceivedFrames;
  /** The pool's memory, for gathering packets. */
  readonly #bytes: Uint8Array;
  readonly #state = new Int32Array(STATES);
  readonly #totals = new Float64Array(TOTALS);

  /**
   * Creates a queue.
   *
   * @param pool Without headroom, or with 256 bytes.
   * @param address The device's address, for messages.
   * @param held Buffers that the kernel has, if another thread has filled the ring (default: fills the
   * fill ring with buffers of the pool).
   */
  constructor(
    address: string,
    number: number,
    pool: Mempool,
    { rx, fill }: Rings,
    wakeup: Pick<Wakeup, "look">,
    held?: Uint32Array,
  ) {
    this.number = number;
    this.pool = pool;
    this.#rx = rx;
    this.#fill = fill;
    this.#posted = rx.mask + 1;
    this.#with = new Uint8Array(pool.buffers);
    this.#frames = new ReceivedFrames(address, number, pool, rx, this.#with);
    this.#bytes = new Uint8Array(pool.memory.buffer);
    this.#state[NEXT] = rx.consumer[0];
    if (held === undefined) { for (let i = 0; i < this.#posted; i++) this.#post(this.#take()); }
    else for (const buffer of held) this.#with[buffer] = 1;
    this.receive = makeReceive(
      pool,
      rx,
      fill,
      this.#with,
      this.#state,
      wakeup.look,
      () => this.#addUp(),
      (batch) => this.#slowPath(batch),
    );
  }

  #take(): number {
    const buffer = this.pool.allocate(1);
    this.pool.lengths[buffer] = 0; // the kernel owns it
    return buffer;
  }

  /** Puts a buffer into the fill ring. */
  #post(buffer: number): void {
    const { entries, mask, producer } = this.#fill;
    entries[(producer[0] & mask) << 1] = buffer * this.pool.bufferSize;
    this.#with[buffer] = 1;
    producer[0]++;
  }

  #addUp(): void {
    const state = this.#state, totals = this.#totals;
    totals[PACKETS] += state[NEW_PACKETS];
    totals[BYTES] += state[NEW_BYTES];
    state[NEW_PACKETS] = state[NEW_BYTES] = 0;
  }

  /** Packets that the program received. */
  get packets(): number {
    return this.#totals[PACKETS] + this.#state[NEW_PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#totals[BYTES] + this.#state[NEW_BYTES];
  }

  /**
   * Handles what the fast path does not: frames in several buffers, frames that begin elsewhere because the
   * NIC writes a time stamp before them, and frames for which the pool has no free buffer. Receives the
   * packets that follow too. Refuses a batch that cannot be received into.
   *
   * @throws {DeviceError} if the kernel returns more frames than it has buffers, or a malformed descriptor.
   */
  #slowPath(batch: PacketBatch): number {
    const { pool } = this, totals = this.#totals, state = this.#state;
    const closed = state[CLOSED] !== 0;
    if (closed || batch.pool !== pool || batch.length !== 0) {
      refuseBatch("receive", batch, pool, closed);
    }
    const arrived = (this.#rx.producer[0] - state[NEXT]) >>> 0;
    if (arrived > this.#posted) throw this.#frames.overrun(arrived);
    for (let dropped = 0; dropped < this.#posted && batch.length < batch.capacity;) {
      const frame = this.#frames.at(state[NEXT]);
      if (frame === undefined) break;
      const [buffer, ...others] = frame.buffers;
      if (frame.size > pool.maxLength) this.tooLong++;
      else if (pool.freeCount > 0 || pool.reclaim() > 0) {
        this.#gather(frame);
        this.#post(this.#take());
        pool.lengths[buffer] = frame.size;
        batch.buffers[batch.length++] = buffer;
        totals[PACKETS]++;
        totals[BYTES] += frame.size;
        this.#consume(frame, others);
        continue;
      } else this.noBuffer++;
      this.#consume(frame, frame.buffers);
      dropped++;
    }
    return batch.length;
  }

  /** Takes a frame's descriptors out of the receive ring, and returns buffers to the fill ring. */
  #consume({ buffers }: Frame, again: readonly number[]): void {
    for (const buffer of buffers) this.#with[buffer] = 0;
    for (const buffer of again) this.#post(buffer);
    this.#rx.consumer[0] = this.#state[NEXT] += buffers.length;
  }

  /** Copies the pieces of a frame to where the packet of its first buffer begins. */
  #gather({ buffers, starts, sizes }: Frame): void {
    const { bufferSize, headroom } = this.pool;
    let end = buffers[0] * bufferSize + headroom;
    starts.forEach((start, i) => {
      this.#bytes.copyWithin(end, start, start + sizes[i]);
      end += sizes[i];
    });
  }

  /** Whether the queue has received or dropped any packet. */
  get used(): boolean {
    return this.packets + this.noBuffer + this.tooLong !== 0;
  }

  /** Detaches from the unused rings, for another thread to adopt; returns the buffers in them. */
  transfer(): Uint32Array {
    const held = Uint32Array.from(this.#with.keys()).filter((buffer) => this.#with[buffer] === 1);
    this.detach();
    return held;
  }

  /** Detaches from the rings without freeing the buffers in them. The queue is closed from then on. */
  detach(): void {
    this.#state[CLOSED] = 1;
    this.#with.fill(0);
  }

  /** Closes the queue and returns all its buffers to the pool. The socket must be closed. */
  close(): void {
    const buffers = this.transfer();
    this.pool.takeBack([...buffers]);
  }
}
