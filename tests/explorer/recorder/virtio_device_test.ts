/** `NetDevice`: the rules that it checks, and its commands, without a driver and with one. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import type { DeviceEvent } from "../../../explorer/recorder/virtio/device/events.ts";
import { FrameFilter, steer } from "../../../explorer/recorder/virtio/device/frame_filter.ts";
import { NetDevice } from "../../../explorer/recorder/virtio/device/net_device.ts";
import { buildFrame } from "../../../explorer/recorder/frames.ts";
import { DeviceError, Mempool, PacketBatch } from "../../../mod.ts";
import { Feature } from "../../../virtio/features.ts";
import { openVirtio, type VirtioDevice } from "../../../virtio/device.ts";
import { type QueueAreas, Status } from "../../../virtio/transport.ts";
import { DESC_NEXT, DESC_WRITE } from "../../../virtio/virtqueue.ts";

const MAC = Uint8Array.of(0x52, 0x54, 0, 0, 0, 1);
const ENTRIES = 16;
const NEGOTIATED = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK;

/** A device, and what it has observed. */
class Bench implements Disposable {
  readonly events: DeviceEvent[] = [];
  readonly net: NetDevice;
  readonly pool = new Mempool({ buffers: 256, memory: "pages" });
  device: VirtioDevice | undefined;

  constructor(pairs = 1) {
    this.net = new NetDevice({
      address: "net",
      entries: ENTRIES,
      pairs,
      mac: MAC,
      megabits: 1000,
      dropsWithoutChains: false,
      observe: (event) => this.events.push(event),
    });
  }

  async open(pairs = 1): Promise<VirtioDevice> {
    const options = { rxEntries: 64, txEntries: 64, rxQueues: pairs, txQueues: pairs };
    return this.device = await openVirtio("net", { pool: this.pool, ...options }, () => this.net);
  }

  /** Rules that were broken: register and section of each. */
  get broken(): string[] {
    return this.events.flatMap((event) => {
      return event.what === "violation"
        ? [`${event.broken.register}, ${event.broken.section}`]
        : [];
    });
  }

  [Symbol.dispose](): void {
    this.device?.close();
    this.pool[Symbol.dispose]();
  }
}

Deno.test("NetDevice reports each rule of an initialisation that a driver breaks", () => {
  const rules: Record<string, (net: NetDevice) => void> = {
    "device_status, VirtIO 3.1.1": (net) => net.setStatus(Status.DRIVER),
    "device_status, VirtIO 2.1.1": (net) => {
      net.setStatus(Status.ACKNOWLEDGE);
      net.setStatus(Status.ACKNOWLEDGE | Status.DRIVER);
      net.setStatus(Status.ACKNOWLEDGE);
    },
    "driver_feature, VirtIO 2.2.1": (net) => net.setFeatures(Feature.VERSION_1 | Feature.IN_ORDER),
    "driver_feature, VirtIO 3.1.1": (net) => {
      net.setStatus(Status.ACKNOWLEDGE);
      net.setStatus(Status.ACKNOWLEDGE | Status.DRIVER);
      net.setFeatures(Feature.VERSION_1);
      net.setStatus(NEGOTIATED);
      net.setFeatures(Feature.VERSION_1);
    },
    "queue_notify, VirtIO 3.1.1": (net) => net.notify(0),
    "config[0], VirtIO 5.1.4": (net) => net.writeConfig(0, 1),
  };
  for (const [rule, breakIt] of Object.entries(rules)) {
    using bench = new Bench();
    breakIt(bench.net);
    assertEquals(bench.broken, [rule]);
  }
});

Deno.test("NetDevice clears FEATURES_OK without VERSION_1, and with a feature that it lacks", () => {
  for (const features of [0n, Feature.MAC, Feature.VERSION_1 | Feature.IN_ORDER]) {
    using bench = new Bench();
    bench.net.setStatus(Status.ACKNOWLEDGE);
    bench.net.setFeatures(features);
    bench.net.setStatus(Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK);
    assertEquals(bench.net.status() & Status.FEATURES_OK, 0);
  }
});

/** The memory of a queue, for tests that break its rules. */
function memoryOf({ memory: { buffer }, descriptors, available }: QueueAreas) {
  const view = new DataView(buffer);
  return {
    descriptor(index: number, length: number, flags: number, next = 0): void {
      view.setUint32(descriptors + 16 * index + 8, length, true);
      view.setUint16(descriptors + 16 * index + 12, flags, true);
      view.setUint16(descriptors + 16 * index + 14, next, true);
    },
    address(index: number, address: bigint): void {
      view.setBigUint64(descriptors + 16 * index, address, true);
    },
    entry: (place: number, id: number) => view.setUint16(available + 4 + 2 * place, id, true),
    index: (index: number) => view.setUint16(available + 2, index, true),
  };
}

/** What a driver does wrong with the first chain of its transmit queue, by the rule that it breaks. */
const CHAINS: Readonly<Record<string, (queue: ReturnType<typeof memoryOf>) => void>> = {
  "avail.ring, VirtIO 2.7.6": (queue) => queue.entry(0, ENTRIES),
  "desc.next, VirtIO 2.7.5": (queue) => queue.descriptor(0, 12, DESC_NEXT, ENTRIES),
  "desc.next, VirtIO 2.7.5.2": (queue) => queue.descriptor(0, 12, DESC_NEXT, 0),
  "desc[1].addr, VirtIO 2.7.5": (queue) => queue.address(1, 1n << 63n),
  "desc[1].flags, VirtIO 2.7.4.2": (queue) => {
    queue.descriptor(0, 12, DESC_NEXT | DESC_WRITE, 1);
  },
  "desc[1].flags, VirtIO 5.1.6.2": (queue) => queue.descriptor(1, 60, DESC_WRITE),
  "desc[0].len, VirtIO 5.1.6.2": (queue) => queue.descriptor(0, 11, 0),
  "avail.idx, VirtIO 2.7.13.3": (queue) => queue.index(ENTRIES + 1),
};

for (const [rule, breakIt] of Object.entries(CHAINS)) {
  Deno.test(`NetDevice needs a reset once the driver breaks the rule ${rule}`, async () => {
    using bench = new Bench();
    const device = await bench.open(), batch = new PacketBatch(bench.pool, 1);
    batch.add(new Uint8Array(60));
    device.txQueues[0].transmit(batch);
    breakIt(memoryOf(bench.net.queues[1].areas));
    bench.net.round();
    bench.net.round();
    assertEquals(bench.broken, [rule]);
    assertThrows(() => device.checkAlive(), DeviceError, "needs a reset");
  });
}

Deno.test("NetDevice reports chains without a notification that it has asked for", async () => {
  using bench = new Bench();
  await bench.open();
  const queue = memoryOf(bench.net.queues[1].areas), { pool } = bench;
  queue.address(1, BigInt(pool.memory.busAddress(0, "iova")));
  queue.descriptor(1, 60, 0);
  queue.index(1);
  bench.net.round();
  assertEquals(bench.broken, ["queue_notify, VirtIO 2.7.13.4.1"]);
});

Deno.test("NetDevice executes the commands of its control queue", async () => {
  using bench = new Bench(2);
  const device = await bench.open(2), { net, events } = bench;
  assertEquals(net.activePairs, 2);
  assertEquals(net.filter.promiscuous, false);
  device.setPromiscuous(true);
  assertEquals(net.filter.promiscuous, true);
  device.setMacAddress(Uint8Array.of(2, 0, 0, 0, 0, 9));
  assertEquals([...device.macAddress()], [2, 0, 0, 0, 0, 9]);
  device.setMulticast([Uint8Array.of(1, 0, 0x5e, 0, 0, 251)]);
  assert(events.every((event) => event.what !== "command" || event.accepted));
  assertEquals(bench.broken, []);
});

Deno.test("FrameFilter.decide() accepts what promiscuous mode, address or tables allow", () => {
  const filter = new FrameFilter(MAC), sizes = { station: MAC, flow: 0, long: 1600, jumbo: 6000 };
  const accepts = () => {
    return (["udp", "foreign", "broadcast", "multicast"] as const).map((kind) => {
      return filter.decide(buildFrame(kind, sizes)).accepted;
    });
  };
  assertEquals(accepts(), [true, true, true, true], "promiscuous after a reset");
  filter.promiscuous = false;
  assertEquals(accepts(), [true, false, true, false]);
  filter.allMulticast = true;
  assertEquals(accepts(), [true, false, true, true]);
  filter.allMulticast = false;
  const foreign = [...buildFrame("foreign", sizes).subarray(0, 6)];
  const group = [...buildFrame("multicast", sizes).subarray(0, 6)];
  filter.setTable(Uint8Array.from([1, 0, 0, 0, ...foreign, 1, 0, 0, 0, ...group]));
  assertEquals(accepts(), [true, true, true, true]);
});

Deno.test("steer() spreads flows, and chooses the same pair for both directions of a flow", () => {
  const pairs = 4, counts = new Array<number>(pairs).fill(0);
  for (let flow = 0; flow < 64; flow++) {
    const frame = buildFrame("udp", { station: MAC, flow, long: 0, jumbo: 0 });
    const back = frame.slice();
    back.set(frame.subarray(26, 30), 30);
    back.set(frame.subarray(30, 34), 26);
    back.set(frame.subarray(34, 36), 36);
    back.set(frame.subarray(36, 38), 34);
    assertEquals(steer(back, pairs), steer(frame, pairs));
    counts[steer(frame, pairs)]++;
  }
  assert(Math.min(...counts) > 8, `${counts}`);
});
