/**
 * The stream of numbered packets, without a device: the tests move packets from batch to batch.
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { checksum } from "../../packets/checksum.ts";
import { Mempool, PacketBatch } from "../../mod.ts";
import { MIN_SIZE, UdpStream } from "../../packets/udp_stream.ts";

const MAC = Uint8Array.of(2, 0, 0, 0, 0, 7);
const CLEAN = { missing: 0, reordered: 0, duplicate: 0, corrupt: 0, foreign: 0 };

function numberOf(packet: Uint8Array): bigint {
  return new DataView(packet.buffer, packet.byteOffset).getBigUint64(44, true);
}

/** Creates a stream; returns it with a batch of its first packets, and these packets as bytes. */
function first(pool: Mempool, packets: number, size = MIN_SIZE, number = 0) {
  const stream = new UdpStream(pool, size, MAC, number);
  const batch = new PacketBatch(pool, packets);
  stream.fill(batch, Infinity);
  const bytes = Array.from(batch, (packet) => packet.slice());
  return { stream, batch, bytes };
}

/** Passes packets to a stream as if a device had received them. */
function check(stream: UdpStream, pool: Mempool, packets: Iterable<Uint8Array>): void {
  const batch = new PacketBatch(pool, 1);
  for (const packet of packets) {
    batch.add(packet);
    stream.verify(batch);
  }
}

Deno.test("UdpStream.fill() numbers packets consecutively, also across 2^32", () => {
  using pool = new Mempool({ buffers: 64 });
  const start = 2 ** 32 * 5 - 3;
  const { stream, batch, bytes } = first(pool, 7, 60, start);
  assertEquals(bytes.map(numberOf), Array.from({ length: 7 }, (_, i) => BigInt(start + i)));
  stream.verify(batch);
  assertEquals(stream.counts(stream.next), CLEAN);
  assertEquals(pool.freeCount, 64);
});

Deno.test("UdpStream.fill() writes packets after the headroom of their buffers", () => {
  using pool = new Mempool({ buffers: 64, headroom: 64 });
  const { stream, batch, bytes } = first(pool, 64, 1500);
  assertEquals(bytes.map(numberOf), Array.from({ length: 64 }, (_, i) => BigInt(i)));
  for (const packet of bytes) assertEquals(packet.slice(6, 12), MAC);
  stream.verify(batch);
  assertEquals(stream.counts(stream.next), CLEAN);
});

Deno.test("UdpStream.fill() stops at its limit, and when no buffer is free", () => {
  using pool = new Mempool({ buffers: 64 });
  const stream = new UdpStream(pool, 60, MAC);
  const batch = new PacketBatch(pool, 100);
  stream.fill(batch, 10);
  assertEquals([batch.length, stream.next], [10, 10]);
  stream.fill(batch, 10);
  assertEquals([batch.length, stream.next], [10, 10]);
  stream.fill(batch, Infinity);
  assertEquals([batch.length, stream.next, pool.freeCount], [64, 64, 0]);
  assertEquals(Array.from(batch, numberOf), Array.from({ length: 64 }, (_, i) => BigInt(i)));
});

Deno.test("UdpStream.fill() writes correct lengths and checksums for any size and number", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: MIN_SIZE, max: 2048 }),
      fc.maxSafeNat(),
      (size, number) => {
        using pool = new Mempool({ buffers: 64 });
        const [packet] = first(pool, 1, size, Math.min(number, 2 ** 53 - 10)).bytes;
        const view = new DataView(packet.buffer);
        assertEquals([packet.length, view.getUint16(16), view.getUint16(38)], [
          size,
          size - 14,
          size - 34,
        ]);
        assertEquals(checksum(packet, 14, 34), 0);
        const pseudo = new Uint8Array([
          ...packet.subarray(26, 34),
          0,
          17,
          ...packet.subarray(38, 40),
        ]);
        assertEquals(
          checksum(new Uint8Array([...pseudo, ...packet.subarray(34)]), 0, 12 + size - 34),
          0,
        );
      },
    ),
    { numRuns: 100 },
  );
});

Deno.test("UdpStream.verify() accepts any value of byte 1, and detects any other change", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: MIN_SIZE, max: 70 }),
      fc.nat(),
      fc.integer({ min: 1, max: 255 }),
      (size, place, change) => {
        using pool = new Mempool({ buffers: 64 });
        const { stream, batch, bytes: [packet, next] } = first(pool, 2, size);
        batch.free();
        const at = place % size;
        packet[at] ^= change;
        check(stream, pool, [next, packet]);
        const { corrupt, foreign, missing } = stream.counts(2);
        assertEquals(corrupt + foreign, at === 1 ? 0 : 1);
        assertEquals(missing, foreign, "a foreign packet leaves its number missing");
        // The buffer can be used again.
        const batch2 = new PacketBatch(pool, 64);
        stream.fill(batch2, Infinity);
        for (const again of batch2) {
          again.fill(0, 44, 60);
          assertEquals(again, next.fill(0, 44, 60));
        }
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("UdpStream.verify() ignores bytes after the packet", () => {
  using pool = new Mempool({ buffers: 64 });
  for (const size of [61, 62, 63, 64]) {
    const { stream, batch, bytes: [packet] } = first(pool, 1, size);
    batch.free();
    batch.add(packet);
    const end = batch.buffers[0] * pool.bufferSize + size;
    pool.bytes.fill(0xee, end, end + 4);
    stream.verify(batch);
    assertEquals(stream.counts(1), CLEAN);
  }
});

Deno.test("UdpStream.verify() counts missing, reordered and duplicate packets", () => {
  using pool = new Mempool({ buffers: 64 });
  const { stream, batch, bytes } = first(pool, 10);
  batch.free();
  const [p0, p1, p2, p3, p4] = bytes;
  check(stream, pool, [p0, p3]);
  assertEquals(stream.counts(), { ...CLEAN, missing: 2 });
  check(stream, pool, [p1, p1]);
  assertEquals(stream.counts(), { ...CLEAN, missing: 1, reordered: 1, duplicate: 1 });
  check(stream, pool, [p2, p3, p4, p0]);
  assertEquals(stream.counts(), { ...CLEAN, reordered: 2, duplicate: 3 });
  assertEquals(stream.counts(10), { ...CLEAN, missing: 5, reordered: 2, duplicate: 3 });
});

Deno.test("UdpStream.verify() counts numbers that were never sent as corrupt", () => {
  using pool = new Mempool({ buffers: 64 });
  const { stream, batch, bytes: [packet] } = first(pool, 1);
  batch.free();
  packet[44]++;
  packet[52]--;
  check(stream, pool, [packet]);
  assertEquals(stream.counts(), { ...CLEAN, corrupt: 1 });
});

Deno.test("UdpStream.verify() counts its own packets of another length as corrupt, others as foreign", () => {
  using pool = new Mempool({ buffers: 64 });
  const { stream, batch, bytes: [packet] } = first(pool, 1);
  batch.free();
  const other = packet.slice();
  other[42] ^= 1; // the id of the stream
  check(stream, pool, [other, new Uint8Array(1), new Uint8Array(2048).fill(7)]);
  assertEquals(stream.counts(), { ...CLEAN, foreign: 3 });
  check(stream, pool, [packet.subarray(0, 44), new Uint8Array([...packet, 0])]);
  assertEquals(stream.counts(), { ...CLEAN, foreign: 3, corrupt: 2 });
});
