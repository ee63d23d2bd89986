/**
 * A worker of `fwd.ts`: forwards between the queues that it adopts, in a thread of its own.
 *
 * @module
 */

import { AdoptedQueues } from "../ixgbe/adopt.ts";
import { AdoptedXdpQueues, type TransferredXdpQueues } from "../xdp/adopt.ts";
import { type BothWays, Direction, forwardAll } from "./forward.ts";
import type { TransferredQueues } from "../src/transfer.ts";
import { Mempool, type TransferredPool } from "../src/mempool.ts";
import { pollQueues } from "./poll.ts";
import { rehearse } from "./rehearsal.ts";
import { serve } from "./worker_thread.ts";

/** Queues of a device, of either driver that can transfer them. */
export type QueuePair = TransferredQueues | TransferredXdpQueues;

/** The task of a worker of `fwd.ts`. */
export interface ForwardTask {
  /** The pool of all its queues. */
  readonly pool: TransferredPool;
  /** Queues of the first device, and the queues of the second with the same numbers. */
  readonly pairs: readonly { readonly a: QueuePair; readonly b: QueuePair }[];
  /** Maximum batch size in packets. */
  readonly batch: number;
  /** Whether to change packets. */
  readonly touch: boolean;
  /** Packets that the transmit rings of the first and the second device had no room for. */
  readonly dropped: SharedArrayBuffer;
}

serve<ForwardTask>(async (task, orders) => {
  using pool = Mempool.adopt(task.pool);
  using adopted = new DisposableStack();
  const adopt = (pair: QueuePair) =>
    adopted.use(
      "socket" in pair ? new AdoptedXdpQueues(pair, pool) : new AdoptedQueues(pair, pool),
    );
  const pairs = task.pairs.map(({ a, b }) => ({ a: adopt(a), b: adopt(b) }));
  const { batch, touch } = task;
  const ways: BothWays[] = pairs.map(({ a, b }) => ({
    there: new Direction(a.rx, b.tx, batch, touch),
    back: new Direction(b.rx, a.tx, batch, touch),
  }));
  const dropped = new Float64Array(task.dropped);
  const publish = () => {
    for (const { a, b } of pairs) {
      a.publish();
      b.publish();
    }
    dropped[0] = ways.reduce((sum, { back }) => sum + back.dropped, 0);
    dropped[1] = ways.reduce((sum, { there }) => sum + there.dropped, 0);
  };
  await rehearse(ways);
  const started = orders.begin(() => {
    for (const pair of pairs.flatMap(({ a, b }) => [a, b])) {
      if (pair instanceof AdoptedQueues) pair.endStandby();
    }
  });
  if (!started) return;
  const report = { start: performance.now(), second: publish };
  pollQueues(report, orders, (rounds) => {
    forwardAll(ways, rounds);
    return true;
  });
  publish();
});
