/**
 * The forwarder: packets from one device to the other, both ways.
 *
 * @module
 */

import { PacketBatch } from "../src/batch.ts";
import type { RxQueue, TxQueue } from "../src/device.ts";
import { specialise } from "../src/specialise.ts";

/** Byte of a packet that is incremented: in the destination address, as the whole family does. */
const TOUCHED = 1, NOT_TOUCHED = -1;

/** Makes {@linkcode Direction.forward}; see `specialise` for what it must not do. */
function makeForward(
  rx: RxQueue,
  tx: TxQueue,
  batch: PacketBatch,
  dropped: Float64Array,
  touched: number,
): () => number {
  const { buffers, pool: { bytes, bufferSize } } = batch;
  return function forward(): number {
    const n = rx.receive(batch);
    if (n === 0) return 0;
    if (touched >= 0) {
      for (let i = 0; i < n; i++) bytes[Math.imul(buffers[i], bufferSize) | touched]++;
    }
    if (tx.transmit(batch) < n) dropped[0] += batch.free();
    return n;
  };
}

/** One way between a queue of one device and a queue of the other. */
export class Direction {
  /** Forwards what has arrived, at most a batch; returns the packets received. */
  readonly forward: () => number;
  // A typed array: a field would change its representation, and the code that uses it, at 2^31.
  readonly #dropped = new Float64Array(1);

  /**
   * @param from The receive queue.
   * @param to The transmit queue, of the same pool.
   * @param batch The most packets to receive at once, 1 to 256.
   * @param touch Whether to increment a byte of each packet, so that it really enters the cache.
   */
  constructor(from: RxQueue, to: TxQueue, batch: number, touch: boolean) {
    const packets = new PacketBatch(from.pool, batch);
    this.forward = specialise(makeForward)(
      from,
      to,
      packets,
      this.#dropped,
      touch ? TOUCHED : NOT_TOUCHED,
    );
  }

  /** Packets that the transmit ring had no room for. */
  get dropped(): number {
    return this.#dropped[0];
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

/** Both ways between the queues of one number. */
export interface BothWays {
  /** From the first device to the second. */
  readonly there: Direction;
  /** From the second device to the first. */
  readonly back: Direction;
}

/** Forwards between the queues of several numbers, which take turns. */
export function forwardAll(ways: readonly BothWays[], rounds: number): void {
  if (ways.length === 1) {
    forwardRounds(ways[0].there, ways[0].back, rounds);
    return;
  }
  for (let i = 0; i < rounds; i++) {
    for (let q = 0; q < ways.length; q++) {
      ways[q].there.forward();
      ways[q].back.forward();
    }
  }
}
