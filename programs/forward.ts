/**
 * The forwarder: moves packets between two devices, both ways.
 *
 * @module
 */

import { PacketBatch } from "../src/batch.ts";
import type { RxQueue, TxQueue, Understudy } from "../src/device.ts";
import { apart, specialise } from "../src/specialise.ts";

/** The byte to increment, in the destination address: the same as in all drivers of ixy. */
export const TOUCHED_BYTE = 1;

/**
 * Packets after which it is the turn of the other direction. Small batches cost less if several follow each
 * other: with far cores, batches of 2 reach 16.6 instead of 11.5 million packets a second on the bench's
 * instrument.
 */
const TURN = 32;

/** Creates the `forward` function of a direction. */
const makeForward = specialise(
  import.meta.url,
  { TOUCHED_BYTE, apart },
  function forwarder(
    rx: RxQueue,
    tx: TxQueue,
    batch: PacketBatch,
    turn: number,
    dropped: Float64Array,
    touch: boolean,
  ) {
    const { buffers, pool: { bytes, stride } } = batch;
    const drop = apart((): void => {
      dropped[0] += batch.free();
    });
    return function forward(): number {
      let total = 0;
      while (total < turn) {
        const n = rx.receive(batch);
        if (n === 0) break;
        total = (total + n) | 0;
        if (touch) {
          for (let i = 0; i < n; i++) bytes[(Math.imul(buffers[i], stride) | TOUCHED_BYTE) >>> 0]++;
        }
        if (tx.transmit(batch) < n) drop();
      }
      return total;
    };
  },
);

/** One way between a queue of one device and a queue of the other. */
export class Direction {
  /** Forwards packets that have arrived, until a turn is over or none is left; returns how many it received. */
  declare readonly forward: () => number;
  /** Where packets come from. */
  declare readonly from: RxQueue;
  /** Where they go. */
  declare readonly to: TxQueue;
  /** Packets after which a call of `forward` ends. */
  declare readonly turn: number;
  /** A `Float64Array` for the reason in `src/specialise.ts`. */
  readonly #dropped = new Float64Array(1);

  /**
   * @param from The receive queue.
   * @param to The transmit queue, of the same pool.
   * @param batch Maximum batch size in packets, 1 to 256.
   * @param touch Whether to increment a byte of each packet, so that the packet enters the cache.
   * @param turn Packets after which a call of `forward` ends (default: 32).
   */
  constructor(
    from: RxQueue,
    to: TxQueue,
    batch: number,
    touch: boolean,
    turn = TURN,
  ) {
    const packets = new PacketBatch(from.pool, batch);
    this.from = from;
    this.to = to;
    this.turn = turn;
    this.forward = makeForward(from, to, packets, turn, this.#dropped, touch);
  }

  /**
   * Lets others play the devices at both ends, see `programs/rehearsal.ts`; undefined if a queue is in use
   * already or cannot rehearse.
   */
  rehearse(): { readonly rx: Understudy; readonly tx: Understudy } & Disposable | undefined {
    using opened = new DisposableStack();
    const rx = this.from.understudy?.(), tx = this.to.understudy?.();
    if (rx) opened.use(rx);
    if (tx) opened.use(tx);
    if (!rx || !tx) return undefined;
    const all = opened.move();
    all.defer(() => this.#dropped[0] = 0);
    return { rx, tx, [Symbol.dispose]: () => all.dispose() };
  }

  /** Packets that the transmit ring had no room for. */
  get dropped(): number {
    return this.#dropped[0];
  }
}

/**
 * Forwards both ways in turns, for some rounds. V8 does not inline a call with two targets: so each direction stays
 * a function of its own, into which its queues' functions fit.
 */
export const forwardRounds = apart((there: Direction, back: Direction, rounds: number): void => {
  let next = there.forward, last = back.forward;
  for (let i = 0; i < 2 * rounds; i++) {
    next();
    const other = last;
    last = next;
    next = other;
  }
});

/** Forwards between several pairs of queues in turns, for some rounds. */
const forwardTurns = apart((ways: readonly BothWays[], rounds: number): void => {
  for (let i = 0; i < rounds; i++) {
    for (let q = 0; q < ways.length; q++) {
      ways[q].there.forward();
      ways[q].back.forward();
    }
  }
});

/** Both ways between the queues with one number. */
export interface BothWays {
  /** From the first device to the second. */
  readonly there: Direction;
  /** From the second device to the first. */
  readonly back: Direction;
}

/** Forwards between all pairs of queues in turns, for some rounds. */
export function forwardAll(ways: readonly BothWays[], rounds: number): void {
  if (ways.length === 1) forwardRounds(ways[0].there, ways[0].back, rounds);
  else forwardTurns(ways, rounds);
}
