/**
 * The forwarder: packets from one device to the other, both ways.
 *
 * @module
 */

import { PacketBatch } from "../src/batch.ts";
import type { RxQueue, TxQueue } from "../src/device.ts";
import { specialise } from "../src/specialise.ts";

/** The byte that is incremented, in the destination address: the one that all drivers of ixy touch. */
const TOUCHED_BYTE = 1;

/** Makes the `forward` of a direction. */
const makeForward = specialise(
  import.meta.url,
  { TOUCHED_BYTE },
  function forwarder(
    rx: RxQueue,
    tx: TxQueue,
    batch: PacketBatch,
    dropped: Float64Array,
    touch: boolean,
  ) {
    const { buffers, pool: { bytes, bufferSize } } = batch;
    return function forward(): number {
      const n = rx.receive(batch);
      if (n === 0) return 0;
      if (touch) {
        for (let i = 0; i < n; i++) bytes[Math.imul(buffers[i], bufferSize) | TOUCHED_BYTE]++;
      }
      if (tx.transmit(batch) < n) dropped[0] += batch.free();
      return n;
    };
  },
);

/** One way between a queue of one device and a queue of the other. */
export class Direction {
  /** Forwards what has arrived, at most a batch; returns the packets received. */
  readonly forward: () => number;
  /** A counter as `src/specialise.ts` says. */
  readonly #dropped = new Float64Array(1);

  /**
   * @param from The receive queue.
   * @param to The transmit queue, of the same pool.
   * @param batch The most packets to receive at once, 1 to 256.
   * @param touch Whether to increment a byte of each packet, so that it really enters the cache.
   */
  constructor(from: RxQueue, to: TxQueue, batch: number, touch: boolean) {
    const packets = new PacketBatch(from.pool, batch);
    this.forward = makeForward(from, to, packets, this.#dropped, touch);
  }

  /** Packets that the transmit ring had no room for. */
  get dropped(): number {
    return this.#dropped[0];
  }
}

/** Forwards both ways for a number of rounds: a loop of its own, as `src/specialise.ts` says. */
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
