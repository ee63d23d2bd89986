/** Rare states of ixgbe queues: very high counts, closed devices, a pool that two devices share. */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import { Mempool, PacketBatch, UsageError } from "../../mod.ts";
import { Direction } from "../../programs/forward.ts";
import { ModelFunction } from "../support/model_function.ts";
import { FakeRxRing, FakeTxRing } from "../support/fake_ring.ts";

/** Lengths of a queue's counts: 32-bit positions, new bytes, a flag or limit; totals of packets and bytes. */
const STATES = 4, TOTALS = 2;

/** The counts that a queue keeps. */
interface Counts {
  readonly state: Int32Array;
  readonly totals: Float64Array;
}

/** Returns what `make` returns, and the counts that it has created for a queue. */
function withCounts<Made>(make: () => Made): [made: Made, counts: Counts] {
  const { Int32Array, Float64Array } = globalThis;
  const states: Int32Array[] = [], totals: Float64Array[] = [];
  const collecting = <Kind extends { new (length: number): Kept }, Kept>(
    kind: Kind,
    length: number,
    kept: Kept[],
  ) =>
    new Proxy(kind, {
      construct(target, args) {
        const array = Reflect.construct(target, args);
        if (args[0] === length) kept.push(array);
        return array;
      },
    });
  globalThis.Int32Array = collecting(Int32Array, STATES, states);
  globalThis.Float64Array = collecting(Float64Array, TOTALS, totals);
  try {
    const made = make();
    assertEquals([states.length, totals.length], [1, 1]);
    return [made, { state: states[0], totals: totals[0] }];
  } finally {
    Object.assign(globalThis, { Int32Array, Float64Array });
  }
}

const ROUNDS = 2000, BURST = 20;

for (const power of [31, 32, 40]) {
  const first = 2 ** power - 64 * 100; // the ring's first descriptor is next
  Deno.test(`RxQueue and TxQueue count and go on beyond 2^${power} packets`, () => {
    using pool = new Mempool({ buffers: 256, memory: "pages" });
    const [rx, received] = withCounts(() => new FakeRxRing(pool, 64));
    const [tx, sent] = withCounts(() => new FakeTxRing(pool, 64));
    received.state.set([first, first]);
    sent.state.set([first, first + 63]); // the ring is empty: 63 descriptors have room
    for (const { totals } of [received, sent]) totals.set([first, 60 * first]);
    const batch = new PacketBatch(pool, 32);
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = 0; i < BURST; i++) rx.fill(60);
      assertEquals(rx.queue.receive(batch), BURST);
      assertEquals(tx.queue.transmit(batch), BURST);
      assert(rx.free >= 56);
      tx.send();
    }
    tx.queue.reclaim();
    assertEquals(tx.queue.pending, 0);
    const packets = first + ROUNDS * BURST;
    assert(packets > 2 ** power, "the power was exceeded");
    assertEquals([rx.queue.packets, tx.queue.packets], [packets, packets]);
    assertEquals([rx.queue.bytes, tx.queue.bytes], [60 * packets, 60 * packets]);
    assertEquals(pool.freeCount, 256 - 64);
  });
}

Deno.test("Functions of a closed device's queues throw", async () => {
  using pool = new Mempool({ buffers: 256, memory: "pages" });
  const pci = new ModelFunction(), batch = new PacketBatch(pool);
  const device = await ixgbe.attach(pci, { pool, rxEntries: 64, txEntries: 64, promiscuous: true });
  const [{ receive }] = device.rxQueues, [{ transmit, reclaim }] = device.txQueues;
  const { forward } = new Direction(device.rxQueues[0], device.txQueues[0], 8, true, 8);
  const arrive = () => {
    for (let i = 0; i < 20; i++) pci.wire.waiting.push(new Uint8Array(60));
    while (pci.wire.waiting.length > 0) pci.nic.poll();
  };
  arrive();
  assertEquals([forward(), receive(batch), transmit(batch)], [8, 12, 12]);
  arrive(); // a packet is in the ring when the device is closed
  device.close();
  assertThrows(() => receive(batch), Error, "receive on a closed device");
  assertThrows(() => transmit(batch), Error, "transmit on a closed device");
  assertThrows(() => forward(), Error, "receive on a closed device");
  assert(batch.add(new Uint8Array(60)));
  assertThrows(() => transmit(batch), Error, "transmit on a closed device");
  assertEquals([reclaim(), batch.free(), pool.freeCount], [0, 1, 256]);
  assertEquals(new Set(pool.freeStack).size, 256, "each buffer is free once");
});

Deno.test("Devices that are opened concurrently do not take more buffers than their pool has", async () => {
  using pool = new Mempool({ buffers: 100, memory: "pages" });
  const options = { pool, rxEntries: 64 };
  const first = ixgbe.attach(new ModelFunction(), options);
  const second = ixgbe.attach(new ModelFunction(), options);
  await assertRejects(() => second, UsageError, "needs as many free buffers, and the pool has 36");
  (await first).close();
  assertEquals(pool.freeCount, 100);
  assertEquals(new Set(pool.freeStack).size, 100);
});
