/** Nic.view32(): the value that a read would return, without a read's side effects. */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { VirtualTime } from "../../sim/virtual_time.ts";
import { ixgbe } from "../../ixgbe/device.ts";
import { RDBAH, RDBAL, REGISTERS, TDBAH, TDBAL } from "../../ixgbe/registers.ts";
import { Mempool, PacketBatch } from "../../mod.ts";
import { nameOf, offsetOf, type Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { Nic, NicOptions } from "../../sim/nic/nic.ts";
import { CARD } from "../../sim/nic/timing.ts";
import { FrozenTime } from "../support/frozen_time.ts";
import { frameTo, STATION, TestDriver } from "../support/model_driver.ts";
import { ModelFunction } from "../support/model_function.ts";

const ALL = Object.values(REGISTERS) as Register[];
const FIRST = ALL.map((register) => offsetOf(register));
const EVERY = ALL.flatMap((register) =>
  Array.from({ length: register.count }, (_, index) => offsetOf(register, index))
);
/** Addresses of rings, which are not the same in two runs. */
const ADDRESSES = [RDBAL, RDBAH, TDBAL, TDBAH].map((register) => offsetOf(register));
/** Every copy is viewed at one access out of so many, and the first copies at each. */
const ALL_AT = 200;

/** What a driver and its device did. */
interface Run {
  /** Each access: the offset, and the value that it read or wrote. */
  readonly accesses: [number, number][];
  readonly rest: unknown;
}

/** The model for a driver, with a look at its registers before one access out of `every`; 0: none. */
class ViewedFunction extends ModelFunction {
  readonly accesses: [number, number][] = [];
  readonly differences: string[] = [];

  constructor(readonly time: VirtualTime, readonly every: number, options: NicOptions) {
    super({ ...options, mac: Uint8Array.from(STATION) });
  }

  override bar(index: number): ReturnType<ModelFunction["bar"]> {
    const bar = super.bar(index);
    return {
      ...bar,
      read: (offset, bytes) => {
        const seen = this.#view(offset);
        const value = bar.read(offset, bytes);
        this.accesses.push([offset, value]);
        if (seen !== undefined && seen !== value) this.differences.push(`${offset}: ${seen}`);
        return value;
      },
      write: (offset, bytes, value) => {
        this.#view(offset);
        this.accesses.push([offset, ADDRESSES.includes(offset) ? 0 : value]);
        bar.write(offset, bytes, value);
      },
    };
  }

  // The round that comes before a read is done here, so that the view shows its effects.
  #view(offset: number): number | undefined {
    const { nic } = this;
    nic.poll();
    if (this.every === 0 || this.accesses.length % this.every !== 0) return undefined;
    using _frozen = new FrozenTime(this.time.pass(0)); // a look at the clock takes time
    viewAll(nic, this.accesses.length % ALL_AT === 0 ? EVERY : FIRST);
    return nic.view32(offset);
  }
}

/** Looks at registers. */
function viewAll(nic: Nic, offsets: readonly number[]): void {
  for (const offset of offsets) nic.view32(offset);
}

/** Opens a device, receives and sends frames, reads statistics, and closes it. */
async function run(every: number, options: NicOptions): Promise<Run> {
  using time = new VirtualTime();
  const pci = new ViewedFunction(time, every, { ...options, clock: () => time.pass(0) });
  using pool = new Mempool({ buffers: 512, memory: "pages" });
  const batch = new PacketBatch(pool, 16);
  const device = await ixgbe.attach(pci, { pool, rxEntries: 64, txEntries: 64 });
  await device.waitForLink(5000);
  let received = 0;
  for (let n = 0; n < 100; n++) {
    pci.wire.waiting.push(frameTo(n % 5 === 0 ? [4, 0, 0, 0, 0, 1] : STATION, 60 + n, n));
    pci.nic.poll();
    received += device.rxQueues[0].receive(batch);
    device.txQueues[0].transmit(batch);
    batch.free();
  }
  pci.nic.poll();
  const statistics = device.statistics();
  device.close();
  if (options.delays === undefined) assertEquals(pci.differences, []);
  const { rules, counters } = pci.nic;
  const rest = { received, statistics, counters, rules: rules.violations, sent: pci.wire.sent };
  return { accesses: pci.accesses, rest };
}

const CASES: readonly (readonly [string, number, NicOptions])[] = [
  ["an 82599", 1, {}],
  ["an X550", 1, { deviceId: DEVICE.X550 }],
  ["an 82599 that takes as long as a card", 16, {
    delays: { ...CARD, link: 2, eeprom: 1, firmware: 1 },
  }],
];
for (const [name, every, options] of CASES) {
  Deno.test(`Nic.view32() of all registers changes nothing while a driver uses ${name}`, async () => {
    const viewed = await run(every, options), plain = await run(0, options);
    assertEquals(viewed.accesses.length, plain.accesses.length);
    viewed.accesses.forEach((access, i) => assertEquals(access, plain.accesses[i]));
    assertEquals(viewed.rest, plain.rest);
  });
}

/** Registers for random accesses: copies beyond the third are like those before. */
const TARGETS = ALL.flatMap((register) =>
  Array.from({ length: Math.min(register.count, 3) }, (_, index) => ({ register, index }))
);
const ACCESS = fc.record({
  target: fc.constantFrom(...TARGETS),
  write: fc.boolean(),
  value: fc.oneof(
    fc.constantFrom(0, 1, 0xffff_ffff),
    fc.nat(31).map((bit) => (1 << bit) >>> 0),
    fc.integer({ min: 0, max: 0xffff_ffff }),
  ),
  frames: fc.nat(2),
});

Deno.test("Nic.view32() returns what Nic.read32() then does, whatever was written before", () => {
  using _time = new FrozenTime(5000);
  const devices = fc.constantFrom(DEVICE.SFP, DEVICE.KX4, DEVICE.X540, DEVICE.X550);
  fc.assert(
    fc.property(devices, fc.array(ACCESS, { maxLength: 60 }), (deviceId, accesses) => {
      const viewed = TestDriver.ready({ deviceId }), plain = TestDriver.ready({ deviceId });
      for (const { target: { register, index }, write, value, frames } of accesses) {
        const offset = offsetOf(register, index), name = nameOf(register, index);
        viewAll(viewed.nic, FIRST);
        for (const { wire, nic } of [viewed, plain]) {
          for (let i = 0; i < frames; i++) wire.waiting.push(frameTo(STATION, 60));
          nic.poll();
        }
        viewAll(viewed.nic, FIRST);
        if (write) {
          viewed.nic.write32(offset, value);
          plain.nic.write32(offset, value);
        } else {
          const seen = viewed.nic.view32(offset), read = viewed.nic.read32(offset);
          assertEquals([name, seen, read], [name, read, plain.nic.read32(offset)]);
        }
      }
      assertEquals(viewed.nic.rules.violations, plain.nic.rules.violations);
      assertEquals(viewed.nic.counters, plain.nic.counters);
      assertEquals(viewed.wire.sent, plain.wire.sent);
    }),
    { numRuns: 60 },
  );
});

Deno.test("Nic.view32() of byte counters goes on after their low half was read, as reads do", () => {
  const driver = TestDriver.ready();
  const { GORCL, GORCH } = REGISTERS;
  driver.wire.waiting.push(frameTo(STATION, 60), frameTo(STATION, 60));
  driver.nic.poll();
  assertEquals(driver.nic.view32(offsetOf(GORCL)), 128);
  assertEquals(driver.nic.view32(offsetOf(GORCL)), 128);
  assertEquals(driver.read(GORCL), 128);
  assertEquals(driver.nic.view32(offsetOf(GORCH)), 0);
  assertEquals(driver.read(GORCH), 0);
  assertEquals(driver.nic.view32(offsetOf(GORCL)), 0);
});

Deno.test("Nic.view32() returns ones of a device that was removed, and 0 without register", () => {
  const driver = TestDriver.ready();
  assertEquals(driver.nic.view32(0x1fffc), 0);
  assertEquals(driver.nic.view32(0x80000), 0);
  driver.nic.remove();
  assertEquals(driver.nic.view32(offsetOf(REGISTERS.STATUS)), 0xffff_ffff);
});
