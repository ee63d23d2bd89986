/** `XdpRxQueue` and `XdpTxQueue` on rings that the test serves as the kernel does, and as it must not. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { DeviceError, Mempool, PacketBatch } from "../../mod.ts";
import { FakeKernel } from "../support/fake_kernel.ts";

const HEADROOM = 256, CONTINUES = 1, BUFFERS = 256;
/** The producer index at which all rings start. */
const FIRST = FakeKernel.FIRST;

class Kernel extends FakeKernel {
  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    assertEquals([this.pool.freeCount, new Set(this.pool.freeStack).size], [BUFFERS, BUFFERS]);
    this.pool[Symbol.dispose]();
  }
}

function frame(bytes: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(bytes));
}

Deno.test("XdpRxQueue.receive() moves packets to their buffers' start while indices wrap", () => {
  using kernel = new Kernel();
  for (let round = 0; round < 20; round++) {
    const frames = [1, 59, 60, 255, 256, 257, 1514, 1792].map(frame);
    for (const each of frames) kernel.deliver(each);
    assertEquals(kernel.receive(), frames);
  }
  assertEquals(kernel.rx.packets, 160);
  assertEquals(kernel.rings.rx.consumer[0], kernel.rings.rx.producer[0]);
});

Deno.test("XdpRxQueue.receive() leaves packets where they are if the pool has the kernel's headroom", () => {
  using kernel = new Kernel(2048, BUFFERS, 64, HEADROOM);
  const batch = new PacketBatch(kernel.pool);
  for (let round = 0; round < 20; round++) {
    const frames = [1, 59, 60, 255, 256, 257, 1514, 1792].map(frame);
    for (const each of frames) kernel.deliver(each);
    const places = frames.map((_, i) => kernel.rings.rx.entries[4 * (FIRST + 8 * round + i & 63)]);
    assertEquals(kernel.rx.receive(batch), 8);
    assertEquals([...batch], frames);
    assertEquals([...batch].map(({ byteOffset }) => byteOffset), places);
    batch.free();
  }
  const at = kernel.fill();
  kernel.memory.set(frame(1793), at); // begins elsewhere, and is longer than a buffer holds
  kernel.put(at, 1793);
  assertEquals([kernel.receive(), kernel.rx.tooLong], [[], 1]);
});

for (const headroom of [0, HEADROOM]) {
  const name = `XdpRxQueue.receive() gathers frames in several buffers, headroom ${headroom}`;
  Deno.test(name, () => gathers(headroom));
}

function gathers(headroom: number): void {
  using kernel = new Kernel(16384, BUFFERS, 64, headroom);
  for (let round = 0; round < 12; round++) {
    const frames = [60, 9000, 3840, 3841, 14999, 60].map(frame);
    for (const each of frames) kernel.deliver(each, 3840);
    const packets = [...kernel.receive(), ...kernel.receive(), ...kernel.receive()];
    assertEquals(packets, frames);
  }
  const { rx } = kernel.rings;
  assertEquals(rx.consumer[0], rx.producer[0]);
}

Deno.test("XdpRxQueue.receive() waits for the rest of a frame, and drops one that fits no buffer", () => {
  using kernel = new Kernel(8192);
  const whole = frame(5000);
  kernel.memory.set(whole.subarray(0, 3840), kernel.fill() + HEADROOM);
  const [first] = kernel.rings.fill.entries.subarray(2 * (FIRST & 63));
  kernel.put(first + HEADROOM, 3840, CONTINUES);
  assertEquals(kernel.receive(), []);
  const rest = kernel.fill() + HEADROOM;
  kernel.memory.set(whole.subarray(3840), rest);
  kernel.put(rest, 1160);
  assertEquals(kernel.receive(), [whole]);
  kernel.deliver(frame(9000), 3840);
  kernel.deliver(whole, 3840);
  assertEquals(kernel.receive(), [whole]);
  assertEquals(kernel.rx.tooLong, 1);
});

Deno.test("XdpRxQueue.receive() accepts frames that begin elsewhere in their chunk", () => {
  using kernel = new Kernel();
  const packets = [272, 255, 0, 256, 1748].map((offset) => {
    const packet = frame(300), at = kernel.fill() + offset;
    kernel.memory.set(packet, at);
    kernel.put(at, 300);
    return packet;
  });
  assertEquals([...kernel.receive(), ...kernel.receive()], packets);
});

Deno.test("XdpRxQueue.receive() drops packets that the pool has no buffer for", () => {
  using kernel = new Kernel();
  const held = new PacketBatch(kernel.pool, 256);
  while (held.allocate(60) !== undefined);
  for (let i = 0; i < 10; i++) kernel.deliver(frame(60));
  assertEquals([kernel.receive(), kernel.rx.noBuffer], [[], 10]);
  held.free();
  const packet = frame(60);
  kernel.deliver(packet);
  assertEquals(kernel.receive(), [packet]);
});

Deno.test("XdpRxQueue.receive() refuses what the kernel must not return", () => {
  const own = (kernel: Kernel) => kernel.fill() + HEADROOM;
  const cases: [sentence: RegExp, put: (kernel: Kernel) => void][] = [
    [/buffer 200, which it does not own/, (k) => k.put(200 * 2048 + HEADROOM, 60)],
    [/address 524544, which is outside/, (k) => k.put(BUFFERS * 2048 + HEADROOM, 60)],
    [/address 4294967552, which is outside/, (k) => k.put(own(k), 60, 0, 1)],
    [/a length of 0 bytes, 256 bytes behind the start of a chunk of 2048/, (k) => k.put(own(k), 0)],
    [/a length of 1793 bytes/, (k) => k.put(own(k), 1793)],
    [/a length of 4294967295 bytes/, (k) => k.put(own(k), 2 ** 32 - 1)],
    [/the options 1, which were not asked for/, (k) => k.put(own(k), 60, CONTINUES)],
    [/65 frames, more than the 64 buffers/, (k) => void (k.rings.rx.producer[0] += 65)],
    [/buffer \d+, which it does not own/, (k) => {
      const at = own(k);
      k.put(at, 60);
      assertEquals(k.receive().length, 1);
      k.put(at, 60);
    }],
  ];
  for (const [sentence, put] of cases) {
    using kernel = new Kernel();
    put(kernel);
    const { message } = assertThrows(() => kernel.receive(), DeviceError);
    assertMatch(message, sentence);
    assertMatch(message, /^xdp:k: the kernel returns .*, in the receive ring of queue 0: report/);
  }
  using kernel = new Kernel(16384);
  const at = own(kernel);
  kernel.put(at, 3840, CONTINUES);
  kernel.put(at, 60);
  assertMatch(assertThrows(() => kernel.receive(), DeviceError).message, /buffer \d+ twice/);
});

Deno.test("XdpTxQueue.transmit() fills the ring, and takes back what the kernel completes", () => {
  using kernel = new Kernel();
  const { pool, tx } = kernel, batch = new PacketBatch(pool, 100);
  for (let round = 0; round < 5; round++) {
    while (batch.length < 100) assert(batch.allocate(60 + batch.length) !== undefined);
    assertEquals([tx.transmit(batch), batch.length, tx.pending], [64, 36, 64]);
    const sent = kernel.sent();
    assertEquals(sent.length, 64);
    assertEquals(tx.transmit(batch), 0);
    for (const [at] of sent.toReversed()) kernel.complete(at); // in any order
    assertEquals([tx.reclaim(), tx.pending], [64, 0]);
    batch.free();
  }
  assertEquals(tx.packets, 320);
});

Deno.test("XdpTxQueue.transmit() splits packets that are longer than a chunk", () => {
  using kernel = new Kernel(16384);
  const { tx, pool } = kernel, batch = new PacketBatch(pool);
  batch.allocate(9014);
  const [buffer] = batch.buffers, start = buffer * 16384;
  assertEquals(tx.transmit(batch), 1);
  const sent = kernel.sent();
  assertEquals(sent, [[start, 4096, 1], [start + 4096, 4096, 1], [start + 8192, 822, 0]]);
  kernel.complete(start);
  kernel.complete(start + 4096);
  assertEquals([tx.reclaim(), tx.pending], [0, 1]);
  kernel.complete(start + 8192);
  assertEquals([tx.reclaim(), tx.pending], [1, 0]);
  // 22 packets of 3 descriptors: the last one does not fit the ring.
  while (batch.length < 22) batch.allocate(9014);
  assertEquals([tx.transmit(batch), batch.length], [21, 1]);
  batch.free();
});

Deno.test("XdpTxQueue.transmit() sends from behind the headroom, in pieces that end with a chunk", () => {
  using kernel = new Kernel(16384, BUFFERS, 64, HEADROOM);
  const { tx, pool } = kernel, batch = new PacketBatch(pool);
  for (const size of [60, 3840, 3841, 9014, 16128]) batch.allocate(size);
  const starts = [...batch.buffers.subarray(0, 5)].map((buffer) => buffer * 16384 + HEADROOM);
  assertEquals(tx.transmit(batch), 5);
  const sent = kernel.sent(), [a, b, c, d, e] = starts;
  assertEquals(sent, [
    [a, 60, 0],
    [b, 3840, 0],
    ...[[c, 3840, 1], [c + 3840, 1, 0]],
    ...[[d, 3840, 1], [d + 3840, 4096, 1], [d + 7936, 1078, 0]],
    ...[[e, 3840, 1], [e + 3840, 4096, 1], [e + 7936, 4096, 1], [e + 12032, 4096, 0]],
  ]);
  for (const [at] of sent) kernel.complete(at);
  assertEquals([tx.reclaim(), tx.pending], [5, 0]);
  batch.allocate(60);
  tx.transmit(batch);
  kernel.complete(kernel.sent()[0][0] - HEADROOM);
  assertThrows(() => tx.reclaim(), DeviceError, "at which it has no packet");
});

Deno.test("XdpTxQueue.reclaim() refuses what the kernel must not return", () => {
  const cases: [sentence: RegExp, complete: (kernel: Kernel, sent: number) => void][] = [
    [/address 1, at which it has no packet/, (k) => k.complete(1)],
    [/address \d+, at which it has no packet/, (k, sent) => k.complete(sent + 256)],
    [/address \d+, at which it has no packet/, (k, sent) => k.complete(sent, 1)],
    [/address 524288, at which/, (k) => k.complete(BUFFERS * 2048)],
    [/3 descriptors, more than the 2 that it has/, (k) => {
      k.rings.completion.producer[0] += 3;
    }],
    [/address \d+, at which it has no packet/, (k, sent) => {
      k.complete(sent);
      k.complete(sent); // twice
    }],
  ];
  for (const [sentence, complete] of cases) {
    using kernel = new Kernel();
    const batch = new PacketBatch(kernel.pool);
    batch.allocate(60);
    batch.allocate(60);
    kernel.tx.transmit(batch);
    complete(kernel, kernel.sent()[0][0]);
    const { message } = assertThrows(() => kernel.tx.reclaim(), DeviceError);
    assertMatch(message, sentence);
    assertMatch(message, /in the completion ring of queue 0: report this/);
  }
});

Deno.test("XdpRxQueue and XdpTxQueue refuse foreign and full batches, and calls after close()", () => {
  using kernel = new Kernel();
  using other = new Mempool({ buffers: 64, memory: "pages" });
  const { rx, tx, pool } = kernel, foreign = new PacketBatch(other), full = new PacketBatch(pool);
  full.allocate(60);
  assertThrows(() => rx.receive(foreign), Error, "another pool");
  assertThrows(() => tx.transmit(foreign), Error, "another pool");
  assertThrows(() => rx.receive(full), Error, "holds 1 packets");
  full.free();
  rx.close();
  tx.close();
  assertThrows(() => rx.receive(new PacketBatch(pool)), Error, "closed");
  assertThrows(() => tx.transmit(new PacketBatch(pool)), Error, "closed");
  assertEquals(tx.reclaim(), 0);
});

Deno.test("every call of a queue looks whether the kernel waits for a wakeup", () => {
  using kernel = new Kernel();
  const batch = new PacketBatch(kernel.pool);
  const calls = [
    () => kernel.rx.receive(batch),
    () => kernel.tx.reclaim(),
    () => kernel.tx.transmit(batch),
  ];
  for (const call of calls) {
    const before = kernel.wakeups;
    call();
    assertEquals(kernel.wakeups, before + 1);
  }
});
