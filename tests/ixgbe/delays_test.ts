/**
 * The ixgbe driver on cards that take their time, in virtual time: it opens, links, passes packets and
 * closes, whatever the delays, and however long this thread does not run in between.
 */

import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { startCard } from "../../bench/starts.ts";
import { TimedCard } from "../../bench/timed_card.ts";
import { VirtualTime } from "../../sim/virtual_time.ts";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError, Mempool, PacketBatch } from "../../mod.ts";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { Delays } from "../../sim/nic/timing.ts";
import type { Wire, WirePort } from "../../sim/wires/wire.ts";

const MAC = [0x02, 0, 0, 0, 0x12, 0x34];
/** Starts of each kind of card. */
const STARTS = 24, BOARDS = Object.keys(DEVICE).length;
/** Frames of the test of write-backs, and its longest ring: several rounds. */
const FRAMES = 5000, RING = 128;
/** Rounds in which all of them must pass. */
const ROUNDS = 200_000;

Deno.test("ixgbe opens, links, passes packets and closes on cards with delays", async () => {
  const options = { jitter: 0.9, failures: 3, pauses: 0, pause: 0, seed: 100 };
  for (let number = 0; number < BOARDS * STARTS; number++) {
    const { error, passed, broken } = await startCard(number, options);
    assertEquals(
      { error, passed, broken },
      { error: undefined, passed: 80, broken: [] },
      `${number}`,
    );
  }
});

Deno.test("ixgbe does not give up when its thread does not run for longer than a deadline", async () => {
  const options = { jitter: 0.9, failures: 3, pauses: 0.0005, pause: 3000, seed: 200 };
  for (let number = 0; number < BOARDS * STARTS; number++) {
    const { error, passed, broken } = await startCard(number, options);
    assertEquals(
      { error, passed, broken },
      { error: undefined, passed: 80, broken: [] },
      `${number}`,
    );
  }
});

/** A wire that counts numbered frames from the card, and sends it numbered frames, one a round. */
class NumberedWire implements Wire {
  readonly kind = "numbered";
  readonly fd = -1;
  /** Frames that the card sent in order, and the number of frames that it sent. */
  inOrder = 0;
  sent = 0;
  /** The next frame for the card, once it is started. */
  next = FRAMES;
  readonly #frame = new FrameBuffer();

  transmit(frame: FrameBuffer): void {
    if (frame.words[4] === this.sent++) this.inOrder++;
  }

  poll(port: WirePort): number {
    if (this.next === FRAMES) return 0;
    this.#frame.bytes.set(MAC);
    this.#frame.words[4] = this.next;
    // A frame without a descriptor is sent again.
    if (port.receive(this.#frame, 64)) this.next++;
    return 1;
  }

  statistics(): Record<string, number> {
    return { sent: this.sent };
  }

  close(): void {}
}

for (const [name, deviceId] of Object.entries(DEVICE)) {
  Deno.test(`Queues lose and reorder nothing while write-backs are late: ${name}`, async () => {
    for (const dma of [0.001, 0.05, 3]) {
      using time = new VirtualTime();
      const pool = new Mempool({ buffers: 1024, memory: "pages" });
      const card = new TimedCard(time, {
        ...{ deviceId, mac: Uint8Array.from(MAC), delays: { dma, queue: 1, link: 10 } },
        ...{ jitter: 1, seed: 7 },
      });
      const wire = card.nic.wire = new NumberedWire();
      const device = await ixgbe.attach(card, { pool, rxEntries: RING, txEntries: RING });
      await device.waitForLink();
      const [rx] = device.rxQueues, [tx] = device.txQueues;
      const out = new PacketBatch(pool, 32), batch = new PacketBatch(pool, 32);
      wire.next = 0;
      let made = 0, received = 0, inOrder = 0;
      const complete = () => wire.sent === FRAMES && received === FRAMES && tx.pending === 0;
      for (let round = 0; round < ROUNDS && !complete(); round++) {
        time.pass(0.002);
        card.nic.poll();
        for (; out.length < 32 && made < FRAMES; made++) {
          const packet = out.allocate(64);
          if (packet === undefined) break;
          new Uint32Array(packet.buffer, packet.byteOffset, 5)[4] = made;
        }
        tx.transmit(out);
        tx.reclaim();
        rx.receive(batch);
        for (const packet of batch) {
          const number = new Uint32Array(packet.buffer, packet.byteOffset, 5)[4];
          if (number === received++) inOrder++;
        }
        batch.free();
      }
      assertEquals(
        [wire.sent, wire.inOrder, received, inOrder],
        Array(4).fill(FRAMES),
        `${dma} ms`,
      );
      device.close();
      assertEquals(card.nic.rules.violations, []);
      assertEquals(pool.freeCount, pool.buffers);
      pool[Symbol.dispose]();
    }
  });
}

/** Delays that no deadline of the driver allows, a board, and what the driver then says. */
const TOO_LONG: readonly [keyof Delays, number, RegExp][] = [
  ["reset", DEVICE.SFP, /CTRL \(0x00000000.* after 1000 ms/],
  ["eeprom", DEVICE.SFP, /EEC \(0x00010010.* after 1000 ms/],
  ["queue", DEVICE.SFP, /RXDCTL\[0\] \(0x00001028.* after 1000 ms/],
  ["bus", DEVICE.KX4, /EERD \(0x00010014.* after 500 ms/],
  ["firmware", DEVICE.X550, /firmware does not read the EEPROM, HICR/],
];

for (const [what, deviceId, message] of TOO_LONG) {
  Deno.test(`ixgbe.attach() gives up at its deadline, and names the register: ${what}, ${deviceId}`, async () => {
    using time = new VirtualTime();
    using pool = new Mempool({ buffers: 1024, memory: "pages" });
    const card = new TimedCard(time, { deviceId, delays: { [what]: 1e9 } });
    const error = await assertRejects(() => ixgbe.attach(card, { pool }), Error);
    assertMatch(error.message, message);
    assertEquals(pool.freeCount, pool.buffers);
  });
}

Deno.test("ixgbe.attach() opens a card whose link is never up, or whose configuration never ends", async () => {
  for (const [what, deviceId] of [["firmware", DEVICE.KX4], ["link", DEVICE.X540]] as const) {
    using time = new VirtualTime();
    using pool = new Mempool({ buffers: 1024, memory: "pages" });
    const card = new TimedCard(time, { deviceId, delays: { [what]: 1e9 } });
    const device = await ixgbe.attach(card, { pool });
    if (what === "firmware") assertEquals((await device.waitForLink(100)).up, true);
    else await assertRejects(() => device.waitForLink(100), DeviceError, "no link after 100 ms");
    device.close();
    assertEquals(pool.freeCount, pool.buffers);
  }
});

Deno.test("ixgbe.attach() resets a card twice whose DMA does not stop, and Device.close() reports it", async () => {
  using time = new VirtualTime();
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const card = new TimedCard(time, { deviceId: DEVICE.X540, delays: { dma: 1e9 } });
  const device = await ixgbe.attach(card, { pool });
  assertThrows(() => device.close(), DeviceError, "STATUS 0x00080080 did not come to rest");
  assertEquals(pool.freeCount, pool.buffers);
});

Deno.test("Device.close() names the queue that is not disabled in time", async () => {
  using time = new VirtualTime();
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const card = new TimedCard(time, { deviceId: DEVICE.X550, delays: { queue: 150 } });
  const device = await ixgbe.attach(card, { pool }) as IxgbeDevice;
  assertThrows(() => device.close(), DeviceError, "RXDCTL[0], TXDCTL[0] did not come to rest");
  assertEquals(pool.freeCount, pool.buffers);
  assertEquals(
    (card.nic.read32(R.RXDCTL.offset) & R.RXDCTL.ENABLE) === 0,
    true,
    "the reset stops it",
  );
});
