/** The fault injector around devices of both drivers: faults of packets, and owners of buffers. */

import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Mempool, PacketBatch, RSS_KEY, UsageError, Waiter } from "../../mod.ts";
import { ixgbe } from "../../ixgbe/device.ts";
import { UdpStream } from "../../packets/udp_stream.ts";
import {
  type FaultCounts,
  type Faults,
  FaultyDevice,
  FaultyRxQueue,
  FaultyTxQueue,
  TracedDevice,
} from "../../wrappers/mod.ts";
import { InterruptingFunction, readable, signals } from "../support/interrupt_events.ts";
import { packet } from "../support/ip_packets.ts";
import { ModelFunction } from "../support/model_function.ts";
import { type Rig, RIGS } from "../support/rigs.ts";

const BYTES = 60;

/** Returns a packet with a number, 0 to 65535. */
function numbered(number: number): Uint8Array {
  const packet = new Uint8Array(BYTES);
  packet.set([number >> 8, number & 0xff], 30);
  return packet;
}

function numberOf(packet: Uint8Array): number {
  return packet[30] << 8 | packet[31];
}

/** Returns the index of the one bit in which two packets differ. */
function invertedBit(packet: Uint8Array, other: Uint8Array): number {
  const differing = Array.from({ length: 8 * packet.length }, (_, bit) => bit).filter((bit) => {
    return ((packet[bit >> 3] ^ other[bit >> 3]) >> (bit & 7) & 1) === 1;
  });
  assertEquals([packet.length, differing.length], [other.length, 1]);
  return differing[0];
}

/** Receives until no packet is left. */
function receive(device: FaultyDevice, capacity = 32): Uint8Array[] {
  const batch = new PacketBatch(device.pool, capacity), packets: Uint8Array[] = [];
  while (device.rxQueues[0].receive(batch) > 0) {
    for (const packet of batch) packets.push(packet.slice());
    batch.free();
  }
  return packets;
}

/** Delivers packets with numbers from `first` on, and receives after each few. */
function pass(rig: Rig, device: FaultyDevice, first: number, count: number, capacity = 32) {
  const packets: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    assert(rig.arrive(numbered(first + i)));
    if (i % capacity === capacity - 1) packets.push(...receive(device, capacity));
  }
  return [...packets, ...receive(device, capacity)];
}

const EVERYTHING: Faults = {
  drop: 0.1,
  corrupt: 0.1,
  duplicate: 0.1,
  delay: 0.1,
  reorder: 0.1,
};

type Way = "receive" | "transmit";

/**
 * Faults that a stream can tell apart. It cannot detect that a packet is late if all packets that
 * passed it are corrupt, and it would resend the buffer of a corrupt packet unchanged.
 */
const VISIBLE: readonly [Way, Faults][] = [
  ["receive", { drop: 0.05, duplicate: 0.05, reorder: 0.1 }],
  ["transmit", { drop: 0.05, duplicate: 0.05, reorder: 0.1 }],
  ["receive", { drop: 0.05, duplicate: 0.05, corrupt: 0.1 }],
];

for (const [driver, open] of Object.entries(RIGS)) {
  Deno.test(`FaultyRxQueue of ${driver} has the same faults for the same seed, for any batch sizes`, async () => {
    const runs: { numbers: number[]; counts: FaultCounts }[] = [];
    for (const [seed, capacity] of [[7, 1], [7, 32], [7, 5], [8, 32]]) {
      const rig = await open(512);
      using device = new FaultyDevice(rig.device, { seed, receive: EVERYTHING, now: () => 0 });
      const numbers = pass(rig, device, 0, 300, capacity).map(numberOf);
      runs.push({ numbers, counts: device.faults().receive });
      device.close();
      rig.end();
    }
    const [one, ...others] = runs;
    assertEquals(others.slice(0, 2), [one, one]);
    assertNotEquals(others[2].numbers, one.numbers);
    const { packets, dropped, corrupted, duplicated, delayed, reordered, skipped } = one.counts;
    assertEquals([packets, skipped], [300, 0]);
    for (const count of [dropped, corrupted, duplicated, delayed, reordered]) {
      assert(count > 10 && count < 60, `${count} of 300, at a probability of 0.1`);
    }
  });

  Deno.test(`FaultyRxQueue of ${driver} applies each fault alone at probability 1`, async () => {
    const cases: [Faults, expected: number[]][] = [
      [{}, [0, 1, 2, 3, 4, 5]],
      [{ drop: 1 }, []],
      [{ duplicate: 1 }, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]],
      [{ delay: 1 }, []],
      [{ reorder: 1 }, []], // all are held, so no packet passes
      [{ delay: 1, maxHeld: 4 }, [4, 5]],
      [{ reorder: 1, maxHeld: 2, reorderDistance: 1 }, [2, 0, 1, 5, 3, 4]],
    ];
    for (const [faults, expected] of cases) {
      const rig = await open(512);
      using device = new FaultyDevice(rig.device, { seed: 1, receive: faults, now: () => 0 });
      assertEquals(pass(rig, device, 0, 6).map(numberOf), expected, JSON.stringify(faults));
      device.close();
      rig.end();
    }
  });

  Deno.test(`FaultyDevice of ${driver} inverts one bit of a packet that it corrupts`, async () => {
    const rig = await open(512), corrupt = { corrupt: 1 };
    using device = new FaultyDevice(rig.device, { seed: 3, receive: corrupt, transmit: corrupt });
    const sent: Uint8Array[] = [], batch = new PacketBatch(rig.pool);
    for (let i = 0; i < 400; i++) {
      batch.add(numbered(i));
      device.txQueues[0].transmit(batch);
      sent.push(...rig.sent());
    }
    for (const packets of [pass(rig, device, 0, 400), sent]) {
      assertEquals(packets.length, 400);
      const places = new Set(packets.map((packet, i) => invertedBit(packet, numbered(i))));
      assert(places.size > 200, `${places.size} of ${8 * BYTES} bits in 400 packets`);
    }
    const { receive: received, transmit } = device.faults();
    assertEquals([received.corrupted, transmit.corrupted], [400, 400]);
    device.close();
    rig.end();
  });

  Deno.test(`FaultyDevice of ${driver} releases packets when their time is over, at any call`, async () => {
    const rig = await open(512);
    let now = 0;
    const faults: Faults = { delay: 1, delayMilliseconds: 5 };
    const options = { seed: 1, receive: faults, transmit: faults, now: () => now };
    using device = new FaultyDevice(rig.device, options);
    const [rx] = device.rxQueues, [tx] = device.txQueues;
    const send = (number: number) => {
      const batch = new PacketBatch(rig.pool);
      batch.add(numbered(number));
      assertEquals([tx.transmit(batch), batch.length], [1, 0]);
    };
    assertEquals(pass(rig, device, 0, 3), []);
    now = 2;
    assertEquals(pass(rig, device, 3, 1), []);
    now = 4.9;
    assertEquals(receive(device), []);
    now = 5;
    assertEquals([receive(device).map(numberOf), rx.waiting], [[0, 1, 2], 1]);
    now = 7;
    assertEquals([receive(device).map(numberOf), rx.waiting], [[3], 0]);

    const calls: (() => void)[] = [
      () => tx.transmit(new PacketBatch(rig.pool)),
      () => tx.reclaim(),
      () => receive(device),
      () => device.checkAlive(),
    ];
    for (const [number, call] of calls.entries()) {
      send(number);
      call();
      assertEquals([rig.sent(), tx.pending], [[], 1]);
      now += 5;
      call();
      assertEquals(rig.sent().map(numberOf), [number]);
      tx.reclaim();
      assertEquals([tx.pending, tx.waiting], [0, 0]);
    }
    device.close();
    rig.end();
  });

  Deno.test(`FaultyRxQueue of ${driver} releases a reordered packet in time, although none passes it`, async () => {
    const rig = await open(512);
    let now = 0;
    using device = new FaultyDevice(rig.device, {
      seed: 1,
      receive: { reorder: 1 },
      now: () => now,
    });
    assertEquals(pass(rig, device, 0, 1), []);
    now = 10;
    assertEquals(receive(device).map(numberOf), [0]);
    device.close();
    rig.end();
  });

  Deno.test(`FaultyTxQueue of ${driver} keeps packets that the ring has no room for, in order`, async () => {
    const rig = await open(1024);
    using device = new FaultyDevice(rig.device, { seed: 1, transmit: { duplicate: 1 } });
    const [tx] = device.txQueues, batch = new PacketBatch(rig.pool, 100);
    const sent: number[] = [];
    let next = 0;
    while (next < 1000) {
      while (batch.length < batch.capacity) assert(batch.add(numbered(next++)));
      const first = numberOf(batch.packet(0)), taken = tx.transmit(batch);
      assert(taken === 100 || taken === 0, "all or none");
      if (taken === 0) assertEquals(numberOf(batch.packet(0)), first);
      sent.push(...rig.sent().map(numberOf));
      next -= batch.free();
    }
    while (tx.waiting > 0) {
      tx.reclaim();
      sent.push(...rig.sent().map(numberOf));
    }
    assertEquals(sent, Array.from({ length: 2 * next }, (_, i) => i >> 1));
    device.close();
    rig.end();
  });

  Deno.test(`FaultyTxQueue of ${driver} refuses what the wrapped queue refuses, and takes the packets before`, async () => {
    const rig = await open(512);
    using other = new Mempool({ buffers: 64, memory: "pages" });
    using device = new FaultyDevice(rig.device, { seed: 1 });
    const [tx] = device.txQueues, batch = new PacketBatch(rig.pool);
    for (let i = 0; i < 3; i++) batch.add(numbered(i));
    rig.pool.free(batch.buffers[1]);
    assertThrows(() => tx.transmit(batch), Error, "does not own it");
    assertEquals([batch.length, rig.sent().map(numberOf)], [2, [0]]);
    batch.buffers[0] = batch.buffers[--batch.length];
    assertEquals([tx.transmit(batch), rig.sent().map(numberOf)], [1, [2]]);
    assertThrows(() => tx.transmit(new PacketBatch(other)), Error, "another pool");
    assertThrows(() => device.rxQueues[0].receive(new PacketBatch(other)), Error, "another pool");
    batch.add(numbered(3));
    assertThrows(() => device.rxQueues[0].receive(batch), Error, "holds 1 packets");
    rig.device.close(); // without the wrapper
    assertThrows(() => tx.transmit(batch), Error, "closed");
    assertEquals([batch.length, tx.waiting], [1, 0], "nothing was taken");
    batch.free();
    device.close();
    assertThrows(() => tx.transmit(batch), Error, "closed");
    assertThrows(() => device.rxQueues[0].receive(batch), Error, "closed");
    rig.end();
  });

  Deno.test(`FaultyDevice of ${driver} skips copies while no buffer is free`, async () => {
    const rig = await open(64 + 9);
    using device = new FaultyDevice(rig.device, { seed: 1, receive: { duplicate: 1 } });
    const batch = new PacketBatch(rig.pool, 16);
    const arrive = (...numbers: number[]) => {
      for (const number of numbers) assert(rig.arrive(numbered(number)));
    };
    arrive(0, 1, 2, 3, 4, 5, 6, 7);
    const received = device.rxQueues[0].receive(batch);
    // Eight of the nine free buffers replace them in the ring, but for those that VirtIO posts later.
    const free = 9 + 64 - 8 - rig.ring, copies = Math.min(free, 8);
    assertEquals(received, 8 + copies);
    const numbers = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((n) => n < copies ? [n, n] : [n]);
    assertEquals([...batch].map(numberOf), numbers);
    const { duplicated, skipped } = device.faults().receive;
    assertEquals([duplicated, skipped, rig.pool.freeCount], [copies, 8 - copies, free - copies]);
    assertEquals(copies, driver.startsWith("virtio") ? 8 : 1);
    batch.free();
    device.close();
    rig.end();
  });

  Deno.test(`UdpStream counts the faults of a ${driver} device in a loop, and no others`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), fc.constantFrom(...VISIBLE), async (seed, [way, faults]) => {
        const rig = await open(512);
        let seen = 0, touched = 0;
        const injector = new FaultyDevice(rig.device, {
          seed,
          [way]: faults,
          now: () => 0,
        });
        // The stream ignores byte 1, which forwarders change: count bits inverted there apart.
        using device = new TracedDevice(injector, ({ bytes, direction }) => {
          if (direction === "transmit") return;
          seen++;
          if (bytes[1] !== 0) touched++;
        });
        const [rx] = device.rxQueues, [tx] = device.txQueues;
        const stream = new UdpStream(rig.pool, BYTES, device.macAddress());
        const out = new PacketBatch(rig.pool, 16), back = new PacketBatch(rig.pool, 16);
        const round = (limit: number) => {
          stream.fill(out, limit);
          tx.transmit(out);
          for (const packet of rig.sent()) assert(rig.arrive(packet));
          while (rx.receive(back) > 0) stream.verify(back);
        };
        while (stream.next < 2000) round(2000);
        while (out.length > 0) round(2000);
        const { waiting: held } = way === "receive" ? injector.rxQueues[0] : injector.txQueues[0];
        const counts = injector.faults()[way], { packets, dropped, duplicated } = counts;
        const { missing, reordered, duplicate, corrupt, foreign } = stream.counts(2000);
        assertEquals([packets, counts.skipped], [2000, 0]);
        assertEquals(corrupt + foreign + touched, counts.corrupted);
        assertEquals(missing, dropped + foreign + held);
        assertEquals(duplicate, duplicated);
        assertEquals(reordered, counts.reordered - held);
        assertEquals(seen, packets - dropped + duplicated - held);
        device.close();
        assertEquals(injector.faults()[way].discarded, held);
        rig.end();
      }),
      { numRuns: 20 },
    );
  });

  Deno.test(`FaultyDevice of ${driver} has every buffer in one place, after any calls`, async () => {
    const probability = fc.double({ min: 0, max: 0.2, noNaN: true });
    const faults = fc.record({
      drop: probability,
      corrupt: probability,
      duplicate: probability,
      delay: probability,
      reorder: probability,
      delayMilliseconds: fc.integer({ min: 0, max: 20 }),
      maxHeld: fc.integer({ min: 0, max: 20 }),
    });
    const count = fc.integer({ min: 1, max: 80 });
    const operation = fc.oneof(
      fc.record({ kind: fc.constant("arrive" as const), count }),
      fc.record({ kind: fc.constant("receive" as const), count }),
      fc.record({ kind: fc.constant("send" as const), count }),
      fc.record({ kind: fc.constant("free" as const), count }),
      fc.record({ kind: fc.constant("leave" as const), count }),
      fc.record({ kind: fc.constant("wait" as const), count }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { maxLength: 120, size: "max" }),
        faults,
        faults,
        fc.nat(),
        fc.integer({ min: 70, max: 400 }),
        async (operations, receive, transmit, seed, buffers) => {
          const rig = await open(buffers), { pool } = rig;
          let now = 0;
          const inner = new FaultyDevice(rig.device, { seed, receive, transmit, now: () => now });
          const rest = { receive: transmit, transmit: receive, now: () => now };
          const device = new FaultyDevice(inner, { seed: 1, ...rest });
          const [rx] = device.rxQueues, [tx] = device.txQueues;
          const hand = new PacketBatch(pool, 256);
          for (const { kind, count } of operations) {
            switch (kind) {
              case "arrive":
                for (let i = 0; i < count && rig.arrive(numbered(i)); i++);
                break;
              case "receive": {
                const batch = new PacketBatch(pool, Math.min(count, 256 - hand.length || 1));
                if (hand.length < 256) rx.receive(batch);
                for (const buffer of batch.buffers.subarray(0, batch.length)) {
                  assert(pool.lengths[buffer] > 0, "the program owns what it receives");
                  hand.buffers[hand.length++] = buffer;
                }
                break;
              }
              case "send": {
                const batch = new PacketBatch(pool, count);
                for (let i = 0; i < count && batch.add(numbered(i)); i++);
                tx.transmit(batch);
                batch.free();
                break;
              }
              case "free":
                for (let i = 0; i < count && hand.length > 0; i++) {
                  pool.free(hand.buffers[--hand.length]);
                }
                break;
              case "leave":
                rig.sent();
                tx.reclaim();
                break;
              case "wait":
                now += count / 4;
            }
            const free = [...pool.freeStack.subarray(0, pool.freeCount)];
            const here = [...free, ...hand.buffers.subarray(0, hand.length)];
            assertEquals(new Set(here).size, here.length, "no buffer is in two places");
            assert(free.every((buffer) => pool.lengths[buffer] === 0));
            const waiting = rx.waiting + inner.rxQueues[0].waiting + tx.pending;
            assertEquals(here.length + waiting + rig.ring, pool.buffers, "and none is lost");
          }
          hand.free();
          device.close();
          device.close(); // idempotent
          rig.end();
        },
      ),
      { numRuns: 150 },
    );
  });
}

Deno.test("FaultyDevice refuses faults and seeds out of range with one sentence", async () => {
  const rig = await RIGS.ixgbe(512);
  using device = rig.device;
  const cases: [Faults, RegExp][] = [
    [{ drop: -0.1 }, /drop must be from 0 to 1, not -0\.1/],
    [{ corrupt: 1.1 }, /corrupt must be from 0 to 1, not 1\.1/],
    [{ reorder: NaN }, /reorder must be from 0 to 1, not NaN/],
    [{ drop: 0.6, delay: 0.5 }, /add up to 1 at most, not 1\.1/],
    [{ delayMilliseconds: -1 }, /delayMilliseconds must be from 0 to 3600000, not -1/],
    [{ delayMilliseconds: Infinity }, /delayMilliseconds must be from 0 to 3600000, not Infinity/],
    [{ reorderDistance: 0 }, /reorderDistance must be a whole number from 1 to 1000, not 0/],
    [{ maxHeld: 1.5 }, /maxHeld must be a whole number from 0 to 65536, not 1\.5/],
    [{ drop: "0.5" } as never, /drop must be a number, not "0\.5"/],
    [{ corrupt: null } as never, /corrupt must be a number, not null/],
    [{ loss: 0.5 } as never, /unknown fault loss: the options are drop, corrupt, /],
    [{ toString: 1 } as never, /unknown fault toString/],
  ];
  for (const [faults, sentence] of cases) {
    for (const way of ["receive", "transmit"]) {
      const { message } = assertThrows(
        () => new FaultyDevice(device, { seed: 1, [way]: faults }),
        UsageError,
      );
      assert(sentence.test(message), message);
    }
  }
  const misspelt = { seed: 1, recieve: { drop: 1 } };
  assertThrows(() => new FaultyDevice(device, misspelt), UsageError, "no option recieve");
  for (const seed of [-1, 2 ** 32, 0.5, NaN]) {
    assertThrows(() => new FaultyDevice(device, { seed }), UsageError, "0 to 2^32 - 1");
    assertThrows(() => new FaultyRxQueue(device.rxQueues[0], {}, seed), UsageError, "seed must be");
  }
  new FaultyDevice(device, { seed: 2 ** 32 - 1, receive: { drop: 0.7, delay: 0.2, reorder: 0.1 } });
  device.close();
  rig.end();
});

Deno.test("FaultyRxQueue and FaultyTxQueue wrap queues alone, and free what they hold", async () => {
  const rig = await RIGS.virtio(512);
  using device = rig.device;
  {
    using tx = new FaultyTxQueue(device.txQueues[0], { delay: 1 }, 1);
    using rx = new FaultyRxQueue(device.rxQueues[0], { delay: 1 }, 2);
    const batch = new PacketBatch(rig.pool);
    batch.add(numbered(1));
    assertEquals(tx.transmit(batch), 1);
    assert(rig.arrive(numbered(2)));
    assertEquals(rx.receive(batch), 0);
    assertEquals([tx.waiting, rx.waiting, rx.packets], [1, 1, 0]);
    assertEquals(rig.pool.freeCount, 512 - rig.ring - 2);
    rx[Symbol.dispose]();
    tx[Symbol.dispose]();
    assertEquals([tx.faults.discarded, rx.faults.discarded], [1, 1]);
    assertEquals([tx.waiting, rx.waiting, rig.sent()], [0, 0, []]);
  }
  assertEquals(rig.pool.freeCount, 512 - rig.ring);
  device.close();
  rig.end();
});

Deno.test("FaultyRxQueue's interrupt wakes at once while packets are held", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const pci = new InterruptingFunction(), interrupts = true;
  let now = 0;
  using device = new FaultyDevice(
    await ixgbe.attach(pci, { pool, promiscuous: true, interrupts }),
    { seed: 1, receive: { delay: 1 }, transmit: { delay: 1 }, now: () => now },
  );
  const [rx] = device.rxQueues, [tx] = device.txQueues, [fd] = pci.fds;
  const batch = new PacketBatch(pool);
  const look = () => rx.receive(batch) > 0;
  assertEquals(rx.interrupt!.fd, fd);
  const waiter = new Waiter(device.rxQueues);
  assertEquals(waiter.wait(look, 0), false, "nothing is held, so it would sleep");

  pci.wire.waiting.push(new Uint8Array(60));
  while (pci.wire.waiting.length > 0) pci.nic.poll();
  pci.nic.poll();
  signals(fd);
  assertEquals([look(), rx.waiting], [false, 1]);
  assertEquals(waiter.wait(look, 10000), true, "a packet is held");
  assertEquals(readable([fd]), [false]);
  now = 10;
  assertEquals([look(), batch.free()], [true, 1]);
  assertEquals(waiter.wait(look, 0), false);

  batch.add(new Uint8Array(60));
  tx.transmit(batch);
  assertEquals(waiter.wait(look, 10000), true, "a packet to be sent is held");
  now = 20;
  look();
  assertEquals([tx.waiting, waiter.wait(look, 0)], [0, false]);
  device.close();
  assertEquals(pci.nic.rules.violations, []);
  assertEquals(pool.freeCount, pool.buffers);
});

Deno.test("FaultyRxQueue gives a copy the RSS hash of its packet", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const pci = new ModelFunction(), options = { pool, promiscuous: true, rssKey: RSS_KEY };
  const faults = { seed: 1, receive: { duplicate: 1 } };
  using device = new FaultyDevice(await ixgbe.attach(pci, options), faults);
  const [source, destination] = [[192, 0, 2, 1], [192, 0, 2, 2]];
  pci.wire.waiting.push(
    packet({ source, destination, protocol: "udp", ports: [1, 2], payload: 18 }),
  );
  while (pci.wire.waiting.length > 0) pci.nic.poll();
  const batch = new PacketBatch(pool);
  assertEquals(device.rxQueues[0].receive(batch), 2);
  const [hash, copied] = [...batch.buffers.subarray(0, 2)].map((buffer) => pool.rssHash[buffer]);
  assert(hash !== 0);
  assertEquals(copied, hash);
  assertEquals(batch.packet(0), batch.packet(1));
  batch.free();
});
