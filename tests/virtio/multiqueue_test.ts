/** Several pairs of queues (VIRTIO_NET_F_MQ), on a device that the test simulates. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DeviceError, Mempool, type OpenOptions, PacketBatch, UsageError } from "../../mod.ts";
import type { VirtioDevice } from "../../virtio/device.ts";
import { Feature, featureNames, negotiate } from "../../virtio/features.ts";
import type { VirtioTxQueue } from "../../virtio/tx_queue.ts";
import { DirectVirtio } from "../support/direct_virtio.ts";

const MULTIQUEUE = Feature.MQ | Feature.CTRL_VQ;
const RX_ENTRIES = 64;

/** A device with pairs of queues, and the commands that it receives through the control queue. */
function play(pairs: number, features = MULTIQUEUE, acknowledgement = 0) {
  const direct = new DirectVirtio({ features, pairs });
  const commands: number[][] = [];
  direct.onNotify = (index) => {
    if (index !== 2 * pairs) return;
    const queue = direct.queues[index], id = queue.take();
    const [command, data, ack] = queue.chain(id);
    commands.push([...command.bytes, ...data.bytes]);
    ack.bytes[0] = acknowledgement;
    queue.put(id, 1);
  };
  return { direct, commands };
}

/** Pools and a device that uses them. At the end, each pool must have all of its buffers. */
class Bench implements Disposable {
  private constructor(
    readonly direct: DirectVirtio,
    readonly pools: readonly Mempool[],
    readonly device: VirtioDevice,
  ) {}

  /** Opens a device with a pool for each pair, or one for all. */
  static async open(used: number, { offered = used, shared = false } = {}): Promise<Bench> {
    const { direct } = play(offered);
    const make = () => new Mempool({ buffers: 1024, memory: "pages" });
    const pools = Array.from({ length: shared ? 1 : used }, make);
    const options = { rxEntries: RX_ENTRIES, rxQueues: used, txQueues: used };
    const device = await direct.open({ ...options, ...(shared ? { pool: pools[0] } : { pools }) });
    return new Bench(direct, pools, device);
  }

  /** Receives packets from a pair, and returns their first bytes. */
  receive(pair: number): number[] {
    const queue = this.device.rxQueues[pair], batch = new PacketBatch(queue.pool, 32);
    const bytes: number[] = [];
    while (queue.receive(batch) > 0) {
      bytes.push(...[...batch].map((packet) => packet[0]));
      batch.free();
    }
    return bytes;
  }

  /** Sends packets through a pair, each filled with a value. */
  send(pair: number, ...values: number[]): void {
    const queue = this.device.txQueues[pair], batch = new PacketBatch(queue.pool, 256);
    for (const value of values) assert(batch.add(packet(value)));
    assertEquals(queue.transmit(batch), values.length);
  }

  /**
   * Collects the packets sent through a pair, returns their buffers, and returns their first bytes.
   */
  collect(pair: number): number[] {
    const queue = this.direct.queues[2 * pair + 1], values: number[] = [];
    while (queue.waiting > 0) {
      const { id, packet } = this.direct.collect(pair);
      queue.put(id, 0);
      values.push(packet[0]);
    }
    return values;
  }

  [Symbol.dispose](): void {
    this.device.close();
    for (const pool of this.pools) {
      assertEquals(pool.freeCount, pool.buffers, "every buffer is in its pool");
      pool[Symbol.dispose]();
    }
  }
}

function packet(value: number): Uint8Array {
  return new Uint8Array(60).fill(value);
}

Deno.test("open() sets up the pairs of queues in use, and selects how many are used after DRIVER_OK", async () => {
  const { direct, commands } = play(4);
  const device = await direct.open({ rxQueues: 2, txQueues: 2 });
  assertEquals(featureNames(device.features), ["CTRL_VQ", "MQ", "VERSION_1"]);
  const queues = [0, 1, 2, 3, 8].map((i) => `queue ${i}`);
  assertEquals(direct.log, [
    ...["status 0", "status 1", "status 3", "features", "status 11", ...queues, "status 15"],
    ...["notify 8", "notify 0", "notify 2"],
  ]);
  assertEquals(commands, [[4, 0, 2, 0]]);
  const waiting = direct.queues.slice(0, 4).map((queue) => queue.waiting);
  assertEquals(waiting, [256, 0, 256, 0]);
  assertEquals(device.rxQueues.map(({ number }) => number), [0, 1]);
  assertEquals(device.txQueues.map(({ number }) => number), [0, 1]);
  device.close();
  assertEquals(direct.log.slice(-2), ["stop", "close"]);
});

Deno.test("open() allocates nothing for pairs that it does not use", async () => {
  const { direct } = play(512);
  direct.queueSize = (index) => index <= 1024 ? 32768 : 0;
  using device = await direct.open({ rxQueues: 2, txQueues: 2 });
  assertEquals(device.rxQueues.length, 2);
  assertEquals(Object.keys(direct.queues), ["0", "1", "2", "3", "1024"]);
  assert(direct.mappedBytes < 32 * 2 ** 20, `${direct.mappedBytes} bytes`);
});

Deno.test("open() does not accept MQ for one pair, so that the control queue is queue 2", async () => {
  const features = MULTIQUEUE | Feature.CTRL_RX;
  const direct = new DirectVirtio({ features, pairs: 4, entries: [256, 256, 64] });
  direct.onNotify = (index) => {
    if (index !== 2) return;
    const queue = direct.queues[2], id = queue.take();
    queue.chain(id)[2].bytes[0] = 0;
    queue.put(id, 1);
  };
  using device = await direct.open({});
  assertEquals(featureNames(device.features), ["CTRL_VQ", "CTRL_RX", "VERSION_1"]);
  assertEquals(direct.queues.length, 3);
});

Deno.test("open() sets up only the used pairs if the device has no control queue", async () => {
  const { direct, commands } = play(4, Feature.MQ);
  using device = await direct.open({ rxQueues: 3, txQueues: 3 });
  assertEquals(featureNames(device.features), ["MQ", "VERSION_1"]);
  assertEquals(direct.queues.length, 6);
  assertEquals(commands, []);
});

Deno.test("negotiate() accepts MQ only for several pairs, and CTRL_VQ for MQ alone", () => {
  assertEquals(negotiate(MULTIQUEUE), 0n);
  assertEquals(negotiate(MULTIQUEUE, true), MULTIQUEUE);
  assertEquals(negotiate(Feature.MQ, true), Feature.MQ);
  assertEquals(negotiate(Feature.CTRL_VQ, true), 0n);
});

Deno.test("open() refuses unsupported numbers of queues, and does not change the device", async () => {
  const cases: [options: OpenOptions, log: string[], message: RegExp][] = [
    [{ rxQueues: 3, txQueues: 3 }, ["close"], /has 2 pairs of queues, not 3: use fewer/],
    [{ rxQueues: 2 }, [], /as many receive queues as transmit queues, not 2 and 1: set both/],
    [{ txQueues: 2 }, [], /not 1 and 2: set both/],
    [{ rxQueues: 17, txQueues: 17 }, [], /1 to 16 receive queues, not 17/],
    [{ rxQueues: 0, txQueues: 0 }, [], /1 to 16 receive queues, not 0/],
    [{ rxQueues: 1.5, txQueues: 1.5 }, [], /not 1.5/],
  ];
  for (const [options, log, message] of cases) {
    using pool = new Mempool({ buffers: 16384, memory: "pages" });
    const { direct } = play(2);
    const error = await assertRejects(() => direct.open({ pool, ...options }), UsageError);
    assertMatch(error.message, /^virtio: [^\n]+$/);
    assertMatch(error.message, message);
    assertEquals(direct.log, log);
    assertEquals(pool.freeCount, pool.buffers);
  }
  const { direct } = play(1, 0n);
  const two = () => direct.open({ rxQueues: 2, txQueues: 2 });
  await assertRejects(two, UsageError, "has 1 pair of queues, not 2");
});

Deno.test("open() refuses a device that lacks one of the queues that are used", async () => {
  const features = MULTIQUEUE, entries = [256, 256, 256, 0, 256, 256, 256, 256, 64];
  const direct = new DirectVirtio({ features, pairs: 4, entries });
  const open = () => direct.open({ rxQueues: 2, txQueues: 2 });
  await assertRejects(open, UsageError, "transmit queue 3 has 0 descriptors");
  assertEquals(direct.log.slice(-2), ["stop", "close"]);
});

Deno.test("open() returns all buffers to their pools if the device refuses the number of pairs", async () => {
  const { direct } = play(2, MULTIQUEUE, 1);
  using a = new Mempool({ buffers: 1024, memory: "pages" });
  using b = new Mempool({ buffers: 1024, memory: "pages" });
  const open = () => direct.open({ pools: [a, b], rxQueues: 2, txQueues: 2 });
  await assertRejects(open, DeviceError, "refused command 4.0");
  assertEquals([a.freeCount, b.freeCount], [1024, 1024]);
  assertEquals(direct.log.slice(-2), ["stop", "close"]);
});

Deno.test("open() checks the pool again if two devices are opened at the same time", async () => {
  using pool = new Mempool({ buffers: 200, memory: "pages" });
  const options = { pool, rxEntries: RX_ENTRIES, rxQueues: 2, txQueues: 2 };
  const first = play(2).direct.open(options), { direct } = play(2);
  const second = direct.open(options);
  await assertRejects(() => second, UsageError, "needs as many free buffers, and the pool has 8");
  assertEquals(direct.log.slice(-2), ["stop", "close"]);
  (await first).close();
  assertEquals(pool.freeCount, 200);
});

Deno.test("open() gives each queue its pool, and queues refuse batches of another pool", async () => {
  using bench = await Bench.open(2);
  const { device, pools } = bench;
  assertEquals(device.rxQueues.map(({ pool }) => pools.indexOf(pool)), [0, 1]);
  assertEquals(device.txQueues.map(({ pool }) => pools.indexOf(pool)), [0, 1]);
  assertEquals(pools.indexOf(device.pool), 0);
  assertEquals(pools.map(({ freeCount }) => freeCount), [1024 - RX_ENTRIES, 1024 - RX_ENTRIES]);
  const batch = new PacketBatch(pools[0], 4);
  assertThrows(() => device.rxQueues[1].receive(batch), Error, "another pool");
  batch.add(packet(1));
  assertThrows(() => device.txQueues[1].transmit(batch), Error, "another pool");
  batch.free();
});

Deno.test("open() accepts one pool for several queues", async () => {
  using bench = await Bench.open(3, { offered: 5, shared: true });
  assertEquals(bench.pools[0].freeCount, 1024 - 3 * RX_ENTRIES);
  assertEquals(bench.device.rxQueues.every(({ pool }) => pool === bench.pools[0]), true);
  bench.direct.deliver(packet(7), 12, 2);
  assertEquals([0, 1, 2].map((pair) => bench.receive(pair)), [[], [], [7]]);
});

for (const shared of [false, true]) {
  const pools = shared ? "one pool" : "a pool each";
  Deno.test(`VirtioDevice moves each pair's packets, once and in order, with ${pools}`, async () => {
    const turns = fc.array(
      fc.record({
        pair: fc.nat({ max: 2 }),
        arrive: fc.nat({ max: 40 }),
        leave: fc.nat({ max: 40 }),
        look: fc.boolean(),
      }),
      { maxLength: 80, size: "max" },
    );
    await fc.assert(
      fc.asyncProperty(turns, async (turns) => {
        using bench = await Bench.open(3, { offered: 4, shared });
        const sent = [0, 0, 0], arrived = [0, 0, 0];
        const expected = [0, 1, 2].map(() => [] as number[]), left = structuredClone(expected);
        let n = 0;
        for (const { pair, arrive, leave, look } of turns) {
          const room = bench.direct.queues[2 * pair].waiting;
          for (let i = 0; i < Math.min(arrive, room); i++) {
            bench.direct.deliver(packet(++n & 0xff), 12, pair);
            expected[pair].push(n & 0xff);
            arrived[pair]++;
          }
          for (let i = 0; i < leave && left[pair].length < 100; i++) {
            bench.send(pair, ++n & 0xff);
            left[pair].push(n & 0xff);
            sent[pair]++;
          }
          if (!look) continue;
          for (let pair = 0; pair < 3; pair++) {
            assertEquals(bench.receive(pair), expected[pair].splice(0));
            assertEquals(bench.collect(pair), left[pair].splice(0));
          }
        }
        for (let pair = 0; pair < 3; pair++) {
          assertEquals(bench.receive(pair), expected[pair]);
          assertEquals(bench.collect(pair), left[pair]);
          assertEquals(bench.device.rxQueues[pair].packets, arrived[pair]);
          assertEquals((bench.device.txQueues[pair] as VirtioTxQueue).packets, sent[pair]);
        }
        const sum = (counts: number[]) => counts[0] + counts[1] + counts[2];
        const { rxPackets, rxBytes, txPackets, txBytes } = bench.device.statistics();
        assertEquals([rxPackets, rxBytes], [sum(arrived), 60 * sum(arrived)]);
        assertEquals([txPackets, txBytes], [sum(sent), 60 * sum(sent)]);
      }),
      { numRuns: 30 },
    );
  });
}

Deno.test("VirtioDevice.statistics() includes the drops of every queue", async () => {
  using bench = await Bench.open(2);
  const [, pool] = bench.pools, held: number[] = [];
  for (let b = pool.allocate(1); b >= 0; b = pool.allocate(1)) held.push(b);
  for (let i = 0; i < 5; i++) bench.direct.deliver(packet(i), 12, 1);
  bench.direct.deliver(packet(9), 12, 0);
  assertEquals([bench.receive(0), bench.receive(1)], [[9], []]);
  const { rxPackets, rxNoBuffer } = bench.device.statistics();
  assertEquals([rxPackets, rxNoBuffer], [1, 5]);
  for (const b of held) pool.free(b);
});

Deno.test("Virtqueue.publish() notifies the device of its own queue", async () => {
  using bench = await Bench.open(2);
  const { log } = bench.direct;
  log.length = 0;
  bench.send(1, 1, 2, 3);
  bench.send(0, 1);
  for (let i = 0; i < RX_ENTRIES / 8 - 1; i++) bench.direct.deliver(packet(1), 12, 1);
  bench.receive(1);
  assertEquals(log, ["notify 3", "notify 1"]);
  bench.direct.deliver(packet(1), 12, 1);
  bench.receive(1);
  assertEquals(log, ["notify 3", "notify 1", "notify 2"]);
});

Deno.test("VirtioDevice.close() closes all queues, and keeps all buffers if the device may be running", async () => {
  const { direct } = play(2);
  using a = new Mempool({ buffers: 1024, memory: "pages" });
  using b = new Mempool({ buffers: 1024, memory: "pages" });
  const device = await direct.open({ pools: [a, b], rxQueues: 2, txQueues: 2 });
  direct.atRest = false;
  device.close();
  assertEquals([a.freeCount, b.freeCount], [1024 - 256, 1024 - 256]);
  for (const queue of device.rxQueues) {
    assertThrows(() => queue.receive(new PacketBatch(queue.pool, 1)), Error, "closed device");
  }
  for (const queue of device.txQueues) {
    assertThrows(() => queue.transmit(new PacketBatch(queue.pool, 1)), Error, "closed device");
  }
});
