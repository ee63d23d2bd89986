/** The tracer: it traces each packet once, unchanged, and sent packets only after they are sent. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { PacketBatch, type TxQueue } from "../../mod.ts";
import {
  FaultyDevice,
  TracedDevice,
  type TracedPacket,
  TracedTxQueue,
  traceLine,
  type TraceOptions,
} from "../../wrappers/mod.ts";
import { type Rig, RIGS } from "../support/rigs.ts";

const randomPacket = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes));

interface Kept extends TracedPacket {
  readonly bytes: Uint8Array;
}

/** Returns a traced device, and copies of the traced packets. */
function traced(rig: Rig, options?: TraceOptions) {
  const seen: Kept[] = [];
  const trace = (packet: TracedPacket) => {
    seen.push({ ...packet, bytes: packet.bytes.slice() });
  };
  return { seen, device: new TracedDevice(rig.device, trace, options) };
}

for (const [driver, open] of Object.entries(RIGS)) {
  Deno.test(`TracedDevice of ${driver} traces packets received and transmitted, in order`, async () => {
    const rig = await open(512), { seen, device } = traced(rig), { address, pool } = device;
    const before = performance.now(), batch = new PacketBatch(pool);
    const arrived = [60, 61, 1514].map(randomPacket), sent = [60, 1000].map(randomPacket);
    for (const packet of arrived) assert(rig.arrive(packet));
    assertEquals(device.rxQueues[0].receive(batch), 3);
    batch.free();
    for (const packet of sent) batch.add(packet);
    assertEquals([device.txQueues[0].transmit(batch), batch.length], [2, 0]);
    assertEquals(rig.sent(), sent);
    assertEquals([device.txQueues[0].pending, device.txQueues[0].reclaim()], [2, 2]);
    assertEquals(device.rxQueues[0].receive(batch), 0);
    assertEquals(device.txQueues[0].transmit(batch), 0);

    const common = { device: address, queue: 0 };
    assertEquals(seen.map(({ milliseconds: _, ...rest }) => rest), [
      ...arrived.map((bytes) => ({ ...common, direction: "receive", bytes })),
      ...sent.map((bytes) => ({ ...common, direction: "transmit", bytes })),
    ]);
    const times = seen.map(({ milliseconds }) => milliseconds);
    assert(times.every((time) => time >= before && time <= performance.now()));
    assertEquals([times[0], times[1], times[3]], [times[2], times[2], times[4]], "once a batch");
    assertEquals(device.rxQueues[0].packets, 3);
    assertEquals(device.statistics(), rig.device.statistics());
    device.close();
    rig.end();
  });

  Deno.test(`TracedDevice of ${driver} traces no packet that the ring had no room for`, async () => {
    const rig = await open(512), { seen, device } = traced(rig);
    const batch = new PacketBatch(rig.pool, 100), [tx] = device.txQueues;
    const packets = Array.from({ length: 100 }, () => randomPacket(60));
    for (const packet of packets) batch.add(packet);
    const first = tx.transmit(batch);
    assert(first > 0 && first < 100);
    assertEquals(seen.map(({ bytes }) => bytes), packets.slice(0, first));
    const sent = rig.sent();
    tx.reclaim();
    tx.transmit(batch);
    sent.push(...rig.sent());
    assertEquals(seen.map(({ bytes }) => bytes), sent);
    batch.free();
    device.close();
    rig.end();
  });

  Deno.test(`TracedDevice of ${driver} traces packets sent before a refused one`, async () => {
    const rig = await open(512), { seen, device } = traced(rig);
    const batch = new PacketBatch(rig.pool);
    for (const bytes of [60, 61, 62]) batch.add(randomPacket(bytes));
    rig.pool.free(batch.buffers[1]);
    assertThrows(() => device.txQueues[0].transmit(batch), Error, "does not own it");
    assertEquals(seen.map(({ bytes }) => bytes.length), [60]);
    rig.pool.free(batch.buffers[1]); // the third packet, which has moved up
    device.close();
    rig.end();
  });
}

Deno.test("TracedDevice with `only` traces one direction, and does not wrap the other", async () => {
  for (const only of ["receive", "transmit"] as const) {
    const rig = await RIGS.virtio(512), { seen, device } = traced(rig, { only });
    const batch = new PacketBatch(rig.pool);
    assert(rig.arrive(randomPacket(60)));
    device.rxQueues[0].receive(batch);
    device.txQueues[0].transmit(batch);
    assertEquals(seen.map(({ direction }) => direction), [only]);
    const kept = { receive: device.txQueues, transmit: device.rxQueues }[only];
    assert(kept === { receive: rig.device.txQueues, transmit: rig.device.rxQueues }[only]);
    device.close();
    rig.end();
  }
});

Deno.test("A tracer around a fault injector traces packets before their faults, one inside after", async () => {
  const rig = await RIGS.ixgbe(512), inside = traced(rig);
  const transmit = { drop: 0.2, corrupt: 0.2, duplicate: 0.2 };
  const faulty = new FaultyDevice(inside.device, { seed: 5, transmit });
  const outside = traced({ ...rig, device: faulty });
  const batch = new PacketBatch(rig.pool, 50);
  const packets = Array.from({ length: 50 }, () => randomPacket(60));
  // Copies of duplicated packets get the freed buffers of dropped packets.
  for (const packet of packets) batch.add(packet);
  assertEquals(outside.device.txQueues[0].transmit(batch), 50);
  assertEquals(outside.seen.map(({ bytes }) => bytes), packets);
  assertEquals(inside.seen.map(({ bytes }) => bytes), rig.sent());
  const { dropped, corrupted, duplicated } = faulty.faults().transmit;
  assert(dropped > 0 && corrupted > 0 && duplicated > 0);
  assertEquals(inside.seen.length, 50 - dropped + duplicated);
  outside.device.close();
  rig.end();
});

Deno.test("TracedTxQueue throws what its function throws, after the packets are sent", async () => {
  const rig = await RIGS.virtio(512);
  const tx: TxQueue = new TracedTxQueue(rig.device.txQueues[0], "a", () => {
    throw new Error("full");
  });
  const batch = new PacketBatch(rig.pool);
  batch.add(randomPacket(60));
  assertThrows(() => tx.transmit(batch), Error, "full");
  assertEquals([batch.length, rig.sent().length], [0, 1]);
  rig.device.close();
  rig.end();
});

Deno.test("TracedDevice prints a line a packet by default", async () => {
  const rig = await RIGS.virtio(512), lines: string[] = [], { log } = console;
  using device = new TracedDevice(rig.device);
  assert(rig.arrive(new Uint8Array(60)));
  try {
    console.log = (line) => lines.push(line);
    const batch = new PacketBatch(rig.pool);
    device.rxQueues[0].receive(batch);
    batch.free();
  } finally {
    console.log = log;
  }
  const zeros = "00:00:00:00:00:00 > 00:00:00:00:00:00, IEEE 802.3, 0 bytes";
  assertEquals(lines.map((line) => line.replace(/^\d+\.\d{6}/, "TIME")), [
    `TIME virtio receive 0, 60 bytes: ${zeros}`,
  ]);
  device.close();
  rig.end();
});

Deno.test("traceLine() names time, device, direction, queue, length and headers", () => {
  const line = traceLine({
    device: "0000:03:00.0",
    queue: 3,
    direction: "transmit",
    milliseconds: 1234.5678,
    bytes: Uint8Array.of(2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xcc),
  });
  assertEquals(
    line,
    "1.234568 0000:03:00.0 transmit 3, 14 bytes: 02:00:00:00:00:02 > 02:00:00:00:00:01, type 0x88cc",
  );
});
