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
 * Methods are shared by all queues, not specialised, because the kernel takes ten times as long for a frame
 * as this code. Each call copies the queue's fields into local constants before its loop;
 * `src/specialise.ts` has the reasons, also for the typed array of counts.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Interrupt, RxQueue } from "../src/device.ts";
import { refuseBatch } from "../src/driver.ts";
import type { Mempool } from "../src/mempool.ts";
import { DESC, HEADROOM, MAX_CHUNK } from "./abi.ts";
import { type Frame, ReceivedFrames } from "./received_frames.ts";
import type { Ring, Rings } from "./rings.ts";
import type { Wakeup } from "./wakeup.ts";

const PACKETS = 0, BYTES = 1;
/** From this size in bytes, `copyWithin` moves a packet faster than a loop. */
const LONG = 128;

/** The receiving half of an AF_XDP socket. */
export class XdpRxQueue implements RxQueue {
  readonly number: number;
  readonly pool: Mempool;
  /** Its interrupt; undefined if the device was opened without `interrupts`. */
  interrupt: Interrupt | undefined;
  /** Packets dropped because they did not fit a buffer. */
  tooLong = 0;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  noBuffer = 0;
  readonly #rx: Ring;
  readonly #fill: Ring;
  readonly #wakeup: Pick<Wakeup, "look">;
  /** Most buffers with the kernel: those that it has while `receive` is not running. */
  readonly #posted: number;
  /** Whether the kernel has a buffer, by its number. */
  readonly #with: Uint8Array;
  /** The checked view of the receive ring, for what the fast path leaves to it. */
  readonly #frames: ReceivedFrames;
  /** Whether packets begin where the kernel writes frames. */
  readonly #inPlace: boolean;
  /** The pool's memory, for moving packets. */
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  /** Base-2 logarithm of the buffer size. */
  readonly #shift: number;
  /** The consumer index of the receive ring, and the producer index of the fill ring. */
  readonly #indices: Uint32Array;
  readonly #counts = new Float64Array(2);
  #closed = false;

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
    this.#wakeup = wakeup;
    this.#posted = rx.mask + 1;
    this.#with = new Uint8Array(pool.buffers);
    this.#frames = new ReceivedFrames(address, number, pool, rx, this.#with);
    this.#inPlace = pool.headroom === HEADROOM;
    this.#words = new Uint32Array(pool.memory.buffer);
    this.#bytes = new Uint8Array(pool.memory.buffer);
    this.#shift = Math.log2(pool.bufferSize);
    this.#indices = Uint32Array.of(rx.consumer[0], fill.producer[0]);
    if (held === undefined) { for (let i = 0; i < this.#posted; i++) this.#post(this.#take()); }
    else for (const buffer of held) this.#with[buffer] = 1;
  }

  #take(): number {
    const buffer = this.pool.allocate(1);
    this.pool.lengths[buffer] = 0; // the kernel owns it
    return buffer;
  }

  /** Puts a buffer into the fill ring. */
  #post(buffer: number): void {
    const { entries, mask, producer } = this.#fill, f = (this.#indices[1] & mask) << 1;
    entries[f] = buffer << this.#shift;
    entries[f | 1] = 0;
    this.#with[buffer] = 1;
    producer[0] = ++this.#indices[1];
  }

  /** Packets that the program received. */
  get packets(): number {
    return this.#counts[PACKETS];
  }

  /** Bytes of these packets. */
  get bytes(): number {
    return this.#counts[BYTES];
  }

  receive(batch: PacketBatch): number {
    const pool = this.pool, indices = this.#indices;
    if (batch.pool !== pool || batch.length !== 0 || this.#closed) {
      refuseBatch("receive", batch, pool, this.#closed);
    }
    const { entries: rx, mask: rxMask, producer, consumer } = this.#rx;
    const first = indices[0], arrived = (producer[0] - first) >>> 0;
    if (arrived === 0) {
      this.#wakeup.look();
      return 0;
    }
    if (arrived > this.#posted) throw this.#frames.overrun(arrived);
    const { entries: fill, mask: fillMask } = this.#fill, held = this.#with, shift = this.#shift;
    const { lengths, freeStack, bufferSize } = pool, { buffers } = batch;
    const chunk = Math.min(bufferSize, MAX_CHUNK), room = chunk - HEADROOM;
    const offsets = bufferSize - 1, count = Math.min(arrived, buffers.length, pool.freeCount);
    let tail = indices[1], free = pool.freeCount, n = 0, bytes = 0;
    // Stops at a descriptor that is not as expected, which `#recover` handles.
    for (; n < count; n++) {
      const d = ((first + n) & rxMask) << 2, at = rx[d], size = rx[d | DESC.LENGTH] | 0;
      const buffer = at >>> shift;
      if ((at & offsets) !== HEADROOM || (size - 1) >>> 0 >= room || held[buffer] !== 1) break;
      if ((rx[d | DESC.ADDRESS_HIGH] | rx[d | DESC.OPTIONS]) !== 0) break;
      const fresh = freeStack[--free], f = (tail & fillMask) << 1;
      fill[f] = fresh << shift;
      fill[f | 1] = 0;
      tail = (tail + 1) | 0;
      held[buffer] = 0;
      held[fresh] = 1;
      lengths[buffer] = size;
      bytes = (bytes + size) | 0;
      buffers[n] = buffer;
    }
    if (n === 0) return this.#recover(batch);
    pool.freeCount = free;
    indices[0] = first + n;
    indices[1] = tail;
    this.#counts[PACKETS] += n;
    this.#counts[BYTES] += bytes;
    batch.length = n;
    if (!this.#inPlace) this.#strip(buffers, n);
    this.#fill.producer[0] = tail;
    consumer[0] = indices[0];
    this.#wakeup.look();
    return n;
  }

  /** Moves packets to the start of their buffers. */
  #strip(buffers: Uint32Array, n: number): void {
    const { lengths, bufferSize } = this.pool, words = this.#words, stride = bufferSize >> 2;
    for (let i = 0; i < n; i++) {
      const buffer = buffers[i], size = lengths[buffer];
      let w = Math.imul(buffer, stride);
      if (size < LONG) {
        const end = w + ((size + 3) >> 2);
        for (; w < end; w++) words[w] = words[w + (HEADROOM >> 2)];
      } else {
        this.#bytes.copyWithin(w << 2, (w << 2) + HEADROOM, (w << 2) + HEADROOM + size);
      }
    }
  }

  /**
   * Handles what the fast path does not: frames in several buffers, frames that begin elsewhere because the
   * NIC writes a time stamp before them, and frames for which the pool has no free buffer. Receives the
   * packets that follow too.
   *
   * @throws {DeviceError} if a descriptor is malformed.
   */
  #recover(batch: PacketBatch): number {
    const { pool } = this, counts = this.#counts;
    for (let dropped = 0; dropped < this.#posted && batch.length < batch.capacity;) {
      const frame = this.#frames.at(this.#indices[0]);
      if (frame === undefined) break;
      const [buffer, ...others] = frame.buffers;
      if (frame.size > pool.maxLength) this.tooLong++;
      else if (pool.freeCount > 0 || pool.reclaim() > 0) {
        this.#gather(frame);
        this.#post(this.#take());
        pool.lengths[buffer] = frame.size;
        batch.buffers[batch.length++] = buffer;
        counts[PACKETS]++;
        counts[BYTES] += frame.size;
        this.#consume(frame, others);
        continue;
      } else this.noBuffer++;
      this.#consume(frame, frame.buffers);
      dropped++;
    }
    this.#wakeup.look();
    return batch.length;
  }

  /** Takes a frame's descriptors out of the receive ring, and returns buffers to the fill ring. */
  #consume({ buffers }: Frame, again: readonly number[]): void {
    for (const buffer of buffers) this.#with[buffer] = 0;
    for (const buffer of again) this.#post(buffer);
    this.#rx.consumer[0] = this.#indices[0] += buffers.length;
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
    this.#closed = true;
    this.#with.fill(0);
  }

  /** Closes the queue and returns all its buffers to the pool. The socket must be closed. */
  close(): void {
    const buffers = this.transfer();
    this.pool.takeBack([...buffers]);
  }
}
