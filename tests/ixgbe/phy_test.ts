/** The ixgbe driver and the PHY of X540 and X550 on the NIC model: one that was put to sleep is woken. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import { LINKS, MSCA, MSRWD, SW_FW_SYNC } from "../../ixgbe/registers.ts";
import { DeviceError } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { ModelFunction } from "../support/model_function.ts";

/** The PHY as a whole, and its control register. */
const GLOBAL = 30, LOW_POWER = 1 << 11;
/** A bit of the control register that is none of the driver's business. */
const OTHER = 1 << 6;

/** An X540, unless said otherwise, in whose PHY another driver has left its traces. */
class CopperBus extends ModelFunction {
  constructor(options: NicOptions = {}) {
    super({ deviceId: DEVICE.X540, ...options });
  }

  /** What the PHY's control register has. */
  get control(): number {
    this.#transfer(MSCA.OP_READ);
    return this.nic.read32(offsetOf(MSRWD)) >>> 16;
  }

  set control(value: number) {
    this.#write(MSRWD, value);
    this.#transfer(MSCA.OP_WRITE);
  }

  #transfer(operation: number): void {
    this.#write(SW_FW_SYNC, SW_FW_SYNC.SW_PHY_SM0 | SW_FW_SYNC.SW_PHY_SM1);
    for (const code of [MSCA.OP_ADDRESS, operation]) {
      this.#write(MSCA, GLOBAL << 16 | code | MSCA.MDI_COMMAND);
    }
    this.#write(SW_FW_SYNC, 0);
  }

  #write(register: Register, value: number): void {
    this.nic.write32(offsetOf(register), value);
  }
}

/** An X540 whose PHY has another address on its bus. */
class MovedPhyBus extends CopperBus {
  override bar(index: number): Bar {
    const bar = super.bar(index);
    const move = (value: number) => (value ^ 5 << 21) >>> 0; // 5 becomes 0, and 0 becomes 5
    return {
      ...bar,
      write: (offset, bytes, value) => {
        bar.write(offset, bytes, offset === offsetOf(MSCA) ? move(value) : value);
      },
    };
  }
}

async function attach(bus: ModelFunction): Promise<IxgbeDevice> {
  return await ixgbe.attach(bus, {}) as IxgbeDevice;
}

/** What the driver wrote to a register. */
function written(bus: ModelFunction, register: Register): number[] {
  return bus.writes.flatMap(([offset, value]) => offset === offsetOf(register) ? [value] : []);
}

/** Asserts that a device is refused, and let go of; returns what was said. */
async function refusal(bus: ModelFunction): Promise<string> {
  const { message } = await assertRejects(() => attach(bus), DeviceError);
  assertEquals(bus.log.slice(-2), ["bus master off", "close"]);
  return message;
}

for (
  const [what, bus] of [
    ["an X540's PHY that was put to sleep", new CopperBus()],
    ["an X550's", new CopperBus({ deviceId: DEVICE.X550 })],
    ["that of an X550 with one port", new CopperBus({ deviceId: 0x15d1 })],
    ["a second port's", new CopperBus({ lanId: 1 })],
    ["a PHY at another address than 0", new MovedPhyBus()],
  ] as const
) {
  Deno.test(`ixgbe.attach() wakes ${what}: the link comes, and stays when it closes`, async () => {
    bus.control = LOW_POWER | OTHER;
    assertEquals(bus.nic.read32(offsetOf(LINKS)) & LINKS.UP, 0);
    const device = await attach(bus);
    assertEquals(await device.waitForLink(1000), { up: true, megabits: 10000 });
    assertEquals(bus.control, OTHER);
    device.close();
    assertEquals(bus.control, OTHER);
    assertEquals(bus.nic.rules.violations, []);
  });
}

Deno.test("ixgbe.attach() writes nothing to a PHY that has power", async () => {
  for (const deviceId of [DEVICE.X540, DEVICE.X550]) {
    const bus = new CopperBus({ deviceId });
    using _device = await attach(bus);
    const operations = written(bus, MSCA).map((value) => value & MSCA.OP_CODE);
    assert(operations.includes(MSCA.OP_READ));
    assert(!operations.includes(MSCA.OP_WRITE));
    assertEquals(written(bus, MSRWD), []);
    assertEquals(bus.nic.rules.violations, []);
  }
});

for (const deviceId of [0x10fb, 0x10f7, 0x151c, 0x15ad, 0x15ae, 0x15c8, 0x15e4]) {
  Deno.test(`ixgbe.attach() asks no PHY on device ${deviceId.toString(16)}`, async () => {
    const bus = new ModelFunction({ deviceId });
    using _device = await attach(bus);
    assertEquals(written(bus, MSCA), []);
  });
}

Deno.test("ixgbe.attach() takes no PHY that firmware holds: it says so, naming SW_FW_SYNC", async () => {
  const bus = new CopperBus();
  bus.control = LOW_POWER;
  bus.nic.write32(offsetOf(SW_FW_SYNC), SW_FW_SYNC.FW_PHY_SM0);
  const message = await refusal(bus);
  assertMatch(message, /^model: SW_FW_SYNC \(0x00010160\) is 0x80000040: firmware .*: try again/);
  assertEquals(written(bus, MSCA), []);
  const sync = written(bus, SW_FW_SYNC).at(-1)!;
  assertEquals(sync, SW_FW_SYNC.FW_PHY_SM0, "it is still firmware's, and nobody else's");
});

Deno.test("ixgbe.attach() takes the PHY from a driver that was killed", async () => {
  const bus = new CopperBus();
  bus.control = LOW_POWER;
  bus.nic.write32(offsetOf(SW_FW_SYNC), SW_FW_SYNC.SW_PHY_SM0);
  const device = await attach(bus);
  assertEquals(bus.nic.read32(offsetOf(SW_FW_SYNC)), 0);
  assertEquals(bus.control, 0);
  device.close();
});

Deno.test("ixgbe.attach() says so if no PHY answers, and lets go of the bus", async () => {
  const bus = new CopperBus();
  bus.overrides.set(offsetOf(MSRWD), 0xffff0000);
  assertMatch(await refusal(bus), /^model: no PHY answers by MDIO \(MSCA, .*: power-cycle/);
  assert(written(bus, MSCA).every((value) => (value & MSCA.OP_CODE) !== MSCA.OP_WRITE));
  assertEquals(written(bus, SW_FW_SYNC).at(-1), 0);
});

Deno.test("ixgbe.attach() says so if MSCA does not finish, and lets go of the bus", async () => {
  const bus = new CopperBus();
  bus.overrides.set(offsetOf(MSCA), MSCA.MDI_COMMAND);
  assertMatch(await refusal(bus), /^model: MSCA \(0x0000425c, .* after 100 ms, .*: power-cycle/);
  assertEquals(written(bus, SW_FW_SYNC).at(-1), 0);
});
