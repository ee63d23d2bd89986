/** The SFP+ module of the NIC model: its memory on the I2C bus, and its laser. */

import { assert, assertEquals } from "@std/assert";
import { EICR, ESDP, I2CCTL, LINKS, STATUS } from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { TestDriver } from "../support/model_driver.ts";

const ADDRESS = 0xa0;

/** A driver's end of the bus, bit by bit. */
class PciFunction {
  readonly #driver: TestDriver;

  constructor(deviceId: number) {
    this.#driver = new TestDriver({ deviceId });
    this.#drive(1, 1);
  }

  get modulePin(): boolean {
    return (this.#driver.read(ESDP) & ESDP.SDP2) !== 0;
  }

  start(): void {
    this.#drive(0, 1);
    this.#drive(1, 1);
    this.#drive(1, 0);
    this.#drive(0, 0);
  }

  stop(): void {
    this.#drive(0, 0);
    this.#drive(1, 0);
    this.#drive(1, 1);
  }

  /** Sends a byte; returns whether it was acknowledged. */
  send(byte: number): boolean {
    for (let bit = 7; bit >= 0; bit--) this.#clock(byte >> bit & 1);
    return this.#clock(1) === 0;
  }

  /** Receives a byte, and acknowledges all but the last. */
  take(last: boolean): number {
    let byte = 0;
    for (let bit = 0; bit < 8; bit++) byte = byte << 1 | this.#clock(1);
    this.#clock(Number(last));
    return byte;
  }

  #clock(data: number): number {
    this.#drive(0, data);
    const line = this.#drive(1, data);
    this.#drive(0, data);
    return line;
  }

  #drive(clock: number, data: number): number {
    this.#driver.write(
      I2CCTL,
      (clock ? I2CCTL.CLK_OUT : 0) | (data ? I2CCTL.DATA_OUT : 0),
    );
    return this.#driver.read(I2CCTL) & I2CCTL.DATA_IN ? 1 : 0;
  }
}

function readBytes(bus: PciFunction, offset: number, count: number): number[] {
  bus.start();
  assert(bus.send(ADDRESS) && bus.send(offset));
  bus.start();
  assert(bus.send(ADDRESS | 1));
  const bytes = Array.from({ length: count }, (_, i) => bus.take(i === count - 1));
  bus.stop();
  return bytes;
}

Deno.test("SfpModule answers with the memory of a 10GBASE-SR module", () => {
  const bus = new PciFunction(DEVICE.SFP);
  assert(bus.modulePin);
  for (let i = 0; i < 2; i++) {
    assertEquals(readBytes(bus, 0, 4), [3, 4, 7, 0x10]);
    assertEquals(String.fromCharCode(...readBytes(bus, 40, 6)), "SIM-SR");
  }
  const all = readBytes(bus, 0, 96);
  const sum = (from: number, to: number) =>
    all.slice(from, to).reduce((total, byte) => total + byte & 0xff, 0);
  assertEquals([all[63], all[95]], [sum(0, 63), sum(64, 95)]);
});

Deno.test("SfpModule acknowledges only its own address", () => {
  const bus = new PciFunction(DEVICE.SFP);
  bus.start();
  assert(!bus.send(0xa4));
  assert(!bus.send(0));
  bus.stop();
  assertEquals(readBytes(bus, 2, 1), [7]);
});

Deno.test("Nic without a cage has no module", () => {
  const bus = new PciFunction(DEVICE.KX4);
  assert(!bus.modulePin);
  bus.start();
  assert(!bus.send(ADDRESS));
});

/** Returns whether there is a link after a change; the first read comes too early. */
function linked(driver: TestDriver): boolean {
  driver.read(LINKS);
  const up = (driver.read(LINKS) & LINKS.UP) !== 0;
  assertEquals((driver.read(STATUS) & STATUS.LINK_UP) !== 0, up);
  return up;
}

Deno.test("Nic has no link, and receives nothing, while the module's laser is off", () => {
  const driver = TestDriver.ready();
  const pins = driver.read(ESDP);
  assertEquals(pins, ESDP.SDP3_DIR | ESDP.SDP2, "an output and on, with a module in the cage");
  for (const on of [false, true]) {
    driver.read(EICR);
    driver.write(ESDP, on ? pins : pins | ESDP.SDP3);
    assertEquals((driver.read(EICR) & EICR.LSC) !== 0, true);
    assertEquals((driver.read(LINKS) & LINKS.UP) !== 0, false, "light, but no link yet");
    assertEquals(linked(driver), on);
    assertEquals(driver.nic.receiving, on);
  }
  driver.write(ESDP, (pins | ESDP.SDP3) & ~ESDP.SDP3_DIR);
  assertEquals(linked(driver), true, "an input drives no laser");
  const backplane = TestDriver.ready({ deviceId: DEVICE.KX4 });
  backplane.write(ESDP, ESDP.SDP3_DIR | ESDP.SDP3);
  assertEquals(linked(backplane), true, "no cage, no laser");
});

Deno.test("Nic keeps ESDP over all resets but power-on", () => {
  const driver = TestDriver.ready();
  const pins = driver.read(ESDP), dark = pins | ESDP.SDP3;
  driver.write(ESDP, dark);
  driver.reset();
  assertEquals(driver.read(ESDP), dark);
  driver.nic.reset("function");
  assertEquals(driver.read(ESDP), dark);
  driver.nic.disconnect();
  assertEquals([driver.read(ESDP), linked(driver)], [dark, false]);
  driver.nic.reset("power-on");
  assertEquals([driver.read(ESDP), linked(driver)], [pins, true]);
});
