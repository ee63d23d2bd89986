/** The ixgbe receive path: when RDT is written, and which packets are dropped. */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { RX_DD, RX_EOP, RX_RXE } from "../../ixgbe/descriptors.ts";
import { ixgbe } from "../../ixgbe/device.ts";
import { Mempool, PacketBatch } from "../../mod.ts";
import { ModelFunction } from "../support/model_function.ts";
import { FakeRxRing } from "../support/fake_ring.ts";

/** Receives all packets and returns their sizes; asserts that each call leaves less than `part` descriptors empty. */
function drain({ queue }: FakeRxRing, batch: PacketBatch, part = Infinity): number[] {
  const sizes: number[] = [];
  while (queue.receive(batch) > 0) {
    assert(queue.read - queue.refilled < part, "descriptors are refilled under load");
    for (let i = 0; i < batch.length; i++) sizes.push(batch.pool.lengths[batch.buffers[i]]);
    batch.free();
  }
  return sizes;
}

/** Asserts that no buffer is in two places: in the ring, or free in the pool. */
function assertApart(ring: FakeRxRing, pool: Mempool): void {
  const places = [...ring.buffers(), ...pool.freeStack.subarray(0, pool.freeCount)];
  assertEquals(new Set(places).size, places.length);
  assert(places.every((buffer) => Number.isInteger(buffer) && buffer < pool.buffers));
}

for (const [entries, part] of [[64, 8], [128, 16], [512, 32], [4096, 32]]) {
  Deno.test(`RxQueue.receive() with ${entries} descriptors writes RDT for at least ${part}, or when it is idle`, () => {
    const least = entries - part;
    const bursts = fc.array(fc.integer({ min: 1, max: least }), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(bursts, fc.integer({ min: 1, max: 256 }), (bursts, capacity) => {
        using pool = new Mempool({ buffers: entries + 512, memory: "pages" });
        const ring = new FakeRxRing(pool, entries), batch = new PacketBatch(pool, capacity);
        assertEquals(ring.tails, [entries - 1]);
        let sent = 0;
        for (const burst of bursts) {
          const sizes = Array.from({ length: burst }, () => 60 + sent++ % 1000);
          for (const size of sizes) ring.fill(size);
          const written = ring.tails.length;
          assertEquals(drain(ring, batch, part), sizes); // the last call of receive() found no packet
          assertEquals(ring.free, entries - 1);
          for (let i = written; i < ring.tails.length - 1; i++) {
            assert(((ring.tails[i] - ring.tails[i - 1]) & (entries - 1)) >= part);
          }
          assert(ring.tails.length - written <= burst / part + 1);
          assertApart(ring, pool);
        }
        ring.queue.close();
        assertEquals(pool.freeCount, pool.buffers);
      }),
      { numRuns: 30 },
    );
  });
}

Deno.test("A receive ring of 64 misses no packet in bursts of up to 56, whatever came before", async () => {
  using pool = new Mempool({ buffers: 256, memory: "pages" });
  const pci = new ModelFunction(), batch = new PacketBatch(pool);
  using device = await ixgbe.attach(pci, { pool, rxEntries: 64, promiscuous: true });
  const [queue] = device.rxQueues;
  let sent = 0;
  for (let burst = 1; burst <= 56; burst++) {
    for (let again = 0; again < 9; again++, sent += burst) {
      for (let i = 0; i < burst; i++) pci.wire.waiting.push(new Uint8Array(60).fill(i));
      while (pci.wire.waiting.length > 0) pci.nic.poll();
      let received = 0;
      for (let n; (n = queue.receive(batch)) > 0; batch.free()) received += n;
      assertEquals(received, burst, "no packet is left in the ring");
    }
  }
  assertEquals(queue.packets, sent);
  assertEquals(device.statistics().rxMissed, 0);
  assertEquals(pci.nic.rules.violations, []);
});

const DONE = RX_DD | RX_EOP;
/** A frame as descriptors (size and status), and its expected fate. */
type Kind = readonly [fate: "received" | "damaged" | "tooLong", ...parts: [number, number][]];
const KINDS: readonly Kind[] = [
  ["received", [60, DONE]],
  ["received", [2048, DONE]],
  ["damaged", [60, DONE | RX_RXE]],
  ["damaged", [0, DONE]],
  ["tooLong", [2048, RX_DD], [1, DONE]],
  ["tooLong", [2048, RX_DD], [2048, RX_DD], [2048, RX_DD], [60, DONE]],
  ["tooLong", [2048, RX_DD | RX_RXE], [60, DONE | RX_RXE]],
  ["tooLong", [2049, DONE]],
  ["tooLong", [65535, DONE]],
];

Deno.test("RxQueue.receive() drops damaged and long frames, even if it polls in the middle of them", () => {
  const frames = fc.array(fc.tuple(fc.constantFrom(...KINDS), fc.array(fc.boolean())), {
    minLength: 1,
    maxLength: 150,
    size: "max", // the ring wraps
  });
  fc.assert(
    fc.property(frames, fc.integer({ min: 1, max: 40 }), (frames, capacity) => {
      using pool = new Mempool({ buffers: 128, memory: "pages" });
      const ring = new FakeRxRing(pool, 64), batch = new PacketBatch(pool, capacity);
      const sizes: number[] = [], expected: number[] = [];
      const counts = { received: 0, damaged: 0, tooLong: 0 };
      let bytes = 0;
      for (const [[fate, ...parts], polls] of frames) {
        counts[fate]++;
        for (const [i, [size, status]] of parts.entries()) {
          if (polls[i] || ring.free === 0) sizes.push(...drain(ring, batch));
          ring.fill(size, status);
        }
        if (fate === "received") {
          expected.push(parts[0][0]);
          bytes += parts[0][0];
        }
      }
      sizes.push(...drain(ring, batch));
      assertEquals(sizes, expected);
      const { packets, damaged, tooLong, noBuffer, bytes: counted } = ring.queue;
      assertEquals({ received: packets, damaged, tooLong }, counts);
      assertEquals([counted, noBuffer], [bytes, 0]);
      assert(ring.free >= 56);
      assertApart(ring, pool);
      ring.queue.close();
      assertEquals(pool.freeCount, pool.buffers);
      assertEquals(new Set(pool.freeStack).size, pool.buffers);
    }),
    { numRuns: 300 },
  );
});

/** What may happen to a queue and its pool, with a number of frames or packets. */
const EVENTS = fc.oneof(
  fc.record({ arrive: fc.constantFrom(...KINDS), times: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ receive: fc.constantFrom(1, 3, 32, 256) }),
  fc.record({ free: fc.integer({ min: 1, max: 80 }) }),
  fc.record({ allocate: fc.integer({ min: 1, max: 80 }) }),
);

Deno.test("RxQueue.receive() loses and doubles no buffer, whatever arrives and however empty the pool is", () => {
  const events = fc.array(EVENTS, { minLength: 20, maxLength: 120, size: "max" });
  fc.assert(
    fc.property(events, (events) => {
      const entries = 64;
      using pool = new Mempool({ buffers: 128, memory: "pages" });
      const ring = new FakeRxRing(pool, entries), { queue } = ring;
      const arrived = { received: 0, damaged: 0, tooLong: 0 }, held: number[] = [];
      const receive = (capacity: number): number => {
        const batch = new PacketBatch(pool, capacity), n = queue.receive(batch);
        held.push(...batch.buffers.subarray(0, n));
        return n;
      };
      const check = () => {
        const empty = queue.read - queue.refilled;
        assert(empty >= 0 && empty < entries / 8, `${empty} descriptors are empty`);
        const places = [...held, ...pool.freeStack.subarray(0, pool.freeCount)];
        assertEquals(places.length, pool.buffers - entries + empty, "none is lost");
        assertEquals(new Set([...places, ...ring.buffers()]).size, places.length + ring.free);
      };
      for (const event of events) {
        if ("arrive" in event) {
          const [fate, ...parts] = event.arrive;
          for (let i = 0; i < event.times && ring.free >= parts.length; i++, arrived[fate]++) {
            for (const [size, status] of parts) ring.fill(size, status);
          }
        } else if ("receive" in event) {
          receive(event.receive);
        } else if ("free" in event) {
          for (const buffer of held.splice(0, event.free)) pool.free(buffer);
        } else {
          for (let i = 0; i < event.allocate && pool.freeCount > 0; i++) {
            held.push(pool.allocate(60));
          }
        }
        check();
      }
      do {
        for (const buffer of held.splice(0)) pool.free(buffer);
      } while (receive(32) > 0);
      const { packets, noBuffer, damaged, tooLong } = queue;
      assertEquals({ received: packets + noBuffer, damaged, tooLong }, arrived);
      queue.close();
      assertEquals(pool.freeCount, pool.buffers);
      assertEquals(new Set(pool.freeStack).size, pool.buffers);
    }),
    { numRuns: 200 },
  );
});

Deno.test("RxQueue.receive() does not come round to a descriptor that has no buffer", () => {
  using pool = new Mempool({ buffers: 512, memory: "pages" });
  const ring = new FakeRxRing(pool, 64), batch = new PacketBatch(pool, 256);
  for (let i = 0; i < 5; i++) ring.fill(60);
  assertEquals(ring.queue.receive(batch), 5);
  batch.free();
  for (let i = 5; i < 63; i++) ring.fill(60); // all that the NIC has; DD is still set in 0 to 4
  ring.setDone(63); // a NIC that fills the descriptor before RDT, too
  assertEquals(ring.queue.receive(batch), 58);
  batch.free();
  assertEquals(new Set(pool.freeStack.subarray(0, pool.freeCount)).size, pool.freeCount);
  ring.queue.close();
  assertEquals(pool.freeCount, 512);
});

Deno.test("RxQueue.receive() drops a long frame in parts, also while the pool is empty", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const ring = new FakeRxRing(pool, 64), batch = new PacketBatch(pool, 8);
  assertEquals(pool.freeCount, 0);
  ring.fill(60);
  ring.fill(2048, RX_DD);
  assertEquals(drain(ring, batch), []);
  assertEquals([ring.queue.noBuffer, ring.queue.tooLong], [1, 1]);
  ring.fill(2048, RX_DD);
  assertEquals(drain(ring, batch), []);
  ring.fill(60);
  ring.fill(61);
  assertEquals(drain(ring, batch), []);
  assertEquals([ring.queue.noBuffer, ring.queue.tooLong], [2, 1], "the last frame was complete");
  assertEquals(ring.free, 63, "descriptors of dropped packets return to the NIC at once");
  ring.queue.close();
  assertEquals(pool.freeCount, 64);
});

Deno.test("Device.setPromiscuous() loses no frame that arrives meanwhile, and disables nothing", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const pci = new ModelFunction(), batch = new PacketBatch(pool);
  using device = await ixgbe.attach(pci, { pool });
  const [queue] = device.rxQueues;
  for (const on of [true, false, true]) {
    pci.wire.waiting.push(...Array.from({ length: 8 }, () => new Uint8Array(60).fill(0xff)));
    device.setPromiscuous(on);
    while (pci.wire.waiting.length > 0) pci.nic.poll();
    assertEquals(queue.receive(batch), 8);
    batch.free();
  }
  assertEquals(pci.nic.counters.ignored, 0);
  assertEquals(pci.nic.rules.violations, []);
});
