/** Reconnection, with devices that fail when the test says so. */

import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import {
  type Device,
  DeviceError,
  type LinkStatus,
  Mempool,
  PacketBatch,
  type Statistics,
  SystemError,
  UsageError,
} from "../../mod.ts";
import { ReconnectingDevice } from "../../wrappers/mod.ts";

const MAC = [Uint8Array.of(2, 0, 0, 0, 0, 1), Uint8Array.of(2, 0, 0, 0, 0, 2)];

/** A device in memory: receives what the test delivers, and keeps what is sent in its ring. */
class FakeDevice implements Device {
  readonly address = "vfio-user:nic";
  readonly driver = "fake";
  readonly model: string;
  /** Calls that change its state. */
  readonly calls: string[] = [];
  /** Packets that wait in its receive ring, by their first byte. */
  readonly arrived: number[] = [];
  /** Buffers in its transmit ring. */
  readonly ring: number[] = [];
  /** Packets at the front of the transmit ring that were reported as sent. */
  sent = 0;
  /** What fails: every check and request, or also the doorbell, after the ring was written. */
  failure: "none" | "server" | "doorbell" = "none";
  mac: Uint8Array;
  #rx = 0;
  #tx = 0;

  constructor(readonly pool: Mempool, readonly number: number) {
    this.model = `fake ${number}`;
    this.mac = MAC[number % 2];
  }

  #check(): void {
    if (this.failure !== "none") throw new DeviceError(this.address, "the server is gone");
  }

  readonly rxQueues = [{
    number: 0,
    pool: null as unknown as Mempool,
    packets: 0,
    receive: (batch: PacketBatch) => {
      while (this.arrived.length > 0 && batch.length < batch.capacity) {
        batch.add(new Uint8Array(60).fill(this.arrived.shift()!));
        this.#rx++;
      }
      this.rxQueues[0].packets = this.#rx;
      return batch.length;
    },
  }];

  readonly txQueues = [{
    number: 0,
    pool: null as unknown as Mempool,
    pending: 0,
    transmit: (batch: PacketBatch) => {
      for (let i = 0; i < batch.length; i++) this.pool.lengths[batch.buffers[i]] = 0;
      this.ring.push(...batch.buffers.subarray(0, batch.length));
      this.#tx += batch.length;
      this.txQueues[0].pending = this.ring.length;
      if (this.failure === "doorbell") this.#check();
      const n = batch.length;
      batch.length = 0;
      return n;
    },
    reclaim: () => {
      const done = this.ring.splice(0, this.sent);
      this.pool.takeBack(done);
      this.txQueues[0].pending = this.ring.length;
      return done.length;
    },
  }];

  start(): this {
    this.rxQueues[0].pool = this.txQueues[0].pool = this.pool;
    return this;
  }

  linkStatus(): LinkStatus {
    this.#check();
    return { up: true, megabits: 10000 };
  }

  waitForLink(): Promise<LinkStatus> {
    return Promise.resolve(this.linkStatus());
  }

  macAddress(): Uint8Array {
    return this.mac;
  }

  setMacAddress(mac: Uint8Array): void {
    this.#check();
    this.calls.push(`MAC ${mac[5]}`);
  }

  endStandby(): void {
    this.calls.push("standby ended");
  }
  setPromiscuous(on: boolean): void {
    this.#check();
    this.calls.push(`promiscuous ${on}`);
  }

  setMulticast(addresses: readonly Uint8Array[]): void {
    this.#check();
    this.calls.push(`multicast ${addresses.length}`);
  }

  statistics(refresh = true): Statistics {
    if (refresh) this.#check();
    const none = { rxErrors: 0, rxTooLong: 0, rxNoBuffer: 0 };
    const [rxBytes, txBytes] = [60 * this.#rx, 60 * this.#tx];
    return { rxPackets: this.#rx, rxBytes, txPackets: this.#tx, txBytes, rxMissed: 1, ...none };
  }

  counters(): Readonly<Record<string, number>> {
    this.#check();
    return { GPRC: this.#rx };
  }

  checkAlive(): void {
    this.#check();
  }

  close(): void {
    this.calls.push("close");
    this.pool.takeBack(this.ring.splice(0));
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** A device that reconnects, and all devices that it has opened. */
async function opened(pool: Mempool, results: readonly (Error | undefined)[] = []) {
  const devices: FakeDevice[] = [], left = [...results];
  const device = await ReconnectingDevice.open(() => {
    const error = devices.length > 0 ? left.shift() : undefined;
    if (error) return Promise.reject(error);
    devices.push(new FakeDevice(pool, devices.length).start());
    return Promise.resolve(devices.at(-1)!);
  });
  return { device, devices };
}

/** Calls `waitForLink(0)` as a loop does, until the link is up. */
async function reconnect(device: Device): Promise<void> {
  for (;;) {
    try {
      await device.waitForLink(0);
      return;
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
    }
  }
}

function send(device: Device, packets: number): number {
  const batch = new PacketBatch(device.pool);
  for (let i = 0; i < packets; i++) batch.add(new Uint8Array(60));
  const n = device.txQueues[0].transmit(batch);
  assertEquals(batch.free(), packets - n);
  return n;
}

function receive(device: Device): number[] {
  const batch = new PacketBatch(device.pool);
  device.rxQueues[0].receive(batch);
  const bytes = [...batch].map(([byte]) => byte);
  batch.free();
  return bytes;
}

Deno.test("ReconnectingDevice goes on with the same queues, and adds up the counts", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const { device, devices } = await opened(pool);
  const [rx] = device.rxQueues, [tx] = device.txQueues;
  assertEquals(send(device, 5), 5);
  devices[0].sent = 2;
  devices[0].arrived.push(7, 8);
  devices[0].failure = "server";
  device.checkAlive();
  assertEquals(device.linkStatus(), {
    ...{ up: false, megabits: 0, retrying: true },
    reason: "the server is gone; this program reconnects",
  });
  assertEquals(send(device, 3), 0);
  assertEquals(receive(device), [7, 8], "the server delivered them before it ended");
  assertEquals([device.counters(), device.macAddress()], [{}, MAC[0]]);
  await reconnect(device);
  assertEquals(devices.map(({ calls }) => calls), [["close"], ["MAC 1"]]);
  assertEquals([device.rxQueues[0] === rx, device.txQueues[0] === tx], [true, true]);
  assertEquals(device.model, "fake 1");
  assertEquals(send(device, 4), 4);
  devices[1].arrived.push(9);
  assertEquals(receive(device), [9]);
  const { rxPackets, rxBytes, txPackets, rxMissed, txLost } = device.statistics();
  assertEquals({ rxPackets, rxBytes, txPackets, rxMissed, txLost }, {
    ...{ rxPackets: 3, rxBytes: 180, txPackets: 9, rxMissed: 2, txLost: 3 },
  });
  assertEquals(rx.packets, 3);
  device.close();
  device.close();
  assertEquals([devices[1].calls, pool.freeCount], [["MAC 1", "close"], pool.buffers]);
  assertThrows(() => device.checkAlive(), Error, "is closed");
  assertThrows(() => send(device, 1), Error, "closed device");
  assertThrows(() => receive(device), Error, "closed device");
  await assertRejects(() => device.waitForLink(), Error, "is closed");
});

Deno.test("ReconnectingDevice counts packets that a ring took before the doorbell failed", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const { device, devices } = await opened(pool);
  devices[0].failure = "doorbell";
  assertEquals(send(device, 3), 3);
  assertEquals(device.connected, false);
  await reconnect(device);
  assertEquals([device.statistics().txLost, pool.freeCount], [3, pool.buffers]);
  device.close();
});

Deno.test("ReconnectingDevice sets promiscuous mode and multicast addresses again", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const { device, devices } = await opened(pool);
  device.setMacAddress(MAC[1]);
  device.setPromiscuous(true);
  devices[0].failure = "server";
  device.setMulticast([Uint8Array.of(1, 0, 0, 0, 0, 1)]); // notices that the server is gone
  assertEquals(device.connected, false);
  await reconnect(device);
  assertEquals(devices[0].calls, ["MAC 2", "promiscuous true", "close"]);
  assertEquals(devices[1].calls, ["promiscuous true", "multicast 1"]);
  device.close();
});

Deno.test("ReconnectingDevice ends the standby of a device that is opened again, if it was ended before", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const { device, devices } = await opened(pool);
  devices[0].failure = "server";
  device.checkAlive();
  await reconnect(device);
  assertEquals(devices[1].calls, ["MAC 1"]);
  device.endStandby();
  devices[1].failure = "server";
  device.checkAlive();
  await reconnect(device);
  assertEquals(devices[1].calls, ["MAC 1", "standby ended", "close"]);
  assertEquals(devices[2].calls.at(-1), "standby ended");
  device.close();
});

Deno.test("ReconnectingDevice refuses invalid addresses also without a connection", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const { device, devices } = await opened(pool);
  devices[0].failure = "server";
  device.checkAlive();
  assertThrows(() => device.setMacAddress(Uint8Array.of(1, 0, 0, 0, 0, 1)), UsageError);
  assertThrows(() => device.setMulticast([MAC[0]]), UsageError);
  await reconnect(device);
  assertEquals(device.macAddress(), MAC[0]);
  device.close();
});

Deno.test("ReconnectingDevice names a new reason, but not that no server listens", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const cause = new SystemError("connect to nic", 111);
  const { device, devices } = await opened(pool, [
    new UsageError("vfio-user:nic: start the server", { cause }),
    new UsageError("vfio-user:nic: has 1 pair of queues, not 2"),
    new UsageError("vfio-user:nic: start the server", { cause }),
  ]);
  devices[0].failure = "server";
  device.checkAlive();
  const reasons = new Set<string | undefined>();
  for (let up = false; !up;) {
    reasons.add(device.linkStatus().reason);
    await device.waitForLink(0).then(() => up = true, () => {});
  }
  assertEquals([...reasons], [
    "the server is gone; this program reconnects",
    "has 1 pair of queues, not 2; this program reconnects",
  ]);
  assertEquals(device.linkStatus().up, true);
  device.close();
});

Deno.test("ReconnectingDevice pauses before it opens a device that failed at once", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const { device, devices } = await opened(pool);
  devices[0].failure = "server";
  device.checkAlive();
  await reconnect(device);
  devices[1].failure = "server";
  device.checkAlive();
  await assertRejects(() => device.waitForLink(0), DeviceError, "no link after 0 ms");
  assertEquals(devices.map(({ calls }) => calls), [["close"], ["MAC 1", "close"]]);
  await reconnect(device);
  assertEquals(devices.length, 3);
  device.close();
});

Deno.test("ReconnectingDevice throws errors that reconnecting cannot cure", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const { device, devices } = await opened(pool, [new TypeError("x is undefined")]);
  devices[0].failure = "server";
  device.checkAlive();
  await assertRejects(() => reconnect(device), TypeError, "x is undefined");
  assertThrows(() => device.checkAlive(), TypeError, "x is undefined");
  device.close();
  const other = new DeviceError("out.pcap", "no space left");
  assertThrows(() => device.failed(other), DeviceError, "no space left");
});

Deno.test("ReconnectingDevice refuses other pools, and closes what it opened", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  using others = new Mempool({ buffers: 64, memory: "pages" });
  const devices: FakeDevice[] = [];
  const device = await ReconnectingDevice.open(() => {
    devices.push(new FakeDevice(devices.length === 1 ? others : pool, devices.length).start());
    return Promise.resolve(devices.at(-1)!);
  });
  devices[0].failure = "server";
  device.checkAlive();
  await reconnect(device);
  assertEquals(devices.map(({ calls }) => calls), [["close"], ["close"], []]);
  device.close();
});

Deno.test("ReconnectingDevice, disposed asynchronously, closes what an attempt still opens", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const late = Promise.withResolvers<FakeDevice>(), devices: Promise<FakeDevice>[] = [late.promise];
  const first = new FakeDevice(pool, 0).start(), second = new FakeDevice(pool, 1).start();
  devices.unshift(Promise.resolve(first));
  {
    await using device = await ReconnectingDevice.open(() => devices.shift()!);
    first.failure = "server";
    device.checkAlive();
    await assertRejects(() => device.waitForLink(0), DeviceError, "no link after 0 ms: the server");
    setTimeout(() => late.resolve(second), 20);
  }
  assertEquals([first.calls, second.calls], [["close"], ["close"]]);
});
