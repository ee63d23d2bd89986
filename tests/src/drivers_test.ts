/** What every driver's queues do alike: the suite that each driver passes. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { Mempool, open, PacketBatch } from "../../mod.ts";
import { type Program, until } from "../support/processes.ts";
import { startProgram } from "../support/programs.ts";
import { type Rig, RIGS } from "../support/rigs.ts";
import { SERVED } from "../support/served_rigs.ts";

const BUFFERS = 256;

/** Returns a packet with a number, of a size that depends on it. */
function packetOf(number: number): Uint8Array {
  const packet = new Uint8Array(60 + number * 37 % 1440).fill(number);
  new DataView(packet.buffer).setUint32(20, number);
  return packet;
}

/** Returns copies of the packets of a batch. */
function copies(batch: PacketBatch): Uint8Array[] {
  return [...batch].map((packet) => packet.slice());
}

for (const [driver, open] of Object.entries(RIGS)) {
  /** Defines a test on a device, which is closed after it if the test has not closed it. */
  const test = (rule: string, fn: (rig: Rig) => void) =>
    Deno.test(`${driver}: ${rule}`, async () => {
      const rig = await open(BUFFERS);
      try {
        fn(rig);
      } finally {
        rig.device.close();
      }
      rig.end();
    });

  for (const capacity of [1, 7, 32, 256]) {
    test(`receive() fills batches of ${capacity} in order`, (rig) => {
      const { device, pool, arrive } = rig,
        [rx] = device.rxQueues,
        batch = new PacketBatch(pool, capacity);
      assertEquals(rx.receive(batch), 0);
      for (let round = 0, next = 0; round < 6; round++) {
        const packets = Array.from({ length: 40 }, () => packetOf(next++));
        for (const packet of packets) assert(arrive(packet));
        const received: Uint8Array[] = [];
        for (let n; (n = rx.receive(batch)) > 0;) {
          assertEquals([n, n <= capacity], [batch.length, true]);
          received.push(...copies(batch));
          batch.free();
        }
        assertEquals(received, packets);
      }
      assertEquals(rx.packets, 240);
      assertEquals(pool.freeCount, BUFFERS - rig.ring);
    });
  }

  test("transmit() sends in order, and reclaim() returns the buffers", ({ device, pool, ...rig }) => {
    const [tx] = device.txQueues, batch = new PacketBatch(pool, 32);
    for (let round = 0, next = 0; round < 8; round++) {
      const packets = Array.from({ length: 32 }, () => packetOf(next++));
      for (const packet of packets) assert(batch.add(packet));
      assertEquals([tx.transmit(batch), batch.length], [32, 0]);
      assertEquals(rig.sent(), packets);
      tx.reclaim();
      assertEquals([tx.pending, pool.freeCount], [0, BUFFERS - rig.ring]);
    }
  });

  test("transmit() keeps what a full ring has no room for", ({ device, pool, ...rig }) => {
    const [tx] = device.txQueues, batch = new PacketBatch(pool, 150);
    const packets = Array.from({ length: 150 }, (_, i) => packetOf(i));
    for (const packet of packets) batch.add(packet);
    const sent: Uint8Array[] = [];
    const first = tx.transmit(batch);
    assert(first > 0 && first <= 64, `${first} of 150`);
    assertEquals([batch.length, tx.pending], [150 - first, first]);
    assertEquals(tx.transmit(batch), 0);
    while (batch.length > 0) {
      sent.push(...rig.sent());
      tx.reclaim();
      tx.transmit(batch);
    }
    assertEquals([...sent, ...rig.sent()], packets);
  });

  test("transmit() refuses a packet that is too short, and sends those before", ({ device, pool, sent }) => {
    const [tx] = device.txQueues, batch = new PacketBatch(pool);
    batch.add(packetOf(0));
    batch.add(new Uint8Array(13));
    batch.add(packetOf(1));
    assertThrows(() => tx.transmit(batch), Error, "has 13 bytes and cannot be sent");
    assertEquals([sent(), batch.length], [[packetOf(0)], 2]);
    batch.drop(0);
    assertEquals(tx.transmit(batch), 1);
    assertEquals(sent(), [packetOf(1)]);
  });

  test("transmit() refuses a buffer that the program does not own", ({ device, pool, sent }) => {
    const [tx] = device.txQueues, batch = new PacketBatch(pool);
    batch.add(packetOf(0));
    const [buffer] = batch.buffers;
    assertEquals(tx.transmit(batch), 1);
    batch.buffers[batch.length++] = buffer; // again, while the device has it
    assertThrows(() => tx.transmit(batch), Error, "the program does not own it");
    batch.length = 0;
    assertEquals(sent(), [packetOf(0)]);
  });

  test("receive() drops packets while the pool is empty, and goes on after", ({ device, pool, arrive }) => {
    const [rx] = device.rxQueues, held = new PacketBatch(pool, 256), batch = new PacketBatch(pool);
    while (held.allocate(60) !== undefined);
    for (let i = 0; i < 10; i++) assert(arrive(packetOf(i)));
    assertEquals(rx.receive(batch), 0);
    assertEquals(device.statistics().rxNoBuffer, 10);
    held.free();
    assert(arrive(packetOf(10)));
    assertEquals(rx.receive(batch), 1);
    assertEquals(copies(batch), [packetOf(10)]);
    batch.free();
  });

  test("receive() takes the buffers of packets that were sent if the pool is empty", (rig) => {
    const { device, pool } = rig, [rx] = device.rxQueues, [tx] = device.txQueues;
    const batch = new PacketBatch(pool, 32), held = new PacketBatch(pool, 256);
    for (let i = 0; i < 20; i++) batch.add(packetOf(i));
    tx.transmit(batch);
    rig.sent();
    for (let i = pool.freeCount; i > 0; i--) held.allocate(60);
    assert(rig.arrive(packetOf(99)));
    assertEquals([rx.receive(batch), device.statistics().rxNoBuffer], [1, 0]);
    assertEquals(copies(batch), [packetOf(99)]);
    batch.free();
    held.free();
  });

  test("queues refuse foreign and full batches", ({ device, pool }) => {
    using other = new Mempool({ buffers: 64, memory: "pages" });
    const [rx] = device.rxQueues, [tx] = device.txQueues, full = new PacketBatch(pool);
    full.add(packetOf(0));
    assertThrows(() => rx.receive(new PacketBatch(other)), Error, "another pool");
    assertThrows(() => tx.transmit(new PacketBatch(other)), Error, "another pool");
    assertThrows(() => rx.receive(full), Error, "send or free them");
    full.free();
  });

  test("close() returns the buffers of both rings, and ends the queues", ({ device, pool, arrive }) => {
    const [rx] = device.rxQueues, [tx] = device.txQueues, batch = new PacketBatch(pool);
    for (let i = 0; i < 10; i++) arrive(packetOf(i));
    for (let i = 0; i < 10; i++) batch.add(packetOf(i));
    tx.transmit(batch);
    device.close();
    device.close();
    assertEquals(pool.freeCount, BUFFERS);
    assertThrows(() => rx.receive(batch), Error, "closed");
    assertThrows(() => tx.transmit(batch), Error, "closed");
    assertThrows(() => device.checkAlive(), Error, "is closed");
  });

  test("statistics() counts packets and bytes", ({ device, pool, arrive, sent }) => {
    const [rx] = device.rxQueues, [tx] = device.txQueues, batch = new PacketBatch(pool);
    const packets = [1, 2, 3].map(packetOf), bytes = packets.reduce((sum, p) => sum + p.length, 0);
    for (const packet of packets) arrive(packet);
    rx.receive(batch);
    tx.transmit(batch);
    sent();
    assertEquals(device.statistics(), {
      ...{ rxPackets: 3, rxBytes: bytes, txPackets: 3, txBytes: bytes },
      ...{ rxMissed: 0, rxErrors: 0, rxTooLong: 0, rxNoBuffer: 0 },
    });
  });
}

/** Packets a second that a process sends, and how many it has to get back before it is killed. */
const RATE = 4000, LOOPED = 1000;

/** Returns how many packets a program with JSON has received, as its last whole line says. */
function receivedBy({ stdout }: Program): number {
  return Number(/.*"rxPackets":(\d+).*\n/s.exec(stdout)?.[1] ?? 0);
}

for (const [driver, { possible, serve }] of Object.entries(SERVED)) {
  Deno.test({
    name: `${driver}: a process killed in traffic leaves nothing, and the device opens at once`,
    ignore: !possible,
    async fn() {
      await using rig = await serve();
      assertEquals(await rig.left(), []);
      for (const wait of [true, false]) {
        await using program = await startProgram("pktgen.ts", [
          "--check",
          `--rate=${RATE}`,
          rig.address,
        ]);
        assert((await rig.left()).length > 0, "the process has the device");
        await until("packets to come back", () => {
          rig.turn();
          return receivedBy(program) >= LOOPED;
        });
        program.kill("SIGKILL");
        await program.finish();
        if (wait) await until("nothing to be left", async () => (await rig.left()).length === 0);

        using pool = new Mempool({ buffers: BUFFERS * 8 });
        {
          using device = await open(rig.address, { pool, promiscuous: true });
          assertEquals((await device.waitForLink()).up, true);
          const [rx] = device.rxQueues, [tx] = device.txQueues, batch = new PacketBatch(pool);
          const packets = Array.from({ length: 32 }, (_, i) => packetOf(i)),
            back: Uint8Array[] = [];
          for (const packet of packets) batch.add(packet);
          tx.transmit(batch);
          assertEquals(batch.length, 0);
          await until("the packets to come back", () => {
            rig.turn();
            rx.receive(batch);
            // Packets of the killed process may still be on their way.
            back.push(...copies(batch).filter((packet) => packet[12] === packet[13]));
            batch.free();
            device.checkAlive();
            return back.length >= packets.length;
          });
          assertEquals(back, packets);
        }
        assertEquals(pool.freeCount, pool.buffers);
        await until("nothing to be left", async () => (await rig.left()).length === 0);
      }
      await rig.end();
    },
  });
}
