/** The common part of wrappers: everything but the queues comes from the wrapped device. */

import { assert, assertEquals, assertThrows } from "@std/assert";
import {
  type Device,
  DeviceError,
  Mempool,
  PacketBatch,
  type RxQueue,
  type TxQueue,
} from "../../mod.ts";
import {
  CapturedDevice,
  FaultyDevice,
  PcapngWriter,
  TracedDevice,
  WrappedDevice,
} from "../../wrappers/mod.ts";
import { ixgbe } from "../../ixgbe/device.ts";
import { ModelFunction } from "../support/model_function.ts";

/** How to use each member of a device; a new member of the interface fails the type check here. */
const MEMBERS: Required<{ [Name in keyof Device]: "value" | "queues" | "own" | unknown[] }> = {
  address: "value",
  driver: "value",
  model: "value",
  pool: "value",
  rxQueues: "queues",
  txQueues: "queues",
  linkInterrupt: "value",
  linkStatus: [],
  waitForLink: [17],
  macAddress: [],
  setMacAddress: [Uint8Array.of(2, 0, 0, 0, 0, 1)],
  endStandby: [],
  setPromiscuous: [true],
  setMulticast: [[]],
  statistics: [false],
  counters: [],
  checkAlive: [],
  close: [],
  [Symbol.dispose]: "own",
};

Deno.test("WrappedDevice forwards every member except the queues to the wrapped device", () => {
  const calls: unknown[] = [];
  const device = new Proxy({}, {
    get(_target, name) {
      const use = MEMBERS[name as keyof Device];
      if (!Array.isArray(use)) return `the device's ${String(name)}`;
      return (...args: unknown[]) => {
        calls.push([name, ...args]);
        return `what ${String(name)} returns`;
      };
    },
  }) as Device;
  const rxQueues: RxQueue[] = [], txQueues: TxQueue[] = [];
  const wrapped: Device = new WrappedDevice(device, rxQueues, txQueues);
  assert(wrapped.rxQueues === rxQueues && wrapped.txQueues === txQueues);
  for (const [name, use] of Object.entries(MEMBERS)) {
    if (use === "value") assertEquals(wrapped[name as "model"], `the device's ${name}`);
    if (!Array.isArray(use)) continue;
    const call = wrapped[name as "setMulticast"] as (...args: unknown[]) => unknown;
    const returned = call.apply(wrapped, use);
    assertEquals(calls.splice(0), [[name, ...use]]);
    if (!/^set|^end|^close$|^checkAlive$/.test(name)) {
      assertEquals(returned, `what ${name} returns`);
    }
  }
  wrapped[Symbol.dispose]();
  assertEquals(calls, [["close"]]);
});

const NOWHERE = { writeSync: (bytes: Uint8Array) => bytes.length, [Symbol.dispose]() {} };
const WRAPPERS: Readonly<Record<string, (device: Device) => Device>> = {
  TracedDevice: (device) => new TracedDevice(device, () => {}),
  CapturedDevice: (device) => new CapturedDevice(device, new PcapngWriter("x", 100, NOWHERE)),
  FaultyDevice: (device) => new FaultyDevice(device, { seed: 1 }),
};

for (const [name, wrap] of Object.entries(WRAPPERS)) {
  Deno.test(`${name} closes the wrapped device once, and throws what that throws`, async () => {
    class FailingFunction extends ModelFunction {
      override close(): void {
        super.close();
        throw new DeviceError(this.address, "it cannot be given back");
      }
    }
    using pool = new Mempool({ buffers: 2048, memory: "pages" });
    const pci = new FailingFunction();
    const device = wrap(wrap(await ixgbe.attach(pci, { pool, rxQueues: 3, txQueues: 2 })));
    assertEquals([device.rxQueues.length, device.txQueues.length], [3, 2]);
    const numbers = (queues: readonly { number: number }[]) => queues.map(({ number }) => number);
    assertEquals([numbers(device.rxQueues), numbers(device.txQueues)], [[0, 1, 2], [0, 1]]);
    assertThrows(() => device.close(), DeviceError, "it cannot be given back");
    assertThrows(() => device.checkAlive(), Error, "closed");
    device[Symbol.dispose]();
    assertEquals(pool.freeCount, pool.buffers);
  });
}

Deno.test("FaultyDevice frees what it holds before it closes the wrapped device, which may own the pool", async () => {
  const pci = new ModelFunction(), log: string[] = [];
  const card = await ixgbe.attach(pci, { promiscuous: true }), { pool } = card;
  class ClosingDevice extends WrappedDevice {
    override close(): void {
      log.push(`${pool.lengths.filter((length) => length > 0).length} buffers in use`);
      super.close();
    }
  }
  const inside = new ClosingDevice(card, card.rxQueues, card.txQueues), delay = { delay: 1 };
  using device = new FaultyDevice(inside, { seed: 1, receive: delay, transmit: delay });
  const batch = new PacketBatch(pool);
  batch.add(new Uint8Array(60));
  device.txQueues[0].transmit(batch);
  pci.wire.waiting.push(new Uint8Array(60));
  while (pci.wire.waiting.length > 0) pci.nic.poll();
  assertEquals(device.rxQueues[0].receive(batch), 0);
  device.close();
  assertEquals(log, ["0 buffers in use"]);
  assertEquals([pool.freeCount, pool.bytes.length], [0, 0], "the pool is disposed");
  const { receive, transmit } = device.faults();
  assertEquals([receive.discarded, transmit.discarded], [1, 1]);
});
