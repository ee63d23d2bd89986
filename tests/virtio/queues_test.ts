/** The virtqueues of the VirtIO driver, on a device that the test simulates. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DeviceError, Mempool, PacketBatch } from "../../mod.ts";
import { Feature, INDIRECT_DESC } from "../../virtio/features.ts";
import type { VirtioDevice } from "../../virtio/device.ts";
import { type DirectOptions, DirectVirtio } from "../support/direct_virtio.ts";

/** A device, its driver and a pool. */
class Bench implements Disposable {
  private constructor(
    readonly direct: DirectVirtio,
    readonly pool: Mempool,
    readonly device: VirtioDevice,
  ) {}

  static async open(
    options: DirectOptions & {
      buffers?: number;
      headroom?: number;
      rxEntries?: number;
      txEntries?: number;
    } = {},
  ): Promise<Bench> {
    const { buffers = 1024, headroom = 0, rxEntries = 512, txEntries = 512 } = options;
    const pool = new Mempool({ buffers, headroom, memory: "pages" });
    const direct = new DirectVirtio(options);
    return new Bench(direct, pool, await direct.open({ pool, rxEntries, txEntries }));
  }

  get rx() {
    return this.device.rxQueues[0];
  }

  get tx() {
    return this.device.txQueues[0];
  }

  /** Receives packets, frees them, and returns their first bytes. */
  receive(capacity = 32): number[] {
    const batch = new PacketBatch(this.pool, capacity);
    this.rx.receive(batch);
    const first = [...batch].map((packet) => packet[0]);
    batch.free();
    return first;
  }

  /** Sends packets, each filled with a value. */
  send(...values: number[]): number {
    const batch = new PacketBatch(this.pool, 256);
    for (const value of values) assert(batch.add(packet(value)));
    const sent = this.tx.transmit(batch);
    batch.free();
    return sent;
  }

  [Symbol.dispose](): void {
    this.device.close();
    assertEquals(this.pool.freeCount, this.pool.buffers, "every buffer is in the pool");
    this.pool[Symbol.dispose]();
  }
}

function packet(value: number, bytes = 60): Uint8Array {
  return new Uint8Array(bytes).fill(value);
}

Deno.test("VirtioRxQueue.receive() returns packets in order while the ring wraps many times", async () => {
  using bench = await Bench.open();
  let next = 0;
  for (let round = 0; round < 2000; round++) {
    const count = round % 40;
    const sent = Array.from({ length: count }, (_, i) => (next + i) & 0xff);
    for (const value of sent) bench.direct.deliver(packet(value));
    assertEquals([...bench.receive(), ...bench.receive()], sent);
    next += count;
  }
  assertEquals(bench.rx.packets, next);
  assertEquals(bench.device.statistics().rxBytes, next * 60);
});

Deno.test("VirtioRxQueue posts at most rxEntries buffers, again once an eighth was received", async () => {
  using bench = await Bench.open({ entries: [1024, 256], rxEntries: 64 });
  const { queues: [queue] } = bench.direct, waiting = new Set<number>();
  assertEquals(queue.waiting, 64);
  for (let i = 0; i < 3000; i++) {
    bench.direct.deliver(packet(i & 0xff, 60 + i % 1400));
    assertEquals(bench.receive(), [i & 0xff]);
    waiting.add(queue.waiting);
    assertEquals(bench.pool.freeCount, 1024 - queue.waiting);
  }
  assertEquals([...waiting].sort(), [56, 57, 58, 59, 60, 61, 62, 63]);
});

Deno.test("VirtioRxQueue leaves the device at least half of its buffers, however many a call receives", async () => {
  using bench = await Bench.open({ entries: [64, 64], rxEntries: 64 });
  const { queues: [queue] } = bench.direct, batch = new PacketBatch(bench.pool, 256);
  for (let round = 0; round < 300; round++) {
    const count = Math.min(queue.waiting, round % 65);
    for (let i = 0; i < count; i++) bench.direct.deliver(packet(i));
    assertEquals(bench.rx.receive(batch), count);
    assert(queue.waiting >= 32, `${queue.waiting} after ${count}`);
    batch.free();
  }
});

Deno.test("VirtioRxQueue gives chains buffers while nothing arrives, once an eighth has none", async () => {
  using bench = await Bench.open({ entries: [64, 64], rxEntries: 64 });
  const { queues: [queue] } = bench.direct, batch = new PacketBatch(bench.pool, 256);
  for (const [arrived, waiting] of [[7, 57], [1, 64], [32, 64], [8, 64]]) {
    for (let i = 0; i < arrived; i++) bench.direct.deliver(packet(i));
    assertEquals(bench.rx.receive(batch), arrived);
    batch.free();
    assertEquals(bench.rx.receive(batch), 0);
    assertEquals(queue.waiting, waiting, `after ${arrived}`);
  }
  // With an empty pool, it does not notify the device in vain.
  for (let i = 0; i < 20; i++) bench.direct.deliver(packet(i));
  assertEquals(bench.rx.receive(batch), 20);
  const hoard: number[] = [];
  for (let b = bench.pool.allocate(60); b >= 0; b = bench.pool.allocate(60)) hoard.push(b);
  const before = [...bench.direct.log];
  assertEquals([bench.rx.receive(new PacketBatch(bench.pool)), queue.waiting], [0, 44]);
  assertEquals(bench.direct.log, before);
  for (const b of hoard) bench.pool.free(b);
  batch.free();
  assertEquals([bench.rx.receive(batch), queue.waiting], [0, 64]);
});

Deno.test("VirtioRxQueue writes no descriptor if packets are freed in order, so chains get their buffers back", async () => {
  using bench = await Bench.open();
  const { areas: { memory, descriptors } } = bench.direct.queues[0];
  const table = new Uint32Array(memory.buffer, descriptors, 4 * 256), before = table.slice();
  const batch = new PacketBatch(bench.pool, 32);
  for (let round = 0; round < 100; round++) {
    for (let i = 0; i < 20; i++) bench.direct.deliver(packet(i));
    assertEquals(bench.rx.receive(batch), 20);
    batch.free();
    assertEquals(table, before);
  }
  // In another order, they change.
  for (let i = 0; i < 128; i++) bench.direct.deliver(packet(i));
  for (let left = 128; left > 0; left -= bench.rx.receive(batch)) {
    while (batch.length > 0) batch.drop(batch.length - 1);
  }
  batch.free();
  assert(table.some((word, i) => word !== before[i]));
});

const RETURNED = [
  ["", 0n, 0],
  [" of merged buffers", Feature.MRG_RXBUF, 0],
  [" with headroom", 0n, 64],
  [" of merged buffers with headroom", Feature.MRG_RXBUF, 64],
] as const;
for (const [which, features, headroom] of RETURNED) {
  Deno.test(`VirtioRxQueue and VirtioTxQueue accept returned chains${which} in any order`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ count: fc.integer({ min: 1, max: 40 }), seed: fc.nat() }), {
          maxLength: 60,
        }),
        async (rounds) => {
          using bench = await Bench.open({ features, headroom, entries: [64, 64] });
          for (const { count, seed } of rounds) {
            const n = Math.min(count, 32);
            const shuffle = (ids: number[]) => {
              let x = seed;
              for (let i = ids.length - 1; i > 0; i--) {
                x = (Math.imul(x, 1103515245) + 12345) >>> 0;
                const j = x % (i + 1);
                [ids[i], ids[j]] = [ids[j], ids[i]];
              }
              return ids;
            };
            const values = new Map<number, number>();
            for (let i = 0; i < n; i++) values.set(bench.direct.fill(packet(i + 1)), i + 1);
            const ids = shuffle([...values.keys()]);
            for (const id of ids) bench.direct.queues[0].put(id, 72);
            const received: number[] = [];
            while (received.length < n) {
              const some = bench.receive();
              assert(some.length > 0);
              received.push(...some);
            }
            assertEquals(received, ids.map((id) => values.get(id)));

            const sent = bench.send(...received);
            assert(sent <= n);
            const collected = Array.from({ length: sent }, () => bench.direct.collect());
            assertEquals(collected.map(({ packet }) => packet[0]), received.slice(0, sent));
            const some = shuffle(collected.map(({ id }) => id)).slice(
              0,
              seed % 3 ? sent : sent >> 1,
            );
            const left = collected.map(({ id }) => id).filter((id) => !some.includes(id));
            for (const id of some) bench.direct.queues[1].put(id, 0);
            bench.tx.reclaim();
            for (const id of left) bench.direct.queues[1].put(id, 0);
            bench.tx.reclaim();
            assertEquals(bench.tx.pending, 0);
          }
        },
      ),
      { numRuns: 30 },
    );
  });
}

Deno.test("VirtioTxQueue sends zero headers of 12 bytes, or 10 before VirtIO 1.0", async () => {
  for (const [legacy, bytes] of [[false, 12], [true, 10]] as const) {
    using bench = await Bench.open({ legacy });
    assertEquals(bench.send(7), 1);
    const { header, packet: sent, id } = bench.direct.collect();
    assertEquals(header, new Uint8Array(bytes));
    assertEquals(sent, packet(7));
    bench.direct.queues[1].put(id, 0);
    bench.direct.deliver(packet(9), bytes);
    assertEquals(bench.receive(), [9]);
  }
});

/** Who accepts one descriptor for header and packet: device, headroom, descriptors of a chain. */
const CHAINS: Record<string, [DirectOptions, headroom: number, rx: number, tx: number]> = {
  "VERSION_1 and headroom": [{}, 64, 1, 1],
  "VERSION_1, INDIRECT_DESC and headroom": [{ features: INDIRECT_DESC }, 64, 1, 1],
  "VERSION_1 and a headroom of 256": [{}, 256, 1, 1],
  "ANY_LAYOUT and headroom": [{ legacy: true, features: Feature.ANY_LAYOUT }, 64, 1, 1],
  "ANY_LAYOUT, MRG_RXBUF and headroom": [
    { legacy: true, features: Feature.ANY_LAYOUT | Feature.MRG_RXBUF },
    ...[64, 1, 1] as const,
  ],
  "headroom, but neither VERSION_1 nor ANY_LAYOUT": [{ legacy: true }, 64, 2, 2],
  "VERSION_1, but no headroom": [{}, 0, 1, 2],
  "VERSION_1 and INDIRECT_DESC, but no headroom": [{ features: INDIRECT_DESC }, 0, 2, 2],
};
for (const [name, [options, headroom, rx, tx]] of Object.entries(CHAINS)) {
  Deno.test(`Queues.setUp(): with ${name}, a packet takes ${rx} and ${tx} descriptors`, async () => {
    using bench = await Bench.open({ ...options, headroom });
    const { direct, pool } = bench, { headerBytes } = direct;
    assertEquals(direct.queues[0].waiting, 256 / rx);
    const id = direct.fill(packet(9), 1, headerBytes), chain = direct.queues[0].chain(id);
    assertEquals(chain.length, rx);
    const { buffer, byteOffset, length } = chain.at(-1)!.bytes;
    assertEquals(buffer, pool.memory.buffer);
    const before = headroom > 0 && rx === 1 ? headerBytes : 0;
    assertEquals(byteOffset % pool.bufferSize, headroom - before, "where the descriptor leads to");
    assertEquals(length, before + pool.maxLength, "up to the end of the buffer");
    direct.queues[0].put(id, 60 + headerBytes);
    const batch = new PacketBatch(pool, 1);
    assertEquals(bench.rx.receive(batch), 1);
    assertEquals([...batch], [packet(9)]);

    // The device has filled the header with 0xee. Sent from the same buffer, it is zero.
    assertEquals(bench.tx.transmit(batch), 1);
    const sent = direct.collect();
    assertEquals(sent.descriptors, tx);
    assertEquals(sent.header, new Uint8Array(headerBytes));
    assertEquals(sent.packet, packet(9));
    direct.queues[1].put(sent.id, 0);
  });
}

Deno.test("VirtioTxQueue.transmit() clears each word of a header, and nothing else of the buffers", async () => {
  using bench = await Bench.open({ headroom: 64 });
  const { pool, direct } = bench, memory = new Uint8Array(pool.memory.buffer);
  for (let byte = 0; byte < 12; byte++) {
    const batch = new PacketBatch(pool, 1);
    memory.fill(0x55);
    assert(batch.add(packet(1)));
    const [buffer] = batch.buffers, start = buffer * pool.bufferSize + 64;
    memory.fill(0, start - 12, start)[start - 12 + byte] = 0xee;
    const expected = memory.slice().fill(0, start - 12, start);
    assertEquals(bench.tx.transmit(batch), 1);
    assertEquals(direct.collect().header, new Uint8Array(12));
    assertEquals(memory, expected);
  }
  for (let id = 0; id < 12; id++) direct.queues[1].put(id, 0);
});

Deno.test("VirtioTxQueue.transmit() stops at a full ring, and continues once packets are sent", async () => {
  using bench = await Bench.open({ entries: [64, 64] });
  assertEquals(bench.send(...Array(40).keys()), 32);
  assertEquals(bench.tx.pending, 32);
  for (let i = 0; i < 20; i++) bench.direct.queues[1].put(bench.direct.collect().id, 0);
  assertEquals(bench.send(...Array(40).keys()), 20);
  assertEquals(bench.direct.queues[1].waiting, 32);
});

Deno.test("Virtqueue.publish() notifies once a batch, unless the device has set NO_NOTIFY", async () => {
  using bench = await Bench.open();
  const { log, queues } = bench.direct;
  assertEquals(queues.map((queue) => queue.availableFlags), [1, 1]);
  log.length = 0;
  bench.send(1, 2, 3);
  assertEquals(log, ["notify 1"]);
  queues[1].noNotify = true;
  bench.send(1, 2, 3);
  assertEquals(log, ["notify 1"]);
  const receiveEighth = () => {
    for (let i = 0; i < 256 / 8; i++) bench.direct.deliver(packet(i));
    assertEquals(bench.receive().length, 256 / 8);
  };
  receiveEighth(); // the next call posts as many
  assertEquals(log, ["notify 1"]);
  receiveEighth();
  assertEquals(log, ["notify 1", "notify 0"]);
  queues[0].noNotify = true;
  receiveEighth();
  assertEquals(log, ["notify 1", "notify 0"]);
});

Deno.test("IN_ORDER: a used entry stands for all chains up to its own", async () => {
  using bench = await Bench.open({ features: Feature.IN_ORDER });
  const [rx, tx] = bench.direct.queues;
  bench.send(1, 2, 3, 4, 5);
  const ids = Array.from({ length: 5 }, () => bench.direct.collect().id);
  tx.put(ids[3], 0, 4);
  assertEquals(bench.tx.reclaim(), 4);
  tx.put(ids[4], 0);
  assertEquals(bench.tx.reclaim(), 1);

  // All buffers before the last one were filled (section 2.7.9).
  const full = [1, 2].map((value) => bench.direct.fill(packet(value, 2036)));
  assertEquals(full.length, 2);
  rx.put(bench.direct.fill(packet(3)), 72, 3);
  bench.direct.deliver(packet(4));
  assertEquals(bench.receive(), [1, 2, 3, 4]);
  assertEquals(bench.device.statistics().rxBytes, 2 * 2036 + 2 * 60);
});

Deno.test("IN_ORDER: the id of a chain beyond the used index is an error", async () => {
  using bench = await Bench.open({ features: Feature.IN_ORDER });
  bench.send(1, 2, 3);
  const ids = Array.from({ length: 3 }, () => bench.direct.collect().id);
  bench.direct.queues[1].put(ids[2], 0, 1);
  assertThrows(() => bench.tx.reclaim(), DeviceError, `id ${ids[2]}, which it does not have`);
});

Deno.test("MRG_RXBUF: a packet in several buffers is dropped and counted, others are received", async () => {
  using bench = await Bench.open({ features: Feature.MRG_RXBUF });
  const [rx] = bench.direct.queues;
  bench.direct.deliver(packet(1));
  rx.put(bench.direct.fill(packet(2, 2036), 3), 2048);
  for (let i = 0; i < 2; i++) {
    const id = rx.take();
    rx.chain(id)[0].bytes.fill(0xee);
    rx.put(id, i === 0 ? 2048 : 100);
  }
  bench.direct.deliver(packet(3));
  assertEquals([...bench.receive(), ...bench.receive()], [1, 3]);
  assertEquals(bench.device.statistics().rxTooLong, 1);
  assertEquals(rx.waiting, 255, "all but the last packet's");
});

Deno.test("MRG_RXBUF with headroom: a packet in several buffers is dropped and counted", async () => {
  using bench = await Bench.open({ features: Feature.MRG_RXBUF, headroom: 64 });
  const [rx] = bench.direct.queues;
  rx.put(bench.direct.fill(packet(2, 1984), 2), 12 + 1984);
  rx.put(rx.take(), 100);
  bench.direct.deliver(packet(3));
  assertEquals(bench.receive(), [3]);
  assertEquals(bench.device.statistics().rxTooLong, 1);
});

Deno.test("VirtioRxQueue.receive() throws for a length beyond the buffer with headroom", async () => {
  using bench = await Bench.open({ headroom: 64 });
  bench.direct.queues[0].put(bench.direct.fill(packet(1)), 12 + 1984 + 1);
  assertThrows(() => bench.receive(), DeviceError, "length of 1997 bytes");
});

Deno.test("MRG_RXBUF is not accepted from a legacy device without ANY_LAYOUT", async () => {
  using without = await Bench.open({ legacy: true, features: Feature.MRG_RXBUF });
  assertEquals(without.direct.taken, 0n);
  const both = Feature.MRG_RXBUF | Feature.ANY_LAYOUT;
  using bench = await Bench.open({ legacy: true, features: both });
  assertEquals(bench.direct.taken, both);
});

Deno.test("VirtioRxQueue drops packets while the pool is empty, and then receives again", async () => {
  using bench = await Bench.open({ entries: [64, 64], buffers: 128, rxEntries: 64 });
  const { pool } = bench;
  const held: number[] = [];
  for (let b = pool.allocate(1); b >= 0; b = pool.allocate(1)) held.push(b);
  for (let i = 0; i < 5; i++) bench.direct.deliver(packet(i));
  assertEquals(bench.receive(), []);
  assertEquals(bench.device.statistics().rxNoBuffer, 5);
  assertEquals(bench.direct.queues[0].waiting, 64);
  for (const b of held) pool.free(b);
  bench.direct.deliver(packet(9));
  assertEquals(bench.receive(), [9]);
});

/** Entries and indices that a device must not write to the used ring. */
const INVALID: Record<string, [RegExp, (direct: DirectVirtio) => void]> = {
  "an id beyond the ring": [
    /queue 0: .*id 256/,
    (d) => (d.fill(packet(1)), d.queues[0].put(256, 72)),
  ],
  "a huge id": [/queue 0: .*id 4294967295/, (d) => {
    d.fill(packet(1));
    d.queues[0].put(0xffffffff, 72);
  }],
  "an id twice": [/queue 0: .*entry 1 .*id 0,/, (d) => {
    d.deliver(packet(1));
    d.fill(packet(2));
    d.queues[0].put(0, 72);
  }],
  "a length of 0": [/queue 0: .*length of 0 bytes/, (d) => d.queues[0].put(d.fill(packet(1)), 0)],
  "a length without a packet": [
    /length of 12 bytes/,
    (d) => d.queues[0].put(d.fill(packet(1)), 12),
  ],
  "a length beyond the buffer": [/length of 2049 bytes/, (d) => {
    d.queues[0].put(d.fill(packet(1)), 2048 + 1);
  }],
  "a huge length": [/length of 4294967295 bytes/, (d) => {
    d.queues[0].put(d.fill(packet(1)), 0xffffffff);
  }],
  "an index beyond the posted buffers": [/queue 0: .*index is 257/, (d) => {
    d.queues[0].put(d.fill(packet(1)), 72, 257);
  }],
  "an index that decreases": [/queue 0: .*index is 65535/, (d) => d.queues[0].put(0, 72, -1)],
};

for (const [name, [message, play]] of Object.entries(INVALID)) {
  Deno.test(`VirtioRxQueue.receive() throws for ${name}`, async () => {
    using bench = await Bench.open();
    play(bench.direct);
    const batch = new PacketBatch(bench.pool, 32);
    const receive = () => {
      while (bench.rx.receive(batch) > 0) batch.free();
    };
    const error = assertThrows(receive, DeviceError);
    assert(message.test(error.message), error.message);
    batch.free();
  });
}

Deno.test("VirtioRxQueue.receive() posts the buffer of a dropped packet that came out of order", async () => {
  using bench = await Bench.open({ entries: [64, 64] });
  const { pool, direct } = bench, held: number[] = [];
  for (let b = pool.allocate(1); b >= 0; b = pool.allocate(1)) held.push(b);
  const [first, second] = [direct.fill(packet(1)), direct.fill(packet(2))];
  direct.queues[0].put(second, 72);
  assertEquals(bench.receive(), []); // dropped: the pool has no buffer to replace it
  const others = Array.from({ length: 63 }, () => direct.queues[0].take());
  assertEquals(others.at(-1), second);
  assertEquals(new Set([first, ...others]).size, 64, "the device has each chain once");
  for (const buffer of held) pool.free(buffer);
});

Deno.test("VirtioRxQueue.receive() throws for the id of a chain's second descriptor", async () => {
  using bench = await Bench.open({ legacy: true });
  bench.direct.fill(packet(1), 1, 10);
  bench.direct.queues[0].put(1, 70);
  assertThrows(() => bench.receive(), DeviceError, "id 1, which it does not have");
});

Deno.test("VirtioRxQueue.receive() has packets of every size at the start of their buffers, or after the headroom", async () => {
  const cases = [[false, 12, 0, 2036], [true, 10, 0, 2036], [false, 12, 64, 1984]] as const;
  for (const [legacy, header, headroom, longest] of cases) {
    using bench = await Bench.open({ legacy, headroom });
    const batch = new PacketBatch(bench.pool, 1);
    for (let size = 1; size <= longest; size++) {
      const sent = Uint8Array.from({ length: size }, (_, i) => i * 7 + size);
      bench.direct.deliver(sent, header);
      assertEquals(bench.rx.receive(batch), 1);
      assertEquals(batch.packet(0), sent);
      batch.free();
    }
  }
});

Deno.test("VirtioTxQueue.reclaim() throws for a buffer that was not sent, or is returned twice", async () => {
  using bench = await Bench.open();
  const [, tx] = bench.direct.queues;
  bench.send(1, 2);
  const ids = [bench.direct.collect().id, bench.direct.collect().id];
  tx.put(ids[1], 0);
  assertEquals(bench.tx.reclaim(), 1);
  tx.put(ids[1], 0);
  assertThrows(() => bench.tx.reclaim(), DeviceError, "queue 1: the device returned, in entry 1");
  assertEquals(bench.tx.pending, 1);
  tx.put(ids[0], 0, 5);
  assertThrows(() => bench.tx.reclaim(), DeviceError, "queue 1: the used ring's index is");
});

Deno.test("VirtioRxQueue and VirtioTxQueue refuse wrong batches, and all after closing", async () => {
  using bench = await Bench.open();
  using other = new Mempool({ buffers: 64, memory: "pages" });
  const foreign = new PacketBatch(other, 1);
  assertThrows(() => bench.rx.receive(foreign), Error, "another pool");
  assertThrows(() => bench.tx.transmit(foreign), Error, "another pool");
  const batch = new PacketBatch(bench.pool, 4);
  batch.add(packet(1));
  assertThrows(() => bench.rx.receive(batch), Error, "send or free");
  batch.buffers[batch.length++] = batch.buffers[0];
  assertThrows(() => bench.tx.transmit(batch), Error, "does not own it");
  batch.length = 0;
  batch.add(new Uint8Array(13));
  assertThrows(() => bench.tx.transmit(batch), Error, "13 bytes and cannot be sent");
  batch.free();
  bench.device.close();
  assertThrows(() => bench.rx.receive(batch), Error, "closed device");
  assertThrows(() => bench.tx.transmit(batch), Error, "closed device");
});
