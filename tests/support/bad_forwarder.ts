/**
 * A forwarder with a fault, to see that the bench notices: `bad_forwarder.ts FAULT A B`. Not a test itself.
 *
 * @module
 */

import { type Device, Mempool, open, PacketBatch, StopFlag } from "../../mod.ts";

/** What it does to a batch. */
const FAULTS: Readonly<Record<string, (batch: PacketBatch) => void>> = {
  /** Drops a packet of each batch. */
  loses: (batch) => {
    batch.length--;
    batch.pool.free(batch.buffers[batch.length]);
  },
  /** Exchanges two packets. */
  reorders: ({ buffers, length }) => {
    [buffers[0], buffers[length - 1]] = [buffers[length - 1], buffers[0]];
  },
  /** Changes a byte behind the addresses. */
  corrupts: (batch) => {
    for (const packet of batch) packet[20]++;
  },
};

const [fault, ...addresses] = Deno.args;
using stop = new StopFlag();
using pool = new Mempool({ buffers: 4096 });
using a = await open(addresses[0], { pool, promiscuous: true });
using b = await open(addresses[1], { pool, promiscuous: true });
const batch = new PacketBatch(pool, 32);

function forward(from: Device, to: Device): void {
  if (from.rxQueues[0].receive(batch) === 0) return;
  FAULTS[fault](batch);
  to.txQueues[0].transmit(batch);
  batch.free();
}

while (stop.signal === 0) {
  forward(a, b);
  forward(b, a);
}
