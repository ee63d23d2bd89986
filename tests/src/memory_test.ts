/** DMA memory, pools and batches. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DeviceError, Mempool, PacketBatch, UsageError } from "../../mod.ts";
import { DmaMemory, HUGEPAGE } from "../../src/dma.ts";
import { Hugepages } from "../support/hugepages.ts";
import { MOVED, moved } from "../support/moved_memory.ts";
import { isRoot } from "../support/processes.ts";

Deno.test("DmaMemory has a contiguous IOVA from 4 GiB up that is never used twice", () => {
  const one = DmaMemory.allocate(1, "pages"), two = DmaMemory.allocate(3 * HUGEPAGE, "pages");
  const address = (memory: DmaMemory, offset = 0) => memory.busAddress(offset, "iova");
  assertEquals([one.bytes, two.bytes], [HUGEPAGE, 3 * HUGEPAGE]);
  assert(address(one) >= 2 ** 32);
  assertEquals(address(two, 3 * HUGEPAGE - 1), address(two) + 3 * HUGEPAGE - 1);
  assert(address(two) >= address(one) + one.bytes);
  const last = address(two);
  one.free();
  two.free();
  const three = DmaMemory.allocate(1, "pages");
  assert(address(three) > last);
  assertThrows(() => address(three, HUGEPAGE), RangeError);
  assertThrows(() => address(three, -1), RangeError);
  three.free();
});

Deno.test("DmaMemory of ordinary pages has no physical addresses", () => {
  const memory = DmaMemory.allocate(1, "pages");
  assertEquals([memory.has("physical"), memory.has("iova")], [false, true]);
  assertThrows(() => memory.busAddress(0, "physical"), RangeError, "no physical");
  memory.free();
});

Deno.test("DmaMemory.free() refuses while a device can reach the memory", () => {
  const memory = DmaMemory.allocate(1, "pages");
  memory.pin();
  assertThrows(() => memory.free(), Error, "still in reach of 1 device");
  memory.unpin();
  memory.free();
  memory.free();
});

Deno.test("DmaMemory says how to reserve hugepages when there are too few", () => {
  const error = assertThrows(() => DmaMemory.allocate(1e12, "hugepages"), UsageError);
  assert(
    /^476838 hugepages of 2 MiB are not free .*nr_hugepages/.test(error.message),
    error.message,
  );
});

Deno.test({
  name: "DmaMemory.checkPhysical() refuses memory that has moved once a device has its address",
  ignore: !isRoot,
  fn() {
    using _pages = new Hugepages(1);
    const memory = DmaMemory.allocate(1, "hugepages");
    const before = memory.busAddress(0, "physical");
    memory.checkPhysical("a");
    {
      using _moved = moved();
      const { message } = assertThrows(() => memory.checkPhysical("a"), DeviceError);
      assertMatch(message, /^a: the kernel has moved page 0 of the memory/);
    }
    assertEquals(memory.busAddress(0, "physical"), before);
    memory.free();
    const fresh = DmaMemory.allocate(1, "hugepages");
    {
      using _moved = moved();
      fresh.checkPhysical("a");
    }
    assertEquals(fresh.busAddress(0, "physical"), MOVED); // nothing has used the old address
    fresh.free();
  },
});

Deno.test("Mempool refuses sizes out of range", () => {
  for (const buffers of [0, 63, 131073, 100.5, NaN]) {
    assertThrows(() => new Mempool({ buffers }), UsageError, "64 to 131072");
  }
  for (const bufferSize of [0, 1024, 2049, 3072, 32768]) {
    assertThrows(() => new Mempool({ bufferSize }), UsageError, "2048, 4096");
  }
});

Deno.test("Mempool refuses headrooms out of range", () => {
  for (const headroom of [-64, 1, 12, 576, NaN, Infinity, 64.5, "64" as never, null as never]) {
    const error = assertThrows(() => new Mempool({ headroom, memory: "pages" }), UsageError);
    assertEquals(error.option, "headroom");
    assert(error.message.includes("0 to 512 bytes, a multiple of 64, not"), error.message);
  }
});

Deno.test("Mempool.headroom comes before each packet, and shortens the longest one", () => {
  const buffers = 64, bufferSize = 2048, headroom = 64;
  using pool = new Mempool({ buffers, bufferSize, headroom, memory: "pages" });
  assertEquals(pool.maxLength, 1984);
  const memory = new Uint8Array(pool.memory.buffer), before = memory.slice(), batch = [];
  for (let b = pool.allocate(1984); b >= 0; b = pool.allocate(1984)) batch.push(b);
  for (const b of batch) {
    pool.packet(b).fill(b + 1);
    assertEquals(pool.bytes[b * bufferSize], b + 1, "where programs find it");
    before.fill(b + 1, b * bufferSize + headroom, (b + 1) * bufferSize);
  }
  assertEquals(memory, before, "packets fill their buffers, except for the headroom");
  assertThrows(() => pool.allocate(1985), RangeError, "1 to 1984 bytes, not 1985");
  const base = pool.memory.busAddress(0, "iova");
  for (const header of [0, 10, 12]) {
    const column = pool.addresses("iova", header);
    const offsets = batch.map((b) => column[2 * b] + column[2 * b + 1] * 2 ** 32 - base);
    assertEquals(offsets, batch.map((b) => b * bufferSize + headroom - header));
  }
  for (const b of batch) pool.free(b);
  using moved = Mempool.adopt(pool.transfer());
  assertEquals([moved.headroom, moved.maxLength, moved.freeCount], [64, 1984, buffers]);
  assertEquals(moved.bytes.length, buffers * bufferSize - headroom);
});

Deno.test("Mempool.spread leaves 128 bytes between buffers, and none lies in two hugepages", () => {
  for (const bufferSize of [2048, 4096, 8192, 16384]) {
    const stride = bufferSize + 128, buffers = 2000, HUGEPAGE = 2 ** 21;
    using pool = new Mempool({ buffers, bufferSize, spread: true, memory: "pages" });
    assertEquals([pool.spread, pool.stride, pool.maxLength], [true, stride, bufferSize]);
    const taken: number[] = [];
    for (let b = pool.allocate(bufferSize); b >= 0; b = pool.allocate(bufferSize)) taken.push(b);
    assertEquals(new Set(taken).size, buffers);
    assert(Math.max(...taken) === pool.numbers - 1 && pool.numbers > buffers);
    const column = pool.addresses("iova"), base = pool.memory.busAddress(0, "iova");
    for (const b of taken) {
      const first = b * stride, last = first + bufferSize - 1;
      assertEquals(Math.floor(first / HUGEPAGE), Math.floor(last / HUGEPAGE), `buffer ${b}`);
      assertEquals(column[2 * b] + column[2 * b + 1] * 2 ** 32 - base, first);
      const packet = pool.packet(b);
      assertEquals([packet.byteOffset, packet.length], [first, bufferSize]);
    }
    for (const b of taken) pool.free(b);
    using moved = Mempool.adopt(pool.transfer());
    assertEquals([moved.spread, moved.stride, moved.numbers], [true, stride, pool.numbers]);
    assertEquals(moved.freeStack, pool.freeStack);
  }
  using plain = new Mempool({ buffers: 2000, spread: false, memory: "pages" });
  assertEquals([plain.spread, plain.stride, plain.numbers], [false, 2048, 2000]);
});

Deno.test("Mempool refuses `spread` that is not true or false", () => {
  for (const spread of [1, "true", null]) {
    const error = assertThrows(() => new Mempool({ spread: spread as never }), UsageError);
    assertEquals(error.option, "spread");
  }
});

Deno.test("PacketBatch.resize() and push() allow packets up to Mempool.maxLength", () => {
  using pool = new Mempool({ buffers: 64, headroom: 256, memory: "pages" });
  const batch = new PacketBatch(pool, 1);
  assertEquals(batch.allocate(60)?.length, 60);
  assertEquals(batch.resize(0, 1792).length, 1792);
  assertThrows(() => batch.resize(0, 1793), RangeError, "1 to 1792 bytes");
  batch.free();
});

Deno.test("Mempool gives every buffer a bus address within the memory, none twice", () => {
  for (const bufferSize of [2048, 16384]) {
    using pool = new Mempool({ buffers: 300, bufferSize, memory: "pages" });
    const column = pool.addresses("iova");
    const addresses = Array.from(
      pool.lengths,
      (_, b) => column[2 * b] + column[2 * b + 1] * 2 ** 32,
    );
    const expected = addresses.map((_, b) => pool.memory.busAddress(b * bufferSize, "iova"));
    assertEquals(addresses, expected);
    assertEquals(pool.addresses("iova"), column);
  }
});

Deno.test("Mempool.allocate() returns each buffer once, until it is freed", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const taken = Array.from({ length: 64 }, () => pool.allocate(60));
  assertEquals(new Set(taken).size, 64);
  assertEquals(pool.allocate(60), -1);
  assertEquals(pool.freeCount, 0);
  for (const buffer of taken) pool.free(buffer);
  assertEquals(pool.freeCount, 64);
});

Deno.test("Mempool.free() refuses a free buffer, and one that does not exist", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const buffer = pool.allocate(60);
  pool.free(buffer);
  for (const wrong of [buffer, 63, 64, -1, 0.5, NaN]) {
    assertThrows(() => pool.free(wrong), Error, "does not own it");
  }
  assertEquals(pool.freeCount, 64);
});

Deno.test("Mempool.allocate() refuses lengths out of range", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  for (const length of [0, -1, 2049, NaN]) {
    assertThrows(() => pool.allocate(length), RangeError, "1 to 2048");
  }
  assertEquals(pool.freeCount, 64);
});

Deno.test("Mempool stays consistent in any order of calls", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(200))), (steps) => {
      using pool = new Mempool({ buffers: 64, memory: "pages" });
      const mine = new Set<number>();
      for (const [take, n] of steps) {
        if (take) {
          const buffer = pool.allocate(1 + n);
          assertEquals(buffer === -1, mine.size === 64);
          if (buffer >= 0) {
            assert(!mine.has(buffer));
            mine.add(buffer);
            assertEquals(pool.packet(buffer).length, 1 + n);
          }
        } else if (mine.has(n)) {
          pool.free(n);
          mine.delete(n);
        } else {
          assertThrows(() => pool.free(n));
        }
        assertEquals(pool.freeCount, 64 - mine.size);
      }
    }),
    { numRuns: 100 },
  );
});

Deno.test("Mempool[Symbol.dispose]() empties all views", () => {
  const pool = new Mempool({ buffers: 64, memory: "pages" });
  const packet = pool.packet(pool.allocate(60));
  pool[Symbol.dispose]();
  assertEquals([packet.length, pool.bytes.length], [0, 0]);
});

Deno.test("Mempool[Symbol.dispose]() leaves no buffer to batches", () => {
  const pool = new Mempool({ buffers: 64, memory: "pages" }), batch = new PacketBatch(pool);
  batch.allocate(60);
  const taken = pool.allocate(60);
  for (let i = 0; i < 2; i++) {
    pool[Symbol.dispose]();
    assertEquals(batch.allocate(60), undefined);
    assertEquals(batch.add(Uint8Array.of(1)), false);
    assertThrows(() => batch.packet(0), TypeError);
    for (
      const use of [
        () => batch.resize(0, 61),
        () => batch.push(taken),
        () => batch.drop(0),
        () => batch.free(),
        () => pool.free(taken),
      ]
    ) assertThrows(use, Error, "the program does not own it");
    assertEquals([batch.length, pool.freeCount], [1, 0]);
  }
});

Deno.test("PacketBatch refuses capacities out of range", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  for (const capacity of [0, 257, 1.5, NaN]) {
    assertThrows(() => new PacketBatch(pool, capacity), UsageError, "1 to 256");
  }
});

Deno.test("PacketBatch.add() copies packets in, until batch or pool is exhausted", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const batch = new PacketBatch(pool, 3), large = new PacketBatch(pool, 256);
  assertEquals([1, 2, 3, 4].map((n) => batch.add(new Uint8Array(60).fill(n))), [
    true,
    true,
    true,
    false,
  ]);
  assertEquals([...batch].map((packet) => packet[59]), [1, 2, 3]);
  while (large.add(new Uint8Array(1)));
  assertEquals(large.length, 61);
  assertThrows(() => batch.packet(3), RangeError, "no packet 3");
  assertEquals(batch.free() + large.free(), 64);
  assertEquals([batch.length, batch.free()], [0, 0]);
  assertThrows(() => batch.add(new Uint8Array(0)), RangeError);
  assertThrows(() => batch.add(new Uint8Array(2049)), RangeError);
});

Deno.test("PacketBatch.allocate() returns packets to write in place, until batch or pool is exhausted", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const batch = new PacketBatch(pool, 2), large = new PacketBatch(pool, 256);
  for (const n of [60, 2048]) {
    const packet = batch.allocate(n)!;
    assertEquals(packet.length, n);
    packet.fill(n);
  }
  assertEquals(batch.allocate(60), undefined);
  assertEquals([...batch].map((packet) => [packet.length, packet[59]]), [[60, 60], [2048, 0]]);
  while (large.allocate(1) !== undefined);
  assertEquals([large.length, pool.freeCount], [62, 0]);
  assertEquals(batch.free() + large.free(), 64);
  for (const n of [0, -1, 2049, 1.5, NaN]) {
    assertThrows(() => batch.allocate(n), RangeError, "1 to 2048");
  }
  assertEquals([batch.length, pool.freeCount], [0, 64]);
});

Deno.test("PacketBatch.push() appends a buffer that the program owns, with its length or a new one", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const batch = new PacketBatch(pool, 2);
  const [a, b, c] = [60, 61, 62].map((n) => pool.allocate(n));
  assertEquals([batch.push(a), batch.push(b, 1514), batch.push(c, 100)], [true, true, false]);
  assertEquals([...batch].map(({ length }) => length), [60, 1514]);
  assertEquals(pool.packet(c).length, 62, "a full batch leaves the buffer as it is");
  pool.free(c);
  assertEquals([batch.free(), pool.freeCount], [2, 64]);
});

Deno.test("PacketBatch.push() refuses a buffer that the program does not own, and lengths out of range", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const batch = new PacketBatch(pool), buffer = pool.allocate(60);
  for (const wrong of [(buffer + 1) % 64, 64, -1, 0.5, NaN]) {
    assertThrows(() => batch.push(wrong, 60), Error, `buffer ${wrong} cannot be put into a batch`);
  }
  for (const length of [0, 2049, 60.5, NaN]) {
    assertThrows(() => batch.push(buffer, length), RangeError, "1 to 2048");
  }
  assertEquals([batch.length, pool.packet(buffer).length], [0, 60]);
  pool.free(buffer);
});

Deno.test("PacketBatch.resize() changes a packet's length and keeps its bytes", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const batch = new PacketBatch(pool);
  for (const n of [1, 2, 3]) batch.add(new Uint8Array(60).fill(n));
  assertEquals(batch.resize(1, 10), new Uint8Array(10).fill(2));
  assertEquals(batch.resize(1, 2048).subarray(0, 60), new Uint8Array(60).fill(2));
  assertEquals([...batch].map(({ length }) => length), [60, 2048, 60]);
  for (const length of [0, 2049, 1.5, NaN]) {
    assertThrows(() => batch.resize(1, length), RangeError, "1 to 2048");
  }
  for (const index of [3, -1, 0.5, NaN]) {
    assertThrows(() => batch.resize(index, 60), RangeError, `no packet ${index}`);
    assertThrows(() => batch.drop(index), RangeError, `no packet ${index}`);
  }
  const [first] = batch.buffers;
  pool.free(first);
  assertThrows(
    () => batch.resize(0, 60),
    Error,
    `buffer ${first} cannot be put into a batch or resized`,
  );
  assertThrows(() => batch.drop(0), Error, `buffer ${first} cannot be freed`);
  assertEquals(batch.length, 3);
});

Deno.test("PacketBatch.drop() frees one packet and keeps the order of the rest", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(255), { maxLength: 300 }), (places) => {
      using pool = new Mempool({ buffers: 256, memory: "pages" });
      const batch = new PacketBatch(pool, 256);
      const expected = Array.from({ length: 256 }, (_, n) => n);
      for (const n of expected) batch.add(Uint8Array.of(n));
      for (const place of places) {
        if (place >= expected.length) continue;
        batch.drop(place);
        expected.splice(place, 1);
        assertEquals(pool.freeCount, 256 - expected.length);
      }
      assertEquals([...batch].map(([n]) => n), expected);
      batch.free();
      assertEquals(pool.freeCount, 256);
    }),
    { numRuns: 50 },
  );
});
