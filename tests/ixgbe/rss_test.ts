/** Several queues of an ixgbe device, and receive side scaling, on the NIC model. */

import { assert, assertEquals, assertNotEquals, assertRejects, assertThrows } from "@std/assert";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import * as R from "../../ixgbe/registers.ts";
import {
  Mempool,
  type OpenOptions,
  PacketBatch,
  RSS_KEY,
  RSS_SYMMETRIC_KEY,
  toeplitz,
  UsageError,
} from "../../mod.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { ModelFunction } from "../support/model_function.ts";
import { VECTORS } from "../support/rss_vectors.ts";
import { packet, type PacketOptions } from "../support/ip_packets.ts";

/** A received packet: its queue and its hash. */
interface Arrival {
  readonly queue: number;
  readonly hash: number;
  readonly bytes: Uint8Array;
}

/** A driver in promiscuous mode on a model; disposing checks rules, and that all buffers are free. */
class Bench implements Disposable {
  readonly pci: ModelFunction;
  readonly pools: Mempool[] = [];
  device!: IxgbeDevice;

  private constructor(nic: NicOptions) {
    this.pci = new ModelFunction(nic);
  }

  /** Starts a driver with one pool for each pair of queues. */
  static async start(options: OpenOptions, nic: NicOptions = {}): Promise<Bench> {
    const bench = new Bench(nic);
    const { rxQueues = 1, txQueues = 1 } = options;
    for (let i = 0; i < Math.max(rxQueues, txQueues); i++) {
      bench.pools.push(new Mempool({ buffers: 256, memory: "pages" }));
    }
    bench.device = await ixgbe.attach(bench.pci, {
      pools: bench.pools,
      rxEntries: 64,
      txEntries: 64,
      promiscuous: true,
      ...options,
    }) as IxgbeDevice;
    return bench;
  }

  /** Puts packets on the wire, lets the NIC receive them, and receives them from all queues. */
  arrive(...packets: Uint8Array[]): Arrival[] {
    this.pci.wire.waiting.push(...packets);
    while (this.pci.wire.waiting.length > 0) this.pci.nic.poll();
    const arrivals: Arrival[] = [];
    for (const queue of this.device.rxQueues) {
      const batch = new PacketBatch(queue.pool, 64);
      while (queue.receive(batch) > 0) {
        for (const [i, bytes] of [...batch].entries()) {
          const hash = queue.pool.rssHash[batch.buffers[i]];
          arrivals.push({ queue: queue.number, hash, bytes: bytes.slice() });
        }
        batch.free();
      }
    }
    return arrivals;
  }

  /** Puts one packet on the wire, receives it, and returns its queue and hash. */
  arriveOne(options: PacketOptions): Arrival {
    const arrivals = this.arrive(packet(options));
    assertEquals(arrivals.length, 1);
    return arrivals[0];
  }

  [Symbol.dispose](): void {
    this.device.close();
    for (const pool of this.pools) {
      assertEquals(pool.freeCount, pool.buffers);
      pool[Symbol.dispose]();
    }
    assertEquals(this.pci.nic.rules.violations, []);
  }
}

function udp(from: number, to: number): PacketOptions {
  const source = [10, 0, 0, 1], destination = [10, 0, 0, 2];
  return { source, destination, protocol: "udp", ports: [from, to], payload: 32 };
}

/** Returns the bytes of a packet that are hashed. */
function inputOf({ source, destination, ports: [from, to] }: PacketOptions): Uint8Array {
  return Uint8Array.of(...source, ...destination, from >>> 8, from, to >>> 8, to);
}

Deno.test("RSS hashes the published vectors as toeplitz() does, for TCP and for UDP", async () => {
  using bench = await Bench.start({ rxQueues: 4 });
  for (const { name, source, destination, ports, portHash } of VECTORS) {
    for (const protocol of ["tcp", "udp"] as const) {
      const { hash, queue } = bench.arriveOne({
        source,
        destination,
        protocol,
        ports,
        payload: 32,
      });
      assertEquals(hash, portHash, `${name}, ${protocol}`);
      assertEquals(queue, portHash % 128 % 4, `${name}, ${protocol}`);
    }
  }
});

Deno.test("RSS hashes only addresses if there are no ports", async () => {
  using bench = await Bench.start({ rxQueues: 4 });
  for (const { name, source, destination, ports, addressHash } of VECTORS) {
    const icmp = packet({ source, destination, protocol: "udp", ports, payload: 32 });
    icmp[source.length === 4 ? 23 : 20] = source.length === 4 ? 1 : 58;
    const [{ hash, queue }] = bench.arrive(icmp);
    assertEquals(hash, addressHash, name);
    assertEquals(queue, addressHash % 128 % 4, name);
  }
});

Deno.test("Mempool.rssHash is 0, and the queue is 0, for packets other than IP", async () => {
  using bench = await Bench.start({ rxQueues: 4 });
  const hashed = bench.arriveOne(udp(1, 2)), arp = new Uint8Array(60);
  arp.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06]);
  assertNotEquals(hashed.hash, 0);
  for (let i = 0; i < 300; i++) { // every buffer is used several times
    const [{ queue, hash }] = bench.arrive(arp);
    assertEquals([queue, hash], [0, 0]);
  }
});

for (const queues of [1, 2, 3, 5, 16]) {
  Deno.test(`RSS spreads flows over ${queues} receive queues by their hash, each flow in order`, async () => {
    using bench = await Bench.start({ rxQueues: queues, rssKey: RSS_KEY });
    const flows = Array.from({ length: 200 }, (_, i) => udp(1000 + i, 9));
    const used = new Set<number>();
    for (let round = 0; round < 3; round++) {
      for (const flow of flows) {
        const sent = packet({ ...flow, payload: 32 + round });
        const [{ queue, hash, bytes }] = bench.arrive(sent);
        assertEquals(hash, toeplitz(inputOf(flow)));
        assertEquals(queue, hash % 128 % queues);
        assertEquals(bytes, sent);
        used.add(queue);
      }
    }
    assertEquals(used.size, queues, "every queue has flows");
    const { rxPackets } = bench.device.statistics();
    assertEquals(rxPackets, 600, "statistics() adds up all queues");
    const byQueue = bench.device.rxQueues.map(({ packets }) => packets);
    assertEquals(byQueue.reduce((sum, n) => sum + n), 600);
  });
}

Deno.test("RSS_SYMMETRIC_KEY puts both directions of a connection in the same queue", async () => {
  using bench = await Bench.start({ rxQueues: 16, rssKey: RSS_SYMMETRIC_KEY });
  const queues = new Set<number>();
  for (const { source, destination, ports: [from, to] } of VECTORS) {
    const there = { source, destination, protocol: "tcp", ports: [from, to], payload: 9 } as const;
    const back = { ...there, source: destination, destination: source, ports: [to, from] } as const;
    const [a, b] = [bench.arriveOne(there), bench.arriveOne(back)];
    assertEquals(a.hash, toeplitz(inputOf(there), RSS_SYMMETRIC_KEY));
    assertEquals(a.queue, b.queue);
    assertEquals(a.hash, b.hash);
    queues.add(a.queue);
  }
  assert(queues.size > 1, "not all in one queue");
});

Deno.test("RETA assigns queues in turns; X550 has 512 entries, the others 128", async (t) => {
  for (const [deviceId, large] of [[0x10fb, false], [0x1528, false], [0x1563, true]] as const) {
    await t.step(deviceId.toString(16), async () => {
      using bench = await Bench.start({ rxQueues: 3 }, { deviceId });
      const regs = bench.device.registers;
      const entries = (first: number) => [3, 2, 1, 0].reduce((w, n) => w << 8 | (first + n) % 3, 0);
      assertEquals(regs.read(R.RETA, 0), entries(0));
      assertEquals(regs.read(R.RETA, 31), entries(124));
      assertEquals(regs.read(R.ERETA, 0), large ? entries(128) : 0);
      assertEquals(regs.read(R.ERETA, 95), large ? entries(508) : 0);
    });
  }
});

Deno.test("X550 spreads flows by all 512 entries", async () => {
  using bench = await Bench.start({ rxQueues: 3 }, { deviceId: 0x1563 });
  let unlike = 0;
  for (let i = 0; i < 200; i++) {
    const { queue, hash } = bench.arriveOne(udp(1000 + i, 9));
    assertEquals(queue, hash % 512 % 3);
    if (hash % 512 % 3 !== hash % 128 % 3) unlike++;
  }
  assert(unlike > 0, "128 entries would give other queues");
});

Deno.test("ixgbe.attach() with one queue and no key leaves RSS off", async () => {
  using bench = await Bench.start({});
  assertEquals(bench.device.registers.read(R.MRQC), 0);
  const { queue, hash } = bench.arriveOne(udp(1, 2));
  assertEquals([queue, hash], [0, 0]);
});

Deno.test("64 transmit queues send, each from its own pool, and statistics() sums them up", async () => {
  using bench = await Bench.start({ txQueues: 64 });
  const { device, pci } = bench;
  for (const queue of device.txQueues) {
    const batch = new PacketBatch(queue.pool);
    for (let i = 0; i < 3; i++) batch.add(packet(udp(queue.number, i)));
    assertEquals(queue.transmit(batch), 3);
  }
  for (let i = 0; i < 40; i++) pci.nic.poll();
  const ports = pci.wire.sent.map((frame) => [frame[35], frame[37]]);
  assertEquals(ports.length, 3 * 64);
  for (let q = 0; q < 64; q++) {
    const mine = ports.filter(([from]) => from === q).map(([, to]) => to);
    assertEquals(mine, [0, 1, 2], `queue ${q} keeps the order`);
  }
  assertEquals(device.statistics().txPackets, 192);
  for (const queue of device.txQueues) {
    assertEquals(queue.reclaim(), 3);
    assertEquals(queue.pending, 0);
  }
});

Deno.test("Queues refuse batches of another queue's pool", async () => {
  using bench = await Bench.start({ rxQueues: 2, txQueues: 2 });
  const [first, second] = bench.pools;
  const { rxQueues, txQueues } = bench.device;
  assertEquals([rxQueues[0].pool, txQueues[1].pool], [first, second]);
  const batch = new PacketBatch(first);
  batch.add(packet(udp(1, 2)));
  assertThrows(() => txQueues[1].transmit(batch), Error, "another pool");
  batch.free();
  assertThrows(() => rxQueues[1].receive(batch), Error, "another pool");
});

Deno.test("ixgbe.attach() refuses numbers of queues, keys and pools out of range", async (t) => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  using large = new Mempool({ buffers: 1024, bufferSize: 4096, memory: "pages" });
  using roomy = new Mempool({ buffers: 1024, headroom: 64, memory: "pages" });
  const gone = new Mempool({ buffers: 1024, memory: "pages" });
  gone[Symbol.dispose]();
  const cases: [rule: string, options: OpenOptions, sentence: string][] = [
    ["a disposed pool", { pool: gone }, "the pool is disposed"],
    ["a disposed pool for sending", { txQueues: 2, pools: [pool, gone] }, "the pool is disposed"],
    ["17 receive queues", { rxQueues: 17 }, "1 to 16 receive queues, not 17"],
    ["no receive queue", { rxQueues: 0 }, "1 to 16 receive queues, not 0"],
    ["65 transmit queues", { txQueues: 65 }, "1 to 64 transmit queues, not 65"],
    ["half a queue", { txQueues: 1.5 }, "not 1.5"],
    ["a short key", { rssKey: new Uint8Array(39) }, "an RSS key has 40 bytes, not 39"],
    ["a pool and pools", { pool, pools: [pool] }, "either `pool` or `pools`"],
    ["too few pools", { rxQueues: 2, pools: [pool] }, "one pool for each queue: 2, not 1"],
    ["too many pools", { pools: [pool, pool] }, "one pool for each queue: 1, not 2"],
    ["a pool with headroom", { pool: roomy }, "no use for the headroom of 64 bytes"],
    ["pools of two sizes", { rxQueues: 2, pools: [pool, large] }, "the same buffer size"],
    [
      "a pool too small for its rings",
      { rxQueues: 2, rxEntries: 1024, pools: [pool, pool] },
      "2 receive rings of 1024 need as many free buffers, and the pool has 1024",
    ],
  ];
  for (const [rule, options, sentence] of cases) {
    await t.step(rule, async () => {
      const pci = new ModelFunction();
      await assertRejects(
        () => ixgbe.attach(pci, options),
        UsageError,
        sentence,
      );
      assertEquals(pci.writes, [], "no register was written");
      assertEquals(pci.log.includes("claim"), false);
    });
  }
});
