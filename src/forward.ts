/**
 * The forwarder: packets from one device to the other, both ways.
 *
 * @module
 */

import { PacketBatch } from "./batch.ts";
import type { Device, RxQueue, TxQueue } from "./device.ts";

/** Byte of a packet that is incremented: in the destination address, as the whole family does. */
const TOUCHED = 1;

/** One way between two devices. */
export class Direction {
  readonly #rx: RxQueue;
  readonly #tx: TxQueue;
  readonly #batch: PacketBatch;
  readonly #touch: boolean;
  // A typed array: a field would change its representation, and the code that uses it, at 2^31.
  readonly #dropped = new Float64Array(1);

  /**
   * @param batch The most packets to receive at once, 1 to 256.
   * @param touch Whether to increment a byte of each packet, so that it really enters the cache.
   */
  constructor(from: Device, to: Device, batch: number, touch: boolean) {
    this.#rx = from.rxQueues[0];
    this.#tx = to.txQueues[0];
    this.#batch = new PacketBatch(from.pool, batch);
    this.#touch = touch;
  }

  /** Packets that the transmit ring had no room for. */
  get dropped(): number {
    return this.#dropped[0];
  }

  /** Forwards what has arrived, at most a batch; returns the packets received. */
  forward(): number {
    const batch = this.#batch;
    const n = this.#rx.receive(batch);
    if (n === 0) return 0;
    if (this.#touch) {
      const { buffers, pool: { bytes, bufferSize } } = batch;
      for (let i = 0; i < n; i++) bytes[Math.imul(buffers[i], bufferSize) | TOUCHED]++;
    }
    if (this.#tx.transmit(batch) < n) this.#dropped[0] += batch.free();
    return n;
  }
}

/**
 * Forwards both ways for a number of rounds. A function of its own, so that the compiler optimizes the
 * loop as a whole, which it does less well in a long function that also awaits.
 */
export function forwardRounds(there: Direction, back: Direction, rounds: number): void {
  for (let i = 0; i < rounds; i++) {
    there.forward();
    back.forward();
  }
}
