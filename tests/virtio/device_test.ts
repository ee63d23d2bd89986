/** `VirtioDevice`: start, control queue, addresses and end, on a device that the test simulates. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { DeviceError, Mempool, UsageError } from "../../mod.ts";
import { Feature, featureNames, negotiate } from "../../virtio/features.ts";
import { answer, DirectVirtio } from "../support/direct_virtio.ts";

const CONTROL = Feature.CTRL_VQ | Feature.CTRL_RX | Feature.CTRL_MAC_ADDR;

async function refused(direct: DirectVirtio, message: RegExp): Promise<void> {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const error = await assertRejects(() => direct.open({ pool }), UsageError);
  assertMatch(error.message, message);
  assertMatch(error.message, /^[^\n]+$/);
  assertEquals(direct.log.slice(-2), ["stop", "close"], "left reset");
  assertEquals(pool.freeCount, pool.buffers);
}

Deno.test("open() refuses a spread pool, and does not touch the device", async () => {
  const direct = new DirectVirtio();
  using pool = new Mempool({ spread: true, memory: "pages" });
  const error = await assertRejects(() => direct.open({ pool }), UsageError);
  assertMatch(
    error.message,
    /needs buffers without bytes between them: create the pool without `spread`$/,
  );
  assertEquals([error.option, direct.log], ["pool", []]);
});

Deno.test("open() starts a device in the order of section 3.1.1, one status bit at a time", async () => {
  const direct = new DirectVirtio();
  const device = await direct.open({});
  assertEquals(direct.log, [
    ...["status 0", "status 1", "status 3", "features", "status 11"],
    ...["queue 0", "queue 1", "status 15", "notify 0"],
  ]);
  device.close();
  assertEquals(direct.log.slice(-2), ["stop", "close"]);
  const { length } = direct.log;
  device.close();
  assertEquals(direct.log.length, length);
});

Deno.test("open() does not set FEATURES_OK on a legacy device", async () => {
  const direct = new DirectVirtio({ legacy: true });
  using _device = await direct.open({});
  assert(!direct.log.includes("status 11"));
  assertEquals(direct.status(), 7);
});

Deno.test("negotiate() accepts the features that the driver supports, and no others", () => {
  const everything = (1n << 64n) - 1n;
  const names = featureNames(negotiate(everything));
  assertEquals(names, [
    ...["MAC", "MRG_RXBUF", "STATUS", "CTRL_VQ", "CTRL_RX", "CTRL_MAC_ADDR", "VERSION_1"],
    ...["ACCESS_PLATFORM", "IN_ORDER", "ORDER_PLATFORM", "SPEED_DUPLEX"],
  ]);
  assertEquals(negotiate(0n), 0n);
  assertEquals(negotiate(Feature.CTRL_RX), 0n, "needs the control queue");
  assertEquals(negotiate(Feature.CTRL_VQ), 0n, "the control queue has no use");
  assertEquals(featureNames(Feature.MAC | 1n), ["0", "MAC"]);
});

Deno.test("open() refuses a device without the required features, and leaves it reset", async () => {
  const notOk = new DirectVirtio({ features: Feature.ORDER_PLATFORM | 1n << 34n | 1n << 40n });
  notOk.featuresOk = false;
  await refused(notOk, /requires a feature that this driver does not support, one of 34, 40: use/);
  await refused(new DirectVirtio({ entries: [0, 256] }), /receive queue 0 has 0 descriptors/);
  await refused(new DirectVirtio({ entries: [256, 0] }), /transmit queue 1 has 0 descriptors/);
  await refused(new DirectVirtio({ entries: [192, 256] }), /receive queue 0 has 192 descriptors/);
  await refused(new DirectVirtio({ entries: [256, 65536] }), /has 65536 descriptors/);
  const noControl = new DirectVirtio({ features: CONTROL, entries: [256, 256, 0] });
  await refused(noControl, /control queue 2 has 0 descriptors/);
});

Deno.test("open() refuses invalid ring sizes before it touches the device", async () => {
  for (const entries of [0, 63, 65, 8192, 100, 64.5]) {
    const direct = new DirectVirtio();
    await assertRejects(() => direct.open({ rxEntries: entries }), UsageError, "power of two");
    await assertRejects(() => direct.open({ txEntries: entries }), UsageError, "power of two");
    assertEquals(direct.log, []);
  }
});

Deno.test("open() returns all buffers to the pool if it fails", async () => {
  const direct = new DirectVirtio({ features: CONTROL });
  answer(direct, 1);
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  await assertRejects(() => direct.open({ pool }), DeviceError, "refused command 0.0");
  assertEquals(direct.log.slice(-2), ["stop", "close"]);
  assertEquals(pool.freeCount, pool.buffers);
});

Deno.test("VirtioDevice.setPromiscuous() and setMulticast() send acknowledged commands", async () => {
  const direct = new DirectVirtio({ features: CONTROL });
  const commands = answer(direct);
  using device = await direct.open({ promiscuous: true });
  assertEquals(commands.splice(0), [[0, 0, 1]]);
  device.setPromiscuous(false);
  assertEquals(commands.splice(0), [[0, 0, 0]]);
  const group = [1, 0, 0x5e, 0, 0, 251];
  device.setMulticast([Uint8Array.from(group), Uint8Array.from(group)]);
  assertEquals(commands.splice(0), [
    [1, 0, 0, 0, 0, 0, 2, 0, 0, 0, ...group, ...group],
    [0, 1, 0],
  ]);
  device.setMulticast(Array.from({ length: 700 }, () => Uint8Array.from(group)));
  assertEquals(commands.splice(0), [[0, 1, 1]], "too many for the table: all multicast");
  assertThrows(() => device.setMulticast([new Uint8Array(6)]), UsageError, "not a multicast");
});

Deno.test("ControlQueue.command() works while the ring wraps many times", async () => {
  const direct = new DirectVirtio({ features: CONTROL, entries: [256, 256, 16] });
  const commands = answer(direct);
  using device = await direct.open({});
  for (let i = 0; i < 70000; i++) device.setPromiscuous(i % 2 === 0);
  assertEquals(commands.length, 70001);
});

Deno.test("ControlQueue.command() names a command that is refused or not answered", async () => {
  const direct = new DirectVirtio({ features: CONTROL | Feature.MAC });
  answer(direct);
  using device = await direct.open({});
  answer(direct, 1);
  const mac = Uint8Array.of(2, 0, 0, 0, 0, 1);
  assertThrows(() => device.setMacAddress(mac), DeviceError, "refused command 1.1");
  direct.onNotify = () => {};
  assertThrows(() => device.setPromiscuous(true), DeviceError, "no answer to command 0.0");
});

Deno.test("VirtioDevice.setMacAddress() uses the control queue, else legacy configuration space", async () => {
  const mac = Uint8Array.of(2, 1, 2, 3, 4, 5), before = [0x52, 0x54, 0, 1, 2, 3];
  const modern = new DirectVirtio({ features: CONTROL | Feature.MAC });
  const commands = answer(modern);
  {
    using device = await modern.open({});
    assertEquals([...device.macAddress()], before);
    device.setMacAddress(mac);
    assertEquals(commands.at(-1), [1, 1, ...mac]);
    assertThrows(() => device.setMacAddress(Uint8Array.of(1, 0, 0, 0, 0, 0)), UsageError);
  }
  const legacy = new DirectVirtio({ legacy: true, features: Feature.MAC });
  {
    using device = await legacy.open({});
    device.setMacAddress(mac);
    assertEquals([...device.macAddress()], [...mac]);
    assertEquals([...legacy.config.subarray(0, 6)], [...mac]);
  }
  const fixed = new DirectVirtio({ features: Feature.MAC });
  using device = await fixed.open({});
  assertThrows(() => device.setMacAddress(mac), UsageError, "cannot change its MAC address");
});

Deno.test("VirtioDevice.macAddress() is random for a device without its own address", async () => {
  const direct = new DirectVirtio();
  using device = await direct.open({});
  const made = device.macAddress();
  assertEquals(made[0] & 3, 2, "unicast, locally administered");
  assertEquals(device.macAddress(), made);
  device.setMacAddress(Uint8Array.of(2, 0, 0, 0, 0, 9));
  assertEquals([...device.macAddress()], [2, 0, 0, 0, 0, 9]);
});

Deno.test("VirtioDevice.linkStatus() returns state and speed from the device", async () => {
  const direct = new DirectVirtio({ features: Feature.STATUS | Feature.SPEED_DUPLEX });
  using device = await direct.open({});
  new DataView(direct.config.buffer).setUint32(12, 10000, true);
  assertEquals(device.linkStatus(), { up: true, megabits: 10000 });
  direct.config.fill(0xff, 12);
  assertEquals(device.linkStatus(), { up: true, megabits: 0 });
  direct.config[6] = 0;
  assertEquals(device.linkStatus(), { up: false, megabits: 0 });
  await assertRejects(() => device.waitForLink(20), DeviceError, "no link after 20 ms");

  using plain = await new DirectVirtio().open({});
  assertEquals(await plain.waitForLink(), { up: true, megabits: 0 });
});

Deno.test("VirtioDevice.close() keeps the buffers of a device that may still be running", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const direct = new DirectVirtio();
  const device = await direct.open({ pool });
  const { freeCount } = pool;
  assertEquals(freeCount, 1024 - 256);
  direct.atRest = false;
  device.close();
  assertEquals(pool.freeCount, freeCount);
});
