/** The ixgbe driver's queues on the NIC model: the data path and its errors. */

import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import { RX_DD, RX_EOP, RX_RXE, TX_RS } from "../../ixgbe/descriptors.ts";
import { IxgbeRxQueue } from "../../ixgbe/rx_queue.ts";
import * as R from "../../ixgbe/registers.ts";
import { Mempool, type OpenOptions, PacketBatch } from "../../mod.ts";
import { FakeRxRing, FakeTxRing } from "../support/fake_ring.ts";
import { ModelFunction } from "../support/model_function.ts";

interface BenchOptions extends OpenOptions {
  readonly buffers?: number;
  readonly bufferSize?: number;
  readonly batch?: number;
}

/** A driver in promiscuous mode on a model; disposing checks buffers and rules. */
class Bench implements Disposable {
  readonly pci = new ModelFunction();
  readonly pool: Mempool;
  readonly batch: PacketBatch;
  device!: IxgbeDevice;

  private constructor({ buffers = 2048, bufferSize = 2048, batch = 32 }: BenchOptions) {
    this.pool = new Mempool({ buffers, bufferSize, memory: "pages" });
    this.batch = new PacketBatch(this.pool, batch);
  }

  static async start(options: BenchOptions = {}): Promise<Bench> {
    const bench = new Bench(options);
    const { pool, pci } = bench;
    const { rxEntries = 512, txEntries = 512 } = options;
    bench.device = await ixgbe.attach(pci, {
      pool,
      rxEntries,
      txEntries,
      promiscuous: true,
    }) as IxgbeDevice;
    return bench;
  }

  get rx() {
    return this.device.rxQueues[0];
  }

  get tx() {
    return this.device.txQueues[0];
  }

  /** Puts frames on the wire and lets the NIC receive them. */
  arrive(...frames: Uint8Array[]): void {
    this.pci.wire.waiting.push(...frames);
    while (this.pci.wire.waiting.length > 0) this.pci.nic.poll();
  }

  /** Lets the NIC work until it has nothing to do. */
  settle(): void {
    for (let i = 0; i < 40; i++) this.pci.nic.poll();
  }

  /** Receives all packets and returns copies of them. */
  received(): Uint8Array[] {
    const packets: Uint8Array[] = [];
    while (this.rx.receive(this.batch) > 0) {
      packets.push(...[...this.batch].map((packet) => packet.slice()));
      this.batch.free();
    }
    return packets;
  }

  [Symbol.dispose](): void {
    this.batch.free();
    this.device.close();
    assertEquals(this.pci.nic.rules.violations, []);
    assertEquals(this.pool.freeCount, this.pool.buffers);
    assertEquals(new Set(this.pool.freeStack).size, this.pool.buffers, "each buffer is free once");
    this.pool[Symbol.dispose]();
  }
}

/** Returns a frame of `length` bytes with content that depends on `seed`. */
function frame(length: number, seed = length): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i * 7 + seed);
}

for (const capacity of [1, 2, 8, 31, 32, 33, 256]) {
  Deno.test(`RxQueue.receive() and TxQueue.transmit() in batches of ${capacity}`, async () => {
    using bench = await Bench.start({ batch: capacity });
    const frames = Array.from({ length: 2000 }, (_, i) => frame(60 + i % 1400, i));
    for (let i = 0; i < frames.length; i += 200) {
      bench.arrive(...frames.slice(i, i + 200));
      while (bench.rx.receive(bench.batch) > 0) {
        const n = bench.batch.length;
        assertEquals(bench.tx.transmit(bench.batch), n);
        assertEquals(bench.batch.length, 0);
      }
      bench.settle();
    }
    assertEquals(bench.pci.wire.sent, frames);
    assertEquals(bench.device.statistics().rxPackets, 2000);
    assertEquals(bench.device.statistics().txPackets, 2000);
    const bytes = frames.reduce((sum, { length }) => sum + length, 0);
    assertEquals(bench.device.statistics().rxBytes, bytes);
    assertEquals(bench.device.statistics().txBytes, bytes);
  });
}

for (const entries of [64, 128, 1024, 4096]) {
  Deno.test(`A receive ring of ${entries} holds one packet less, then the NIC counts misses`, async () => {
    using bench = await Bench.start({ buffers: 8192, rxEntries: entries, txEntries: entries });
    bench.arrive(...Array.from({ length: entries + 9 }, (_, i) => frame(60, i)));
    assertEquals(bench.received().length, entries - 1);
    assertEquals(bench.device.statistics().rxMissed, 10);
    bench.arrive(frame(60));
    assertEquals(bench.received().length, 1);
  });
}

Deno.test("RxQueue.receive() passes frames of every size whole", async () => {
  using bench = await Bench.start();
  const frames = Array.from({ length: 400 }, (_, i) => frame(60 + i * 4, i))
    .filter(({ length }) => length <= 2044);
  bench.arrive(...frames);
  assertEquals(bench.received(), frames);
});

for (const bufferSize of [4096, 8192, 16384]) {
  Deno.test(`Buffers of ${bufferSize} bytes hold jumbo frames both ways`, async () => {
    using bench = await Bench.start({ bufferSize });
    const frames = [bufferSize - 4, 60, Math.min(bufferSize, 15868)].map((n) =>
      frame(Math.min(n, 15868))
    );
    bench.arrive(...frames);
    assertEquals(bench.rx.receive(bench.batch), 3);
    bench.tx.transmit(bench.batch);
    bench.settle();
    assertEquals(bench.pci.wire.sent, frames);
  });
}

Deno.test("A frame longer than a buffer is dropped by the NIC and counted", async () => {
  using bench = await Bench.start();
  bench.arrive(frame(2049), frame(9000), frame(60));
  assertEquals(bench.received(), [frame(60)]);
  assertEquals(bench.device.statistics().rxErrors, 2);
});

Deno.test("RxQueue.receive() drops and counts a frame that spans descriptors", async () => {
  using bench = await Bench.start();
  // As if the NIC accepted longer frames than it was configured for.
  bench.pci.nic.write32(R.MAXFRS.offset, 15872 << 16);
  bench.arrive(frame(60, 1), frame(2049), frame(60, 2), frame(9000), frame(8192), frame(60, 3));
  assertEquals(bench.received(), [frame(60, 1), frame(60, 2), frame(60, 3)]);
  assertEquals(bench.device.statistics().rxTooLong, 3);
});

Deno.test("RxQueue.receive() drops the rest of a long frame that arrives in parts", async () => {
  using bench = await Bench.start({ rxEntries: 64 });
  bench.pci.nic.write32(R.MAXFRS.offset, 15872 << 16);
  for (let i = 0; i < 50; i++) {
    bench.arrive(frame(7000), frame(100, i));
    assertEquals(bench.received(), [frame(100, i)]);
  }
  assertEquals(bench.device.statistics().rxTooLong, 50);
});

Deno.test("RxQueue.receive() survives an empty pool, counts it, and recovers", async () => {
  using bench = await Bench.start({ buffers: 64, rxEntries: 64, batch: 8 });
  assertEquals(bench.pool.freeCount, 0);
  bench.arrive(...Array.from({ length: 10 }, (_, i) => frame(60, i)));
  assertEquals(bench.received(), []);
  assertEquals(bench.device.statistics().rxNoBuffer, 10);
});

Deno.test("RxQueue.receive() reclaims sent buffers before it drops packets", async () => {
  using bench = await Bench.start({ buffers: 96, rxEntries: 64, txEntries: 64, batch: 8 });
  for (let i = 0; i < 100; i++) {
    bench.arrive(frame(60, i), frame(60, i + 1));
    assertEquals(bench.rx.receive(bench.batch), 2);
    assertEquals(bench.tx.transmit(bench.batch), 2);
    bench.settle();
  }
  assertEquals(bench.device.statistics().rxNoBuffer, 0);
  assertEquals(bench.pci.wire.sent.length, 200);
});

Deno.test("RxQueue.receive() returns even if damaged frames never end", () => {
  using pool = new Mempool({ buffers: 128, memory: "pages" });
  const ring = new Uint32Array(64 * 4);
  const bringMore = () => {
    for (let i = 0; i < 64; i++) ring.set([RX_DD | RX_EOP | RX_RXE, 60], i * 4 + 2);
  };
  const doorbell = { words: new Uint32Array(1), index: 0, write: bringMore };
  const queue = new IxgbeRxQueue(0, pool, "iova", ring, doorbell);
  bringMore();
  const batch = new PacketBatch(pool);
  // At most what RDT has passed to the NIC: all descriptors but one.
  assertEquals([queue.receive(batch), queue.damaged], [0, 63]);
  assertEquals([queue.receive(batch), queue.damaged], [0, 126]);
  queue.close();
});

Deno.test("RxQueue.receive() fills all empty descriptors when it finds no packet, and writes RDT once", () => {
  using pool = new Mempool({ buffers: 64 + 3, memory: "pages" });
  const ring = new FakeRxRing(pool, 64), batch = new PacketBatch(pool, 8), { queue } = ring;
  for (let packets = 1; packets <= 3; packets++) { // fewer than the eighth of the ring that is refilled at once
    for (let i = 0; i < packets; i++) ring.fill(60);
    assertEquals(queue.receive(batch), packets);
    assertEquals([ring.free, ring.tails.length], [63 - packets, packets]);
    batch.free();
    assertEquals([queue.receive(batch), ring.free, ring.tails.length], [0, 63, packets + 1]);
  }
  assertEquals([queue.receive(batch), ring.tails.length], [0, 4]); // nothing is empty
  const held = [1, 1, 1].map((length) => pool.allocate(length));
  ring.fill(60);
  assertEquals([queue.receive(batch), queue.noBuffer], [0, 1]); // its own buffer refills the ring
  pool.takeBack(held);
  queue.close();
  assertEquals(pool.freeCount, 64 + 3);
  assertEquals([queue.packets, queue.read, queue.refilled], [6, 7, 7]);
});

Deno.test("RxQueue.receive() fills as many empty descriptors as the pool has buffers, then leaves RDT alone", () => {
  using pool = new Mempool({ buffers: 64 + 2, memory: "pages" });
  const ring = new FakeRxRing(pool, 64), batch = new PacketBatch(pool, 8), { queue } = ring;
  ring.fill(60);
  ring.fill(60);
  assertEquals(queue.receive(batch), 2);
  const held = pool.allocate(60);
  batch.length = 0; // the program keeps both packets
  for (let call = 0; call < 3; call++) {
    assertEquals([queue.receive(batch), ring.free, ring.tails.length], [0, 62, 2]);
  }
  pool.takeBack([held]);
  assertEquals([queue.receive(batch), ring.free, ring.tails.length], [0, 63, 3]);
  queue.close();
  assertEquals(pool.freeCount, 64);
});

Deno.test("RxQueue.receive() refuses a batch that holds packets, or of another pool", async () => {
  using bench = await Bench.start();
  bench.arrive(frame(60), frame(60));
  assertEquals(bench.rx.receive(bench.batch), 2);
  assertThrows(() => bench.rx.receive(bench.batch), Error, "send or free them");
  using other = new Mempool({ memory: "pages" });
  assertThrows(() => bench.rx.receive(new PacketBatch(other)), Error, "another pool");
  assertThrows(() => bench.tx.transmit(new PacketBatch(other)), Error, "another pool");
});

Deno.test("TxQueue.transmit() leaves packets in the batch that do not fit the ring", async () => {
  using bench = await Bench.start({ txEntries: 64, batch: 100 });
  for (let i = 0; i < 100; i++) bench.batch.add(frame(60, i));
  assertEquals(bench.tx.transmit(bench.batch), 63);
  assertEquals(bench.batch.length, 37);
  assertEquals(bench.batch.packet(0), frame(60, 63));
  assertEquals(bench.tx.transmit(bench.batch), 0);
  bench.settle();
  assertEquals(bench.tx.transmit(bench.batch), 37);
  bench.settle();
  assertEquals(bench.pci.wire.sent, Array.from({ length: 100 }, (_, i) => frame(60, i)));
});

Deno.test("TxQueue.transmit() writes advanced data descriptors, bit by bit (section 7.2.3.2.4)", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const ring = new FakeTxRing(pool, 64), batch = new PacketBatch(pool, 2);
  for (const bytes of [60, 1514]) batch.add(frame(bytes));
  const addresses = batch.buffers.slice(0, 2).values().map((buffer) => {
    return pool.memory.busAddress(buffer * pool.bufferSize, "iova");
  }).toArray();
  assertEquals(ring.queue.transmit(batch), 2);
  // DEXT, IFCS and EOP, DTYP 3, and the length; RS in the last; PAYLEN.
  const command = 1 << 29 | 1 << 25 | 1 << 24 | 3 << 20, report = 1 << 27;
  const expected = [[command | 60, 60 << 14], [command | report | 1514, 1514 << 14]];
  expected.forEach((lastWords, i) => {
    const low = addresses[i] % 2 ** 32, high = Math.floor(addresses[i] / 2 ** 32);
    assertEquals(ring.descriptor(i), [low, high, ...lastWords]);
  });
  ring.send();
  ring.queue.close();
});

Deno.test("TxQueue.transmit() sets RS in a call's last descriptor, and in the last of each 32", () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const ring = new FakeTxRing(pool, 512), batch = new PacketBatch(pool, 256);
  const expected = new Set(Array.from({ length: 16 }, (_, block) => block * 32 + 31));
  let next = 0;
  for (const packets of [1, 5, 26, 32, 33, 31, 100, 28, 256]) { // together the whole ring
    for (let i = 0; i < packets; i++) batch.add(frame(60));
    assertEquals(ring.queue.transmit(batch), packets);
    next += packets;
    expected.add(next - 1);
    ring.send();
  }
  assertEquals(next, 512);
  for (let i = 0; i < 512; i++) {
    assertEquals((ring.descriptor(i)[2] & TX_RS) !== 0, expected.has(i), `descriptor ${i}`);
  }
  ring.queue.close();
});

Deno.test("TxQueue.transmit() writes each packet's descriptor, in blocks and one by one", () => {
  const call = fc.record({ packets: fc.integer({ min: 1, max: 256 }), wrong: fc.nat(300) });
  fc.assert(
    fc.property(
      fc.constantFrom(64, 128, 512),
      fc.array(call, { maxLength: 12 }),
      (entries, calls) => {
        using pool = new Mempool({ buffers: 1024, memory: "pages" });
        const ring = new FakeTxRing(pool, entries),
          { queue } = ring,
          batch = new PacketBatch(pool, 256);
        const command = 1 << 29 | 1 << 25 | 1 << 24 | 3 << 20;
        let next = 0, bytes = 0;
        for (const { packets, wrong } of calls) {
          for (let i = 0; i < packets; i++) batch.add(frame(17 + i));
          if (wrong < packets) pool.lengths[batch.buffers[wrong]] = 0;
          const buffers = batch.buffers.slice(0, packets),
            sent = Math.min(packets, entries - 1, wrong);
          if (wrong < Math.min(packets, entries - 1)) {
            assertThrows(() => queue.transmit(batch), Error, "own it");
          } else assertEquals(queue.transmit(batch), sent);
          assertEquals([batch.length, queue.pending], [packets - sent, sent]);
          for (let i = 0; i < sent; i++, next++) {
            const address = pool.memory.busAddress(buffers[i] * pool.stride, "iova");
            const report = i === sent - 1 || next % 32 === 31 ? TX_RS : 0;
            const [low, high, third, last] = ring.descriptor(next % entries);
            assertEquals(low + high * 2 ** 32, address);
            assertEquals([third, last], [command | report | 17 + i, (17 + i) << 14]);
            bytes += 17 + i;
          }
          assertEquals([queue.packets, queue.bytes], [next, bytes]);
          if (wrong < packets) pool.lengths[buffers[wrong]] = 60;
          batch.free();
          ring.send();
          assertEquals([queue.reclaim(), queue.pending], [sent, 0]);
        }
        queue.close();
      },
    ),
  );
});

Deno.test("TxQueue.transmit() pads a packet in the middle of a block", () => {
  using pool = new Mempool({ buffers: 128, memory: "pages" });
  const ring = new FakeTxRing(pool, 128), { queue } = ring, batch = new PacketBatch(pool, 96);
  for (let i = 0; i < 96; i++) batch.add(frame(i === 40 ? 15 : 60));
  assertEquals([queue.transmit(batch), batch.length, queue.pending], [96, 0, 96]);
  for (let i = 0; i < 96; i++) assertEquals(ring.descriptor(i)[3] >>> 14, i === 40 ? 17 : 60);
  assertEquals(queue.bytes, 95 * 60 + 15);
  ring.send();
  assertEquals(queue.reclaim(), 96);
  queue.close();
});

Deno.test("TxQueue.reclaim() returns what the NIC has reported, by blocks and by calls", () => {
  using pool = new Mempool({ buffers: 256, memory: "pages" });
  const ring = new FakeTxRing(pool, 64), batch = new PacketBatch(pool, 40);
  const { queue } = ring;
  for (const packets of [35, 5]) { // RS in descriptors 31, 34 and 39
    for (let i = 0; i < packets; i++) batch.add(frame(60));
    assertEquals([queue.transmit(batch), queue.reclaim()], [packets, 0]);
  }
  ring.send(31);
  assertEquals([queue.reclaim(), queue.reclaim(), queue.pending], [32, 0, 8]);
  ring.send(34);
  assertEquals([queue.reclaim(), queue.reclaim(), queue.pending], [3, 0, 5]);
  ring.send(39);
  assertEquals([queue.reclaim(), queue.pending, pool.freeCount], [5, 0, 256]);
  assertEquals(new Set(pool.freeStack).size, 256);
  queue.close();
});

Deno.test("TxQueue.reclaim() returns every buffer after its packet was sent", async () => {
  using bench = await Bench.start();
  const free = bench.pool.freeCount;
  for (const n of [1, 2, 31, 32, 5, 1, 1]) {
    for (let i = 0; i < n; i++) bench.batch.add(frame(60));
    bench.tx.transmit(bench.batch);
  }
  assertEquals(bench.tx.pending, 73);
  bench.settle();
  assertEquals(bench.tx.reclaim(), 73);
  assertEquals(bench.tx.pending, 0);
  assertEquals(bench.pool.freeCount, free);
});

Deno.test("TxQueue.transmit() does not write TDT if there is nothing to send", async () => {
  using bench = await Bench.start();
  const words = bench.pci.bar(0).doorbell(R.TDT.offset);
  words.words[words.index] = 0;
  assertEquals(bench.tx.transmit(bench.batch), 0);
  bench.batch.add(frame(60));
  bench.tx.transmit(bench.batch);
  assertEquals(words.words[words.index], 1);
});

Deno.test("TxQueue.transmit() refuses a buffer that the program does not own", async () => {
  using bench = await Bench.start();
  bench.batch.add(frame(60, 1));
  bench.batch.add(frame(60, 2));
  const stale = bench.batch.buffers[0];
  bench.tx.transmit(bench.batch);
  for (const wrong of [stale, bench.pool.freeStack[0], 99999]) {
    bench.batch.add(frame(60, 3));
    bench.batch.buffers[1] = wrong;
    bench.batch.length = 2;
    assertThrows(() => bench.tx.transmit(bench.batch), Error, "does not own it");
    assertEquals([bench.batch.length, bench.batch.buffers[0]], [1, wrong]);
    bench.batch.length = 0;
  }
  bench.settle();
  assertEquals(bench.pci.wire.sent.length, 5);
});

for (const [bufferSize, size] of [[2048, 1], [2048, 13], [2048, 2049], [16384, 15869]]) {
  Deno.test(`TxQueue.transmit() refuses ${size} bytes in buffers of ${bufferSize}`, async () => {
    using bench = await Bench.start({ bufferSize });
    bench.batch.add(frame(60));
    bench.batch.add(frame(60));
    bench.pool.lengths[bench.batch.buffers[1]] = size;
    assertThrows(() => bench.tx.transmit(bench.batch), Error, `${size} bytes and cannot be sent`);
    assertEquals(bench.batch.length, 1);
    bench.settle();
    assertEquals(bench.pci.wire.sent.length, 1);
  });
}

Deno.test("TxQueue.transmit() sends 15868 bytes, the longest frame", async () => {
  using bench = await Bench.start({ bufferSize: 16384 });
  bench.batch.add(frame(15868));
  assertEquals(bench.tx.transmit(bench.batch), 1);
  bench.settle();
  assertEquals(bench.pci.wire.sent, [frame(15868)]);
});

Deno.test("TxQueue.transmit() pads packets of 14 to 16 bytes with zeros", async () => {
  using bench = await Bench.start();
  const sizes = [14, 15, 16, 17];
  for (const size of sizes) {
    bench.batch.allocate(60)!.fill(0xff); // the buffer's old content
    bench.batch.resize(bench.batch.length - 1, size).set(frame(size));
  }
  assertEquals(bench.tx.transmit(bench.batch), 4);
  bench.settle();
  assertEquals(
    bench.pci.wire.sent,
    sizes.map((size) => Uint8Array.from({ length: 60 }, (_, i) => frame(size)[i] ?? 0)),
  );
  assertEquals(bench.device.statistics().txBytes, 62);
});
