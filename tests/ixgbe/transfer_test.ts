/** Transfer and adoption of queues and pools, on the NIC model, in one thread. */

import { assertEquals, assertThrows } from "@std/assert";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import { AdoptedQueues } from "../../ixgbe/mod.ts";
import { Mempool, PacketBatch } from "../../mod.ts";
import { ModelFunction } from "../support/model_function.ts";
import { packet } from "../support/ip_packets.ts";

const SIZE = 64;

/** A device with two pairs of queues, each with a pool. Disposing checks rules. */
class Bench implements Disposable {
  readonly pci = new ModelFunction();
  readonly pools = [0, 1].map(() => new Mempool({ buffers: 256, memory: "pages" }));
  device!: IxgbeDevice;

  static async start(): Promise<Bench> {
    const bench = new Bench();
    bench.device = await ixgbe.attach(bench.pci, {
      rxQueues: 2,
      txQueues: 2,
      pools: bench.pools,
      rxEntries: SIZE,
      txEntries: SIZE,
      promiscuous: true,
    }) as IxgbeDevice;
    return bench;
  }

  /** Transfers the queues of one number, and adopts them as another thread would. */
  adopt(number: number): { pool: Mempool; pair: AdoptedQueues } {
    const transferred = structuredClone(this.pools[number].transfer());
    const pool = Mempool.adopt(transferred);
    return {
      pool,
      pair: new AdoptedQueues(structuredClone(this.device.transferQueues(number)), pool),
    };
  }

  /** Puts packets of many flows on the wire and lets the NIC receive them. */
  arrive(packets: number): void {
    for (let i = 0; i < packets; i++) {
      this.pci.wire.waiting.push(packet({
        source: [10, 0, 0, 1],
        destination: [10, 0, 0, 2],
        protocol: "udp",
        ports: [1000 + i, 9],
        payload: 32,
      }));
    }
    while (this.pci.wire.waiting.length > 0) this.pci.nic.poll();
  }

  [Symbol.dispose](): void {
    this.device.close();
    for (const pool of this.pools) pool[Symbol.dispose]();
    assertEquals(this.pci.nic.rules.violations, []);
  }
}

Deno.test("AdoptedQueues receives and sends in place of the transferred queues", async () => {
  using bench = await Bench.start();
  const { pool, pair } = bench.adopt(1);
  const batch = new PacketBatch(pool);
  let forwarded = 0;
  for (let round = 0; round < 20; round++) { // buffers are used several times
    bench.arrive(32);
    while (pair.rx.receive(batch) > 0) {
      forwarded += pair.tx.transmit(batch);
      assertEquals(batch.length, 0);
    }
    for (let i = 0; i < 4; i++) bench.pci.nic.poll();
    pair.tx.reclaim();
    const mine = new PacketBatch(bench.pools[0]);
    while (bench.device.rxQueues[0].receive(mine) > 0) mine.free();
  }
  const kept = Number(bench.device.rxQueues[0].packets);
  assertEquals(kept + forwarded, 640, "each packet arrives in one of the queues");
  assertEquals(bench.pci.wire.sent.length, forwarded);
  assertEquals(pool.freeCount, 256 - SIZE, "all buffers except those in the receive ring are free");
  assertEquals(bench.pools[0].freeCount, 256 - SIZE);

  pair.publish();
  const { rxPackets, txPackets, txBytes } = bench.device.statistics();
  assertEquals([rxPackets, txPackets], [640, forwarded]);
  assertEquals(txBytes, forwarded * (42 + 32));
  pair[Symbol.dispose]();
  pool[Symbol.dispose]();
});

Deno.test("AdoptedQueues and its pool reach no memory after they are disposed", async () => {
  using bench = await Bench.start();
  const { pool, pair } = bench.adopt(0);
  const batch = new PacketBatch(pool);
  pair[Symbol.dispose]();
  assertThrows(() => pair.rx.receive(batch), Error, "a closed device");
  assertThrows(() => pair.tx.transmit(batch), Error, "a closed device");
  const { bytes } = pool;
  pool[Symbol.dispose]();
  assertEquals(bytes.length, 0);
  bench.arrive(64); // the NIC and the other queues still work
  assertEquals(bench.device.rxQueues[1].receive(new PacketBatch(bench.pools[1])) > 0, true);
});

Deno.test("Device.close() does not free buffers of transferred queues", async () => {
  using bench = await Bench.start();
  const { pool, pair } = bench.adopt(0);
  pair[Symbol.dispose]();
  bench.device.close();
  const [handed, kept] = bench.pools;
  assertEquals(
    [handed.freeCount, kept.freeCount],
    [0, 256],
    "the other thread may own them",
  );
  pool[Symbol.dispose]();
});
