/** The ixgbe driver and the PHY of X540 and X550 on the NIC model: leaving low power mode. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { ixgbe, type IxgbeDevice } from "../../ixgbe/device.ts";
import { LINKS, MSCA, MSRWD, SW_FW_SYNC } from "../../ixgbe/registers.ts";
import { DeviceError } from "../../mod.ts";
import type { Bar } from "../../src/pci/function.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { ModelFunction } from "../support/model_function.ts";

/** The MDIO device of the PHY as a whole, and a bit of its control register. */
const GLOBAL = 30, LOW_POWER = 1 << 11;
/** A bit of the control register that the driver must not change. */
const OTHER = 1 << 6;

/** A device with a copper PHY that another driver has used before (default: an X540). */
class CopperFunction extends ModelFunction {
  readonly #phy: number;

  constructor(options: NicOptions = {}) {
    super({ deviceId: DEVICE.X540, ...options });
    this.#phy = options.deviceId === DEVICE.X550 ? options.lanId ?? 0 : 0;
  }

  /** The value of the PHY's control register. */
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
      this.#write(MSCA, GLOBAL << 16 | this.#phy << 21 | code | MSCA.MDI_COMMAND);
    }
    this.#write(SW_FW_SYNC, 0);
  }

  #write(register: Register, value: number): void {
    this.nic.write32(offsetOf(register), value);
  }
}

/** An X540 whose PHY has another address on the MDIO bus. */
class MovedPhyFunction extends CopperFunction {
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

async function attach(pci: ModelFunction): Promise<IxgbeDevice> {
  return await ixgbe.attach(pci, {}) as IxgbeDevice;
}

/** Returns the values that the driver wrote to a register. */
function written(pci: ModelFunction, register: Register): number[] {
  return pci.writes.flatMap(([offset, value]) => offset === offsetOf(register) ? [value] : []);
}

/** Opens a device whose link stays down; returns what it says about that. */
async function complaint(pci: ModelFunction): Promise<string> {
  using device = await attach(pci);
  pci.nic.setLink(false);
  const { message } = await assertRejects(() => device.waitForLink(20), DeviceError);
  return message;
}

for (
  const [what, pci] of [
    ["an X540's PHY", new CopperFunction()],
    ["an X550's PHY", new CopperFunction({ deviceId: DEVICE.X550 })],
    ["the PHY of an X550 with one port", new CopperFunction({ deviceId: 0x15d1 })],
    ["a second port's PHY", new CopperFunction({ lanId: 1 })],
    ["an X550's second port's PHY", new CopperFunction({ deviceId: DEVICE.X550, lanId: 1 })],
    ["a PHY at another address than 0", new MovedPhyFunction()],
  ] as const
) {
  Deno.test(`ixgbe.attach() takes ${what} out of low power, and close() does not undo it`, async () => {
    pci.control = LOW_POWER | OTHER;
    assertEquals(pci.nic.read32(offsetOf(LINKS)) & LINKS.UP, 0);
    const device = await attach(pci);
    assertEquals(await device.waitForLink(1000), {
      ...{ up: true, megabits: 10000, duplex: "full", flowControl: "none" },
    });
    assertEquals(pci.control, OTHER);
    device.close();
    assertEquals(pci.control, OTHER);
    assertEquals(pci.nic.rules.violations, []);
  });
}

Deno.test("ixgbe.attach() writes nothing to a PHY that is not in low power mode", async () => {
  for (const deviceId of [DEVICE.X540, DEVICE.X550]) {
    const pci = new CopperFunction({ deviceId });
    using _device = await attach(pci);
    const operations = written(pci, MSCA).map((value) => value & MSCA.OP_CODE);
    assert(operations.includes(MSCA.OP_READ));
    assert(!operations.includes(MSCA.OP_WRITE));
    assertEquals(written(pci, MSRWD), []);
    assertEquals(pci.nic.rules.violations, []);
  }
});

for (const deviceId of [0x10fb, 0x10f7, 0x151c]) {
  Deno.test(`ixgbe.attach() accesses no PHY on device ${deviceId.toString(16)}`, async () => {
    const pci = new ModelFunction({ deviceId });
    using _device = await attach(pci);
    assertEquals(written(pci, MSCA), []);
  });
}

Deno.test("ixgbe.attach() waits for firmware that holds the PHY after a reset", async () => {
  const pci = new CopperFunction({ firmware: { holdsPhy: 1500 } });
  pci.control = LOW_POWER;
  using device = await attach(pci);
  assertEquals(pci.control, 0);
  assertEquals((await device.waitForLink(1000)).up, true);
  assertEquals(pci.nic.rules.violations, []);
});

Deno.test("ixgbe.attach() leaves the PHY to firmware that holds it, and waitForLink() says so", async () => {
  const pci = new CopperFunction({ firmware: { holdsPhy: Infinity } });
  assertMatch(
    await complaint(pci),
    /^model: no link after 20 ms: SW_FW_SYNC \(0x00010160\) is 0x80000040, firmware .*: wait for the/,
  );
  assertEquals(written(pci, MSCA), []);
});

Deno.test("Device.waitForLink() sets up a PHY that firmware held while the device was opened", async () => {
  const pci = new CopperFunction({ firmware: { holdsPhy: 3500 } });
  pci.control = LOW_POWER;
  using device = await attach(pci);
  assertMatch(device.linkStatus().reason!, /firmware does not release the PHY/);
  assertEquals(pci.control, LOW_POWER);
  assertEquals((await device.waitForLink(5000)).up, true);
  assertEquals(pci.control, 0);
});

Deno.test("ixgbe.attach() takes over the PHY semaphore of a killed driver", async () => {
  const pci = new CopperFunction();
  pci.control = LOW_POWER;
  pci.nic.write32(offsetOf(SW_FW_SYNC), SW_FW_SYNC.SW_PHY_SM0);
  const device = await attach(pci);
  assertEquals(pci.nic.read32(offsetOf(SW_FW_SYNC)), 0);
  assertEquals(pci.control, 0);
  device.close();
});

Deno.test("Device.waitForLink() reports that no PHY responds; its semaphore is free", async () => {
  const pci = new CopperFunction();
  pci.overrides.set(offsetOf(MSRWD), 0xffff0000);
  assertMatch(
    await complaint(pci),
    /^model: no link .*: no PHY responds to MDIO, MSCA .*: power-cycle/,
  );
  assert(written(pci, MSCA).every((value) => (value & MSCA.OP_CODE) !== MSCA.OP_WRITE));
  assertEquals(written(pci, SW_FW_SYNC).at(-1), 0);
});

Deno.test("Device.waitForLink() reports that MSCA does not finish; its semaphore is free", async () => {
  const pci = new CopperFunction();
  pci.overrides.set(offsetOf(MSCA), MSCA.MDI_COMMAND);
  assertMatch(
    await complaint(pci),
    /^model: no link .*: MSCA \(0x0000425c\) does not .*: power-cycle/,
  );
  assertEquals(written(pci, SW_FW_SYNC).at(-1), 0);
});
