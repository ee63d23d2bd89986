/** The ixgbe driver on the NIC model: opening a device, filters, counters, closing. */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { ixgbe } from "../../ixgbe/device.ts";
import { DEVICE_IDS } from "../../ixgbe/models.ts";
import * as R from "../../ixgbe/registers.ts";
import { DeviceError, Mempool, PacketBatch, UsageError } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { ModelFunction } from "../support/model_function.ts";
import { Bench, OWN } from "../support/ixgbe_on_model.ts";

const OTHER = [0x06, 0x9a, 0xbc, 0xde, 0x56, 0x78];

for (const id of DEVICE_IDS) {
  const name = id.toString(16);
  Deno.test(`ixgbe.attach() breaks no rule of the datasheet on device ${name}`, async () => {
    using bench = await Bench.start(
      {},
      new ModelFunction({ deviceId: id, mac: Uint8Array.from(OWN) }),
    );
    assert(bench.passes(OWN));
    assertEquals((await bench.device.waitForLink(1000)).up, true);
  });
}

Deno.test("ixgbe.attach() refuses unsupported devices by name, and changes nothing", async () => {
  const cases: [number, RegExp][] = [
    [0x10c6, /10c6 \(an 82598\) is not supported/],
    [0x10ed, /virtual function/],
    [
      0x15ac,
      /15ac \(an X550EM, .*\) is not supported, because .* set up its link: leave it to the/,
    ],
    [0x15c8, /X550EM/],
    [0x15e5, /X550EM/],
    [0x1533, /1533 is not supported/],
  ];
  for (const [deviceId, message] of cases) {
    const pci = new ModelFunction({ deviceId });
    const error = await assertRejects(() => ixgbe.attach(pci, {}), UsageError);
    assert(message.test(error.message), error.message);
    assertEquals(pci.log, []);
  }
});

Deno.test("ixgbe.attach() refuses ring sizes out of range, and changes nothing", async () => {
  for (const entries of [0, 32, 63, 100, 4097, 8192, 1.5]) {
    const pci = new ModelFunction();
    await assertRejects(
      () => ixgbe.attach(pci, { rxEntries: entries }),
      UsageError,
      "power of two",
    );
    await assertRejects(
      () => ixgbe.attach(pci, { txEntries: entries }),
      UsageError,
      "power of two",
    );
    assertEquals(pci.log, []);
  }
});

Deno.test("ixgbe.attach() refuses a ring that the pool has too few buffers for", async () => {
  using pool = new Mempool({ buffers: 64, memory: "pages" });
  const pci = new ModelFunction();
  await assertRejects(
    () => ixgbe.attach(pci, { pool, rxEntries: 128 }),
    UsageError,
    "make the pool",
  );
  assertEquals(pci.log, []);
});

Deno.test("ixgbe.attach() that fails throws its own error, and that of closing", async () => {
  using pool = new Mempool({ buffers: 1024, memory: "pages" });
  const pci = new class extends ModelFunction {
    override claim(): never {
      throw new UsageError("it is in use");
    }
    override close(): never {
      super.close();
      throw new UsageError("the kernel driver is gone");
    }
  }();
  const { suppressed, error } = await assertRejects(
    () => ixgbe.attach(pci, { pool }),
    SuppressedError,
  );
  assertEquals([suppressed.message, error.message], ["it is in use", "the kernel driver is gone"]);
});

Deno.test("ixgbe.attach() stops a NIC that a killed driver left running", async () => {
  const pci = new ModelFunction({ mac: Uint8Array.from(OWN) });
  const left = await Bench.start({ promiscuous: true }, pci);
  assert(left.passes(OTHER));
  // The next driver finds queues running and bus mastering on.
  const pool = new Mempool({ buffers: 1024, memory: "pages" });
  const device = await ixgbe.attach(pci, { pool });
  const frame = new Uint8Array(60);
  frame.set(OWN);
  pci.wire.waiting.push(frame);
  pci.nic.poll();
  assertEquals(device.rxQueues[0].receive(new PacketBatch(pool)), 1);
  assertEquals(pci.nic.rules.violations, []);
  device.close();
});

Deno.test("ixgbe.attach() names EEC if EEPROM auto-read does not finish", async () => {
  const pci = new ModelFunction();
  pci.overrides.set(offsetOf(R.EEC), R.EEC.reset);
  const error = await assertRejects(() => ixgbe.attach(pci, {}), DeviceError);
  assert(/^model: EEC \(0x00010010, section .*\) is 0x00002110 after 1000 ms/.test(error.message));
  assertEquals(pci.log.at(-1), "close");
});

Deno.test("Device.waitForLink() tells of an error that firmware reports", async () => {
  using bench = await Bench.start({}, new ModelFunction({ firmware: { error: 1 } }));
  assertEquals((await bench.device.waitForLink(1000)).up, true);
  bench.pci.nic.setLink(false);
  const { message } = await assertRejects(() => bench.device.waitForLink(20), DeviceError);
  assertMatch(
    message,
    /no link after 20 ms: firmware reports an error \(FWSM, .* 0x00088000\): update/,
  );
});

Deno.test("ixgbe.attach() refuses a device that reads as ones", async () => {
  const pci = new ModelFunction();
  pci.overrides.set(offsetOf(R.STATUS), 0xffffffff);
  await assertRejects(() => ixgbe.attach(pci, {}), DeviceError, "STATUS reads 0xffffffff");
});

Deno.test("ixgbe.attach() flushes and resets twice if DMA does not stop", async () => {
  const times: number[] = [];
  const pci = new class extends ModelFunction {
    override bar(index: number): Bar {
      const bar = super.bar(index);
      return {
        ...bar,
        write: (offset, bytes, value) => {
          if (offset === offsetOf(R.GCR_EXT)) times.push(performance.now());
          bar.write(offset, bytes, value);
        },
      };
    }
  }();
  pci.overrides.set(offsetOf(R.STATUS), R.STATUS.GIO_MASTER_ENABLE);
  const device = await ixgbe.attach(pci, {});
  const written = pci.writes.flatMap(([offset, value]) => {
    switch (offset) {
      case offsetOf(R.CTRL):
        return value & R.CTRL.RST ? ["reset"] : [];
      case offsetOf(R.HLREG0):
        return [value & R.HLREG0.LPBK ? "loopback" : "no loopback"];
      case offsetOf(R.GCR_EXT):
        return [value & R.GCR_EXT.BUFFERS_CLEAR_FUNC ? "clear buffers" : "buffers are clear"];
      default:
        return [];
    }
  });
  // Section 5.2.5.3.2, and the specification update's clarification of the master disable flow.
  const flushed = ["loopback", "clear buffers", "buffers are clear", "no loopback"];
  assertEquals(written.slice(0, 6), [...flushed, "reset", "reset"]);
  assert(times[1] - times[0] >= 0.02, "buffers take 20 microseconds to clear");
  assertThrows(() => device.close(), DeviceError, "did not come to rest");
  assertEquals(pci.log.slice(-2), ["bus master off", "close"]);
});

for (const deviceId of [0x10fb, 0x1528]) {
  const name = deviceId.toString(16);
  Deno.test(`ixgbe.attach() takes over semaphores of a killed driver on device ${name}`, async () => {
    const pci = new ModelFunction({ deviceId, mac: Uint8Array.from(OWN) });
    pci.nic.read32(offsetOf(R.SWSM)); // a driver took SMBI and was killed
    using bench = await Bench.start({}, pci);
    assert(bench.passes(OWN));
    assertEquals(bench.reads(R.SW_FW_SYNC), 0);
  });
}

Deno.test("ixgbe.attach() uses all packet buffer memory", async () => {
  for (const [deviceId, kilobytes] of [[0x10fb, 512], [0x1528, 384], [0x1563, 384]]) {
    using bench = await Bench.start({}, new ModelFunction({ deviceId }));
    const total = (register: Register) => {
      let sum = 0;
      for (let i = 0; i < 8; i++) sum += bench.reads(register, i) >>> 10 & 0x3ff;
      return sum;
    };
    assertEquals(total(R.RXPBSIZE), kilobytes);
    assertEquals(total(R.TXPBSIZE), 160);
    assertEquals(bench.reads(R.TXPBTHRESH), 160 - 16);
  }
});

Deno.test("ixgbe.attach() strips the CRC", async () => {
  using bench = await Bench.start({ promiscuous: true });
  bench.pci.wire.waiting.push(new Uint8Array(100).fill(7));
  bench.pci.nic.poll();
  bench.device.rxQueues[0].receive(bench.batch);
  assertEquals(bench.batch.packet(0), new Uint8Array(100).fill(7));
  bench.batch.free();
});

Deno.test("Device.macAddress() is the address in the EEPROM", async () => {
  using bench = await Bench.start();
  assertEquals([...bench.device.macAddress()], OWN);
});

Deno.test("Device.close() turns DMA off before it frees memory, and is idempotent", async () => {
  const bench = await Bench.start();
  assertThrows(() => bench.pool[Symbol.dispose](), Error, "still in reach");
  bench.device.close();
  bench.device.close();
  assertEquals(bench.pci.log, ["claim", "bus master on", "bus master off", "close"]);
  assertThrows(() => bench.device.rxQueues[0].receive(bench.batch), Error, "closed");
  assertThrows(() => bench.device.txQueues[0].transmit(bench.batch), Error, "closed");
  assertThrows(() => bench.device.statistics(), Error, "closed");
  assertThrows(() => bench.device.linkStatus(), Error, "closed");
  assertThrows(() => bench.device.checkAlive(), Error, "is closed");
  assertThrows(() => bench.device.transferQueues(0), Error, "is closed");
  bench[Symbol.dispose]();
});

Deno.test("Device.counters() counts beyond 32 bits, and sums up values that reading clears", async () => {
  using bench = await Bench.start();
  bench.pci.overrides.set(offsetOf(R.GORCL), 0xfffffff0);
  bench.pci.overrides.set(offsetOf(R.GORCH), 0xf);
  bench.pci.overrides.set(offsetOf(R.GPRC), 0xffffffff);
  bench.pci.overrides.set(offsetOf(R.QPRDC), 0xffffffff);
  bench.pci.overrides.set(offsetOf(R.CRCERRS), 3);
  bench.device.counters();
  const { GORC, GPRC } = bench.device.counters();
  assertEquals([GORC, GPRC], [2 * 0xffffffff0, 2 * 0xffffffff]);
  const { rxMissed, rxErrors } = bench.device.statistics();
  assertEquals([rxMissed, rxErrors], [3 * 0xffffffff, 9]);
  bench.pci.overrides.clear();
});

Deno.test("Device.counters() starts at 0, whatever the NIC counted before", async () => {
  const pci = new ModelFunction({ mac: Uint8Array.from(OWN) });
  const first = await Bench.start({}, pci);
  assert(first.passes(OWN));
  using second = await Bench.start({}, pci);
  assertEquals(second.device.counters().GPRC, 0);
});
