/** The forwarder's rehearsal on two NIC models: it leaves no trace. */

import { assert, assertEquals } from "@std/assert";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import { AdoptedQueues } from "../../ixgbe/mod.ts";
import { RDT, TDT } from "../../ixgbe/registers.ts";
import { Mempool, PacketBatch } from "../../mod.ts";
import { Direction, forwardAll } from "../../programs/forward.ts";
import { rehearse } from "../../programs/rehearsal.ts";
import { ModelFunction } from "../support/model_function.ts";

const FRAMES = 300;

/** Two models in standby with queues of their own; disposing checks buffers and rules. */
class Stage implements Disposable {
  readonly cards = [new ModelFunction(), new ModelFunction()];
  readonly pool = new Mempool({ buffers: 1024, memory: "pages" });
  devices!: IxgbeDevice[];
  /** Whether another owner has the pool's buffers. */
  transferred = false;

  static async open({ queues = 1, standby = true } = {}): Promise<Stage> {
    const stage = new Stage();
    stage.devices = await Promise.all(stage.cards.map(async (card) =>
      await ixgbe.attach(card, {
        ...{ pool: stage.pool, rxQueues: queues, txQueues: queues, promiscuous: true, standby },
        ...{ rxEntries: 64, txEntries: 64 },
      }) as IxgbeDevice
    ));
    return stage;
  }

  ways(batch = 32) {
    const [a, b] = this.devices;
    return a.rxQueues.map((_, i) => ({
      there: new Direction(a.rxQueues[i], b.txQueues[i], batch, true),
      back: new Direction(b.rxQueues[i], a.txQueues[i], batch, true),
    }));
  }

  /** All that a rehearsal could change. */
  trace() {
    const { freeCount, freeStack, lengths, bytes } = this.pool;
    return {
      pool: { freeCount, freeStack: [...freeStack], lengths: [...lengths] },
      used: bytes.reduce((sum, byte) => sum + byte, 0),
      doorbells: this.cards.flatMap((card) =>
        [RDT, TDT].map(({ offset }) => card.bar(0).doorbell(offset).words[offset / 4])
      ),
      counters: this.devices.map((device) => device.statistics(false)),
      memory: this.cards.map((card) =>
        [...card.nic.dma.words].reduce((sum, word) => sum + word, 0)
      ),
    };
  }

  /** Forwards real frames from the first card to the second; returns those that were sent. */
  forwarded(ways: ReturnType<Stage["ways"]>): Uint8Array[] {
    const [a, b] = this.cards;
    for (let i = 0; i < FRAMES + 8; i++) {
      if (i < FRAMES) a.wire.waiting.push(new Uint8Array(60).fill(i, 6));
      a.nic.poll();
      forwardAll(ways, 1);
      b.nic.poll();
    }
    return b.wire.sent;
  }

  [Symbol.dispose](): void {
    for (const device of this.devices) device.close();
    assertEquals(this.cards.map(({ nic }) => nic.rules.violations), [[], []]);
    if (!this.transferred) {
      assertEquals(this.pool.freeCount, this.pool.buffers);
      assertEquals(
        new Set(this.pool.freeStack).size,
        this.pool.buffers,
        "each buffer is free once",
      );
    }
    this.pool[Symbol.dispose]();
  }
}

for (const [queues, batch] of [[1, 1], [1, 32], [1, 256], [4, 32]]) {
  Deno.test(`rehearse() leaves no trace: ${queues} queues, batches of ${batch}`, async () => {
    using stage = await Stage.open({ queues });
    const ways = stage.ways(batch);
    const before = stage.trace(), writes = stage.cards.map((card) => card.writes.length);
    const forward = ways.map(({ there }) => there.forward);
    let calls = 0;
    ways.forEach(({ there }, i) => {
      Object.assign(there, { forward: () => (calls++, forward[i]()) });
    });
    await rehearse(ways);
    assert(calls > 0, "it has forwarded");
    assertEquals(stage.trace(), before);
    assertEquals(stage.cards.map((card) => card.writes.length), writes);
    assertEquals(stage.cards.map((card) => card.wire.sent), [[], []]);
    for (const { there, back } of ways) assertEquals([there.dropped, back.dropped], [0, 0]);
    for (const device of stage.devices) device.endStandby();
    const sent = stage.forwarded(ways);
    assertEquals(sent.length, FRAMES);
    sent.forEach((frame, i) => assertEquals(frame.slice(6), new Uint8Array(54).fill(i), `${i}`));
  });
}

Deno.test("rehearse() does nothing on queues whose device has descriptors", async () => {
  using stage = await Stage.open({ standby: false });
  const ways = stage.ways(), before = stage.trace();
  assertEquals(ways[0].there.rehearse(), undefined);
  await rehearse(ways);
  assertEquals(stage.trace(), before);
  assertEquals(stage.forwarded(ways).length, FRAMES);
});

Deno.test("rehearse() does nothing if only one of the devices can rehearse", async () => {
  using stage = await Stage.open();
  stage.devices[1].endStandby();
  const before = stage.trace();
  await rehearse(stage.ways());
  assertEquals(stage.trace(), before);
});

Deno.test("OpenOptions.standby: packets are missed until endStandby()", async () => {
  using stage = await Stage.open();
  const [card] = stage.cards, [device] = stage.devices, batch = new PacketBatch(stage.pool);
  const arrive = () => {
    card.wire.waiting.push(new Uint8Array(60));
    for (let i = 0; i < 4; i++) card.nic.poll();
    const n = device.rxQueues[0].receive(batch);
    batch.free();
    return n;
  };
  assertEquals(arrive(), 0);
  assertEquals(device.statistics().rxMissed, 1);
  device.endStandby();
  device.endStandby(); // does nothing
  assertEquals(arrive(), 1);
});

Deno.test("AdoptedQueues.endStandby() starts queues that were transferred in standby", async () => {
  using stage = await Stage.open({ queues: 2 });
  stage.transferred = true;
  const pool = Mempool.adopt(structuredClone(stage.pool.transfer()));
  {
    using disposed = new DisposableStack();
    const [a, b] = stage.devices.map((device) =>
      disposed.use(new AdoptedQueues(structuredClone(device.transferQueues(0)), pool))
    );
    const way = {
      there: new Direction(a.rx, b.tx, 32, true),
      back: new Direction(b.rx, a.tx, 32, true),
    };
    const free = pool.freeCount;
    await rehearse([way]);
    assertEquals([pool.freeCount, a.rx.packets, b.tx.pending], [free, 0, 0]);
    for (const queues of [a, b]) queues.endStandby();
    const card = stage.cards[0];
    for (let i = 0; i < 8; i++) card.wire.waiting.push(new Uint8Array(60));
    for (let i = 0; i < 8; i++) card.nic.poll();
    forwardAll([way], 1);
    assertEquals(a.rx.packets + stage.devices[0].rxQueues[1].packets, 8);
  }
});
