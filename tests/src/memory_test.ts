/** DMA memory, the pool and batches. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { DmaMemory, Mempool, PacketBatch, UsageError } from "../../mod.ts";
import { HUGEPAGE } from "../../src/dma.ts";

Deno.test("DmaMemory has a chosen address that is used once, contiguous, above 4 GiB", () => {
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
  assert(/^no 476838 free hugepages .*nr_hugepages/.test(error.message), error.message);
});

Deno.test("Mempool refuses sizes out of range", () => {
  for (const buffers of [0, 63, 131073, 100.5, NaN]) {
    assertThrows(() => new Mempool({ buffers }), UsageError, "64 to 131072");
  }
  for (const bufferSize of [0, 1024, 2049, 3072, 32768]) {
    assertThrows(() => new Mempool({ bufferSize }), UsageError, "2048, 4096");
  }
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

Deno.test("Mempool.allocate() and free() hand each buffer out once", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const taken = Array.from({ length: 64 }, () => pool.allocate(60));
  assertEquals(new Set(taken).size, 64);
  assertEquals(pool.allocate(60), -1);
  assertEquals(pool.freeCount, 0);
  for (const buffer of taken) pool.free(buffer);
  assertEquals(pool.freeCount, 64);
});

Deno.test("Mempool.free() refuses a buffer twice, or one that there is not", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const buffer = pool.allocate(60);
  pool.free(buffer);
  for (const wrong of [buffer, 63, 64, -1, 0.5, NaN]) {
    assertThrows(() => pool.free(wrong), Error, "nobody has it in hand");
  }
  assertEquals(pool.freeCount, 64);
});

Deno.test("Mempool.allocate() refuses lengths that do not fit", () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  for (const length of [0, -1, 2049, NaN]) {
    assertThrows(() => pool.allocate(length), RangeError, "1 to 2048");
  }
  assertEquals(pool.freeCount, 64);
});

Deno.test("Mempool stays whole whatever the order of calls", () => {
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

Deno.test("Mempool disposed leaves empty views", () => {
  const pool = new Mempool({ buffers: 64, memory: "pages" });
  const packet = pool.packet(pool.allocate(60));
  pool[Symbol.dispose]();
  assertEquals([packet.length, pool.bytes.length], [0, 0]);
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
