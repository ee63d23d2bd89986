/**
 * What whole devices do alike: addresses, filters, link, interrupts, transfer to another thread, and their
 * end. The suite that each driver passes; `drivers_test.ts` is that of queues.
 */

import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  DeviceError,
  Mempool,
  type OpenOptions,
  PacketBatch,
  type RxQueue,
  UsageError,
  Waiter,
} from "../../mod.ts";
import { type DeviceRig, DEVICES, ENTRIES } from "../support/device_rigs.ts";
import { until } from "../support/processes.ts";

const OWN = [2, 0, 0, 0, 0x12, 0x34], OTHER = [6, 0, 0, 0, 0x56, 0x78];
const BROADCAST = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const GROUP = [1, 0, 0x5e, 1, 2, 3], OTHER_GROUP = [1, 0, 0x5e, 1, 2, 0x99];
/** The longest that a test waits for an interrupt, in milliseconds. */
const STRANDED_MS = 10000;

/** Returns a frame for an address, with an EtherType for experiments. */
function frameFor(mac: ArrayLike<number>, bytes = 60): Uint8Array {
  const frame = crypto.getRandomValues(new Uint8Array(bytes));
  frame.set(mac);
  frame.set([0x88, 0xb5], 12);
  return frame;
}

/** Receives this many packets; returns copies. */
async function receive(rx: RxQueue, count: number): Promise<Uint8Array[]> {
  const batch = new PacketBatch(rx.pool), packets: Uint8Array[] = [];
  await until(`${count} packets`, () => {
    rx.receive(batch);
    for (const packet of batch) packets.push(packet.slice());
    batch.free();
    return packets.length >= count;
  });
  return packets;
}

/** Returns whether a device passes frames for each address on to the program. */
async function passes(
  { device: { rxQueues: [rx] }, ...rig }: DeviceRig,
  filters: boolean,
  ...macs: number[][]
): Promise<boolean[]> {
  const all: boolean[] = [];
  for (const mac of macs) {
    const frame = frameFor(mac);
    rig.send(frame);
    if (filters) {
      const batch = new PacketBatch(rx.pool);
      all.push(rx.receive(batch) === 1);
      batch.free();
    } else {
      assertEquals(await receive(rx, 1), [frame]);
      all.push(true);
    }
  }
  return all;
}

for (const [driver, kind] of Object.entries(DEVICES)) {
  const { filters } = kind;
  const test = (
    rule: string,
    fn: (rig: DeviceRig) => void | Promise<void>,
    { has = true, options = {} }: { has?: boolean; options?: OpenOptions } = {},
  ) => {
    if (!has) return;
    Deno.test({
      name: `${driver}: ${rule}`,
      ignore: !kind.possible,
      async fn() {
        await using rig = await kind.open(options);
        await fn(rig);
      },
    });
  };

  test("macAddress() is a copy, and setMacAddress() changes it", ({ device }) => {
    const before = device.macAddress();
    assertEquals([before.length, before[0] & 1], [6, 0], "unicast");
    device.macAddress().fill(0);
    assertEquals(device.macAddress(), before);
    const mac = Uint8Array.from(OTHER);
    for (let i = 0; i < 2; i++) device.setMacAddress(mac);
    mac.fill(0);
    assertEquals([...device.macAddress()], OTHER);
  });

  test("setMacAddress() refuses an address that is not unicast, and keeps the one before", ({ device }) => {
    const before = device.macAddress();
    for (const mac of [GROUP, BROADCAST, [0, 0, 0, 0, 0, 0], [2, 0, 0], []]) {
      assertThrows(() => device.setMacAddress(Uint8Array.from(mac)), UsageError);
    }
    assertEquals(device.macAddress(), before);
  });

  test(
    "receives frames for its address and broadcasts, and others unless it filters",
    async (rig) => {
      const own = [...rig.device.macAddress()], others = !filters;
      assertEquals(await passes(rig, filters, own, BROADCAST, OTHER, GROUP), [
        true,
        true,
        others,
        others,
      ]);
      rig.device.setMacAddress(Uint8Array.from(OTHER));
      assertEquals(await passes(rig, filters, OTHER, own), [true, others]);
    },
  );

  test("setPromiscuous() receives every frame, and can be undone", async (rig) => {
    for (let i = 0; i < 2; i++) rig.device.setPromiscuous(true);
    assertEquals(await passes(rig, filters, OWN, OTHER, GROUP, BROADCAST), [
      true,
      true,
      true,
      true,
    ]);
    for (let i = 0; i < 2; i++) rig.device.setPromiscuous(false);
    const own = [...rig.device.macAddress()];
    assertEquals(await passes(rig, filters, OTHER, own), [!filters, true]);
  });

  test(
    "setMulticast() receives the groups given, and no longer those before",
    async (rig) => {
      const { device } = rig, others = !filters;
      device.setMulticast([Uint8Array.from(GROUP), Uint8Array.from(GROUP)]);
      assertEquals(await passes(rig, filters, GROUP, OTHER_GROUP), [true, others]);
      device.setMulticast([Uint8Array.from(OTHER_GROUP)]);
      assertEquals(await passes(rig, filters, GROUP, OTHER_GROUP), [others, true]);
      assertThrows(() => device.setMulticast([Uint8Array.from(OTHER)]), UsageError);
      assertEquals(
        await passes(rig, filters, OTHER_GROUP),
        [true],
        "a refused list changes nothing",
      );
      device.setMulticast([]);
      assertEquals(await passes(rig, filters, OTHER_GROUP), [others]);
    },
  );

  test("linkStatus() follows the cable, and waitForLink() says that there is none", async (rig) => {
    const { device } = rig;
    assertEquals([(await device.waitForLink()).up, device.linkStatus().up], [true, true]);
    await rig.setLink(false);
    await until("the link to be down", () => !device.linkStatus().up);
    await assertRejects(() => device.waitForLink(20), DeviceError, "no link after 20 ms");
    device.checkAlive();
    await rig.setLink(true);
    assertEquals((await device.waitForLink()).up, true);
  });

  test("close() sends the packets in the ring, is idempotent, and ends all calls", ({ device, pool, sent }) => {
    const [tx] = device.txQueues, batch = new PacketBatch(pool, 64), [rx] = device.rxQueues;
    while (batch.length < 60) batch.add(frameFor(OTHER));
    const count = tx.transmit(batch);
    assert(count >= ENTRIES / 2, "more than the kernel takes with one call");
    batch.free();
    device.close();
    device.close();
    if (driver !== "virtio") assertEquals(sent().length, count); // the played device works only when asked
    assertEquals([pool.freeCount, tx.reclaim()], [pool.buffers, 0]);
    const mac = Uint8Array.from(OTHER);
    for (
      const call of [
        () => device.checkAlive(),
        () => device.linkStatus(),
        () => device.macAddress(),
        () => device.setMacAddress(mac),
        () => device.setPromiscuous(true),
        () => device.setMulticast([]),
        () => device.statistics(),
        () => device.counters(),
        () => rx.receive(batch),
        () => tx.transmit(batch),
      ]
    ) assertThrows(call, Error, "closed", `${call}`);
  });

  test("Waiter sleeps until a frame arrives, and not while one waits", ({ device, pool, send }) => {
    const [rx] = device.rxQueues, waiter = new Waiter([rx]), batch = new PacketBatch(pool);
    const look = () => rx.receive(batch) > 0;
    for (let i = 0; i < 3; i++) {
      assertEquals(waiter.wait(look, 20), false);
      let looks = 0;
      const meanwhile = () => {
        const some = look();
        if (looks++ === 0) send(frameFor(device.macAddress()));
        return some;
      };
      assert(waiter.wait(meanwhile, STRANDED_MS), "woken by a frame between looking and sleeping");
      if (batch.length === 0) assert(look());
      assertEquals(batch.free(), 1);
    }
    const { interrupt } = rx;
    device.close();
    assertThrows(() => interrupt!.arm(), Error, "closed");
  }, { has: kind.interrupts, options: { interrupts: true } });

  test("queues have no interrupt unless asked for", ({ device }) => {
    assertEquals([device.rxQueues[0].interrupt, device.linkInterrupt], [undefined, undefined]);
    assertThrows(() => new Waiter(device.rxQueues), UsageError);
  });

  const threads = { has: kind.transfers, options: { promiscuous: true } };

  test(
    "transferred queues receive and send in another thread, which publishes their counts",
    async (rig) => {
      const { device, pool } = rig, adopt = rig.transfer!(0);
      using theirs = Mempool.adopt(structuredClone(pool.transfer()));
      using queues = adopt(theirs);
      assertEquals([pool.freeCount, pool.allocate(60)], [0, -1]);
      assertThrows(() => pool.transfer(), Error, "transferred twice");
      let bytes = 0;
      for (let round = 0; round < 40; round++) { // every buffer of the rings is used
        const frame = frameFor(OTHER, 60 + 36 * round), batch = new PacketBatch(theirs);
        bytes += frame.length;
        rig.send(frame);
        await until("the frame", () => queues.rx.receive(batch) > 0);
        assertEquals([...batch], [frame]);
        assertEquals(queues.tx.transmit(batch), 1);
        const sent: Uint8Array[] = [];
        await until("its way back", () => sent.push(...rig.sent()) > 0);
        assertEquals(sent, [frame]);
      }
      queues.publish();
      const { rxPackets, rxBytes, txPackets, txBytes } = device.statistics();
      assertEquals([rxPackets, txPackets, rxBytes, txBytes], [40, 40, bytes, bytes]);
      device.close();
      assertEquals(pool.freeCount, 0, "the other thread may own them");
    },
    threads,
  );

  test(
    "transferred queues end in their thread, and cannot be transferred again",
    ({ device, pool, ...rig }) => {
      assertThrows(() => rig.transfer!(1), RangeError, "queue");
      const adopt = rig.transfer!(0), batch = new PacketBatch(pool);
      assertThrows(() => rig.transfer!(0), Error, "queues 0 are transferred twice");
      assertThrows(() => device.rxQueues[0].receive(batch), Error, "transferred");
      assertThrows(() => device.txQueues[0].transmit(batch), Error, "transferred");
      using other = new Mempool({ buffers: 64, memory: "pages" });
      assertThrows(() => adopt(other), Error, "queues 0 are adopted with a wrong pool");
      using theirs = Mempool.adopt(structuredClone(pool.transfer()));
      const queues = adopt(theirs), batch2 = new PacketBatch(theirs);
      queues[Symbol.dispose]();
      assertThrows(() => queues.rx.receive(batch2), Error, "closed");
      assertThrows(() => queues.tx.transmit(batch2), Error, "closed");
    },
    threads,
  );

  test("used queues are not transferred, and stay usable", async (rig) => {
    const { device: { rxQueues: [rx], txQueues: [tx] }, pool } = rig, batch = new PacketBatch(pool);
    batch.add(frameFor(OTHER));
    assertEquals(tx.transmit(batch), 1);
    assertThrows(() => rig.transfer!(0), Error, "transmit queue 0 is transferred after use");
    rig.send(frameFor(OTHER));
    await receive(rx, 1);
    assertThrows(() => rig.transfer!(0), Error, "receive queue 0 is transferred after use");
    batch.add(frameFor(OTHER));
    assertEquals(tx.transmit(batch), 1);
    let sent = 0;
    await until("both frames", () => (sent += rig.sent().length) === 2);
  }, threads);
}
