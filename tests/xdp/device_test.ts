/** `XdpDevice` on virtual Ethernet interfaces: queues, addresses, the end of an interface. As root only. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import {
  type Device,
  DeviceError,
  Mempool,
  open,
  PacketBatch,
  UsageError,
  Waiter,
} from "../../mod.ts";
import { isReleased } from "../../xdp/release.ts";
import { requirePackages, tool, until } from "../support/processes.ts";
import type { Veth } from "../support/veth.ts";
import { assertOpenRefused, vethTest as test } from "../support/veth_tests.ts";

/** Returns a frame of random bytes, with an EtherType for experiments: the kernel strips VLAN tags. */
function frame(bytes: number): Uint8Array {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  random.set([0x88, 0xb5], 12);
  return random;
}

/** Returns the number of the interface for a device. */
async function indexOf({ near }: Veth): Promise<number> {
  return JSON.parse(await tool("ip", "-j", "link", "show", near))[0].ifindex;
}

/** Receives this many packets; returns copies of them. */
async function receive(device: Device, count: number, queue = 0): Promise<Uint8Array[]> {
  const rx = device.rxQueues[queue], batch = new PacketBatch(rx.pool), packets: Uint8Array[] = [];
  await until(`${count} packets`, () => {
    rx.receive(batch);
    for (const packet of batch) packets.push(packet.slice());
    batch.free();
    return packets.length >= count;
  });
  assertEquals(packets.length, count);
  return packets;
}

/** Sends packets, and returns what arrives at the other end. */
async function transmit(device: Device, veth: Veth, packets: readonly Uint8Array[]) {
  const [tx] = device.txQueues, batch = new PacketBatch(tx.pool, 256), arrived: Uint8Array[] = [];
  veth.listen();
  for (const packet of packets) assert(batch.add(packet));
  assertEquals(tx.transmit(batch), packets.length);
  await until("packets at the other end", () => {
    for (let taken; (taken = veth.take()) !== undefined;) arrived.push(taken);
    return arrived.length >= packets.length;
  });
  return arrived;
}

test("XdpDevice receives and sends frames unchanged, and returns all buffers", async (veth) => {
  using pool = new Mempool({ buffers: 2048 });
  {
    using device = await open(veth.address, { pool });
    assertEquals([device.driver, device.model], ["xdp", "AF_XDP, copy"]);
    const packets = [14, 60, 61, 62, 63, 255, 256, 257, 1000, 1514].map(frame);
    for (const packet of packets) veth.send(packet);
    assertEquals(await receive(device, packets.length), packets);
    assertEquals(await transmit(device, veth, packets), packets);
    const bytes = packets.reduce((sum, { length }) => sum + length, 0);
    assertEquals(device.statistics(), {
      ...{ rxPackets: packets.length, rxBytes: bytes, txPackets: packets.length, txBytes: bytes },
      ...{ rxMissed: 0, rxErrors: 0, rxTooLong: 0, rxNoBuffer: 0 },
    });
    assertEquals(device.counters().tx_invalid_descs, 0);
  }
  assertEquals([pool.freeCount, new Set(pool.freeStack).size], [2048, 2048]);
});

test("XdpDevice passes its rings many times in both directions", async (veth) => {
  using device = await open(veth.address, { rxEntries: 64, txEntries: 64 });
  for (let round = 0; round < 40; round++) {
    const packets = Array.from({ length: 50 }, () => frame(60 + round));
    for (const packet of packets) veth.send(packet);
    assertEquals(await receive(device, 50), packets);
    assertEquals(await transmit(device, veth, packets), packets);
  }
});

test("XdpDevice receives and sends frames that are longer than a page", async (veth) => {
  using pool = new Mempool({ buffers: 1024, bufferSize: 16384 });
  {
    using device = await open(veth.address, { pool });
    const packets = [9014, 60, 3840, 3841, 4096, 4097, 8000, 9013, 1514].map(frame);
    for (const packet of packets) veth.send(packet);
    assertEquals(await receive(device, packets.length), packets);
    assertEquals(await transmit(device, veth, packets), packets);
    const [tx] = device.txQueues;
    tx.reclaim();
    assertEquals(tx.pending, 0);
  }
  assertEquals([pool.freeCount, new Set(pool.freeStack).size], [1024, 1024]);
}, { mtu: 9000 });

test("XdpRxQueue.receive() counts frames that the kernel drops for lack of buffers", async (veth) => {
  using device = await open(veth.address, { rxEntries: 64 });
  for (let i = 0; i < 100; i++) veth.send(frame(60));
  assertEquals((await receive(device, 64)).length, 64);
  assertEquals(device.statistics().rxMissed, 36);
  assertEquals(device.statistics(false).rxMissed, 36);
});

test("open() opens an interface again at once after it was closed", async (veth) => {
  for (let i = 0; i < 3; i++) (await open(veth.address)).close();
});

test("XdpDevice receives from and sends on each of several queues", async (veth) => {
  await assertOpenRefused(
    veth.address,
    {},
    /spreads frames over 4 queues, .* receive from 1: open it with 4/,
  );
  const queues = { rxQueues: 4, txQueues: 4 };
  using device = await open(veth.address, queues);
  veth.listen();
  // The veth driver chooses the queue by a hash of the flow: send flows until two queues have one.
  const batch = new PacketBatch(device.pool), seen = new Set<number>();
  await until("frames in two queues", () => {
    const packet = frame(60);
    packet.set([8, 0, 0x45], 12);
    packet[23] = 17; // UDP
    packet.set([0, 0], 20);
    veth.send(packet);
    for (const rx of device.rxQueues) {
      if (rx.receive(batch) > 0) seen.add(rx.number);
      batch.free();
    }
    return seen.size > 1;
  });
  for (const tx of device.txQueues) {
    const packet = frame(60 + tx.number);
    batch.add(packet);
    assertEquals(tx.transmit(batch), 1);
    let arrived: Uint8Array | undefined;
    await until("the packet", () => (arrived = veth.take()) !== undefined);
    assertEquals(arrived, packet);
  }
}, { queues: 4 });

test("XdpDevice.linkStatus() follows both ends, and says that the interface is down", async (veth) => {
  using device = await open(veth.address, { interrupts: true });
  assertEquals(device.linkStatus(), { up: true, megabits: 10000, duplex: "full" });
  const waiter = new Waiter(device.rxQueues, [device]), look = () => false;
  await tool("ip", "link", "set", veth.far, "down");
  // An earlier interrupt may be that of the link coming up.
  await until("the interrupt", () => {
    return waiter.wait(look, 100) && waiter.linkChanged && !device.linkStatus().up;
  });
  assertEquals(device.linkStatus(), { up: false, megabits: 0 });
  await tool("ip", "link", "set", veth.near, "down");
  const reason = `the interface is down: run \`ip link set dev ${veth.near} up\``;
  assertEquals(device.linkStatus(), { up: false, megabits: 0, reason });
  device.checkAlive();
  for (const name of [veth.near, veth.far]) await tool("ip", "link", "set", name, "up");
  await device.waitForLink();
  const packet = frame(60);
  veth.send(packet);
  assertEquals(await receive(device, 1), [packet]);
  assertEquals(await transmit(device, veth, [packet]), [packet]);
});

test("XdpDevice sets addresses and promiscuous mode, and nothing of them stays", async (veth) => {
  const details = async () =>
    JSON.parse(await tool("ip", "-j", "-d", "link", "show", veth.near))[0];
  const groups = async () => await tool("ip", "maddress", "show", "dev", veth.near);
  const before = await details(), groupsBefore = await groups();
  {
    using device = await open(veth.address, { promiscuous: true });
    const mac = Uint8Array.of(2, 0, 0, 0, 0, 9);
    assertEquals((await details()).promiscuity, 1);
    device.setPromiscuous(true);
    device.setPromiscuous(false);
    assertEquals((await details()).promiscuity, 0);
    device.setPromiscuous(true);
    assertEquals(
      [...device.macAddress()].map((n) => n.toString(16).padStart(2, "0")).join(":"),
      before.address,
    );
    device.setMacAddress(mac);
    device.setMacAddress(mac);
    assertEquals(device.macAddress(), mac);
    assertThrows(() => device.setMacAddress(Uint8Array.of(1, 0, 0, 0, 0, 0)), UsageError);
    device.setMulticast([Uint8Array.of(1, 0, 0x5e, 0, 0, 77)]);
    assertMatch(await groups(), /01:00:5e:00:00:4d/);
    device.setMulticast([]);
    assertEquals(await groups(), groupsBefore);
    device.setMulticast([Uint8Array.of(1, 0, 0x5e, 0, 0, 77)]);
    assertThrows(() => device.setMulticast([mac]), UsageError);
  }
  assertEquals(await groups(), groupsBefore);
  assertEquals(await details(), before, "no program, promiscuous mode or address is left");
});

test("XdpDevice in generic mode receives and sends", async (veth) => {
  using device = await open(veth.address, { xdp: { mode: "generic" } });
  assertEquals(device.model, "AF_XDP, copy, generic");
  const packets = [60, 1514].map(frame);
  for (const packet of packets) veth.send(packet);
  assertEquals(await receive(device, 2), packets);
  assertEquals(await transmit(device, veth, packets), packets);
});

test("XdpDevice notices that its interface is gone, and closes", async (veth) => {
  using pool = new Mempool({ buffers: 2048 });
  using device = await open(veth.address, { pool });
  await tool("ip", "link", "delete", veth.near);
  const gone = /was deleted or moved to another network namespace/;
  for (const call of [() => device.checkAlive(), () => device.linkStatus()]) {
    assertMatch(assertThrows(call, DeviceError).message, gone);
  }
  const batch = new PacketBatch(pool);
  batch.allocate(60);
  const error = assertThrows(() => device.txQueues[0].transmit(batch), DeviceError);
  assertMatch(error.message, /deleted or moved|network is down/);
  device.close();
  assertEquals([batch.length, pool.freeCount], [0, 2048]);
});

test("isReleased() says when the kernel has let go of a queue", async (veth) => {
  const ifindex = await indexOf(veth);
  {
    using _device = await open(veth.address);
    assertEquals(isReleased(ifindex, 0), false);
  }
  await until("the release", () => isReleased(ifindex, 0));
  assertEquals(isReleased(2 ** 30, 0), true, "no such interface");
});

test("XdpDevice.checkAlive() notices that the interface has got more queues", async (veth) => {
  await requirePackages("ethtool");
  const set = (queues: number) => tool("ethtool", "-L", veth.near, "rx", `${queues}`);
  await set(1);
  using device = await open(veth.address);
  device.checkAlive();
  await set(2);
  const { message } = assertThrows(() => device.checkAlive(), DeviceError);
  assertMatch(
    message,
    /has 2 receive queues now, .* from 1: open it again, or run `ethtool -L \w+ rx 1`$/,
  );
  await set(1);
  device.checkAlive();
}, { queues: 2 });

test("XdpDevice follows an interface that is renamed", async (veth) => {
  using device = await open(veth.address);
  const other = `${veth.near}x`;
  await tool("ip", "link", "set", veth.near, "down");
  await tool("ip", "link", "set", veth.near, "name", other);
  await tool("ip", "link", "set", other, "up");
  device.checkAlive();
  assertEquals((await device.waitForLink()).up, true);
  await tool("ip", "link", "set", other, "name", veth.near);
});
