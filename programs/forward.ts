/**
 * The forwarder: moves packets between two devices, both ways.
 *
 * @module
 */

import { PacketBatch } from "../src/batch.ts";
import type { RxQueue, TxQueue, Understudy } from "../src/device.ts";
import { specialise } from "../src/specialise.ts";

/** The byte to increment, in the destination address: the same as in all drivers of ixy. */
export const TOUCHED_BYTE = 1;

/** Creates the `forward` function of a direction. */
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
    const { buffers, pool: { bytes, stride } } = batch;
    return function forward(): number {
      const n = rx.receive(batch);
      if (n === 0) return 0;
      if (touch) {
        for (let i = 0; i < n; i++) bytes[(Math.imul(buffers[i], stride) | TOUCHED_BYTE) >>> 0]++;
      }
      if (tx.transmit(batch) < n) dropped[0] += batch.free();
      return n;
    };
  },
);

/** One way between a queue of one device and a queue of the other. */
export class Direction {
  /** Forwards at most a batch of the packets that have arrived; returns how many it received. */
  readonly forward: () => number;
  /** Where packets come from. */
  readonly from: RxQueue;
  /** Where they go. */
  readonly to: TxQueue;
  /** Maximum batch size in packets. */
  readonly batch: number;
  /** A `Float64Array` for the reason in `src/specialise.ts`. */
  readonly #dropped = new Float64Array(1);

  /**
   * @param from The receive queue.
   * @param to The transmit queue, of the same pool.
   * @param batch Maximum batch size in packets, 1 to 256.
   * @param touch Whether to increment a byte of each packet, so that the packet enters the cache.
   */
  constructor(from: RxQueue, to: TxQueue, batch: number, touch: boolean) {
    const packets = new PacketBatch(from.pool, batch);
    this.from = from;
    this.to = to;
    this.batch = batch;
    this.forward = makeForward(from, to, packets, this.#dropped, touch);
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
 * Returns a function that V8 always compiles on its own: it inlines no call through a proxy. Otherwise the
 * loop that calls it would become part of one large function, and what V8 inlines into that, up to a limit,
 * would change from start to start.
 */
function alone<F extends (...parameters: never[]) => void>(loop: F): F {
  return new Proxy(loop, {});
}

/** Forwards both ways for some rounds. A short function that only loops: see `src/specialise.ts`. */
export const forwardRounds = alone((there: Direction, back: Direction, rounds: number): void => {
  for (let i = 0; i < rounds; i++) {
    there.forward();
    back.forward();
  }
});

/** Forwards between several pairs of queues in turns, for some rounds. */
const forwardTurns = alone((ways: readonly BothWays[], rounds: number): void => {
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
