/** The SFP+ module of the NIC model: its memory on the I2C bus, and its laser. */

import { assert, assertEquals } from "@std/assert";
import {
  AUTOC,
  AUTOC2,
  CORECTL,
  EICR,
  ESDP,
  I2CCTL,
  LINKS,
  STATUS,
} from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import type { Nic, NicOptions } from "../../sim/nic/nic.ts";
import { CORE_WORDS } from "../../sim/nic/serdes.ts";
import { TestDriver } from "../support/model_driver.ts";

const ADDRESS = 0xa0;

/** A driver's end of the bus, bit by bit. */
class PciFunction {
  readonly #driver: TestDriver;

  constructor(deviceId: number, options: NicOptions = {}) {
    this.#driver = new TestDriver({ deviceId, ...options });
    this.#drive(1, 1);
  }

  get nic(): Nic {
    return this.#driver.nic;
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

function readBytes(bus: PciFunction, offset: number, count: number, address = ADDRESS): number[] {
  bus.start();
  assert(bus.send(address) && bus.send(offset));
  bus.start();
  assert(bus.send(address | 1));
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

Deno.test("SfpModule has the codes of its kind, and diagnostics if it is for fibre", () => {
  const codes: [NicOptions["module"] & string, number[]][] = [
    ["10G-LR", [0x20, 0, 0, 0]],
    ["1G-SX", [0, 0x01, 0, 0]],
    ["1G-LX", [0, 0x02, 0, 0]],
    ["1G-T", [0, 0x08, 0, 0]],
    ["dual-SR", [0x10, 0x01, 0, 0]],
    ["dual-LR", [0x20, 0x02, 0, 0]],
    ["passive-cable", [0, 0, 0x04, 0]],
    ["active-cable", [0, 0, 0x08, 0x04]],
    ["unknown", [0, 0, 0, 0]],
  ];
  for (const [module, expected] of codes) {
    const bus = new PciFunction(DEVICE.SFP, { module });
    assertEquals([3, 6, 8, 60].map((at) => readBytes(bus, at, 1)[0]), expected, module);
    bus.start();
    assertEquals(bus.send(0xa2), !module.endsWith("cable") && module !== "1G-T", module);
    bus.stop();
  }
});

Deno.test("SfpModule tells by its diagnostics whether light arrives", () => {
  const bus = new PciFunction(DEVICE.SFP);
  assertEquals(readBytes(bus, 110, 1, 0xa2), [0]);
  bus.nic.setLink(false);
  assertEquals(readBytes(bus, 110, 1, 0xa2), [1 << 1]);
});

Deno.test("SfpModule that holds the data line lets go of it after some clocks", () => {
  const bus = new PciFunction(DEVICE.SFP, { stuckClocks: 12 });
  bus.start();
  assertEquals(bus.take(true), 0);
  for (let i = 0; i < 3; i++) bus.take(true);
  bus.stop();
  assertEquals(readBytes(bus, 2, 1), [7]);
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

/** Restarts the link in a mode. */
function restart(driver: TestDriver, mode: number): void {
  driver.write(AUTOC, driver.read(AUTOC) & ~AUTOC.LMS | mode | AUTOC.RESTART_AN);
}

Deno.test("Nic has a link once the words of its module were written to CORECTL, and the link restarted", () => {
  const cases = [["10G-SR", "module"], ["passive-cable", "passive-cable"]] as const;
  for (const [module, setup] of cases) {
    const driver = new TestDriver({ module, bareCore: true });
    const write = (words: readonly number[]) =>
      words.forEach((word) => driver.write(CORECTL, word));
    for (const words of [[], CORE_WORDS[setup].slice(1), CORE_WORDS[setup].toReversed()]) {
      write(words);
      restart(driver, AUTOC.LMS_10G_SERIAL);
      assertEquals(linked(driver), false, `${module}: ${words}`);
    }
    write(CORE_WORDS[setup]);
    assertEquals(linked(driver), false, "not before a restart");
    restart(driver, AUTOC.LMS_10G_SERIAL);
    assertEquals(linked(driver), true);
    driver.reset();
    assertEquals(linked(driver), true, "a reset keeps it");
    driver.nic.reset("power-on");
    assertEquals(linked(driver), false);
  }
});

Deno.test("Nic without CORECTL written has a link with all modules but passive cables", () => {
  for (const module of ["10G-LR", "active-cable", "passive-cable"] as const) {
    assertEquals(linked(new TestDriver({ module })), module !== "passive-cable", module);
  }
});

Deno.test("Nic with a cage has a link if AUTOC, module and partner agree in speed", () => {
  const modes = [
    [AUTOC.LMS_10G_SERIAL, 10000],
    [AUTOC.LMS_1G_AN, 1000],
    [AUTOC.LMS_1G, 0], // the partner negotiates
    [AUTOC.LMS_10G_PARALLEL, 0],
    [AUTOC.LMS_SGMII, 0],
  ];
  for (const [module, speed] of [["10G-SR", 10000], ["1G-SX", 1000], ["1G-T", 1000]] as const) {
    const driver = new TestDriver({ module });
    for (const [mode, set] of modes) {
      for (const partner of [1000, 10000]) {
        driver.nic.setLink(true, partner);
        restart(driver, mode);
        assertEquals(linked(driver), set === speed && partner === speed, `${module} ${mode}`);
      }
    }
  }
  const silent = new TestDriver({ module: "1G-SX", partnerNegotiates: false });
  for (const [mode, up] of [[AUTOC.LMS_1G, true], [AUTOC.LMS_1G_AN, false]] as const) {
    restart(silent, mode);
    assertEquals(linked(silent), up);
  }
});

Deno.test("Nic with a module for two speeds has that of the rate pin", () => {
  const driver = new TestDriver({ module: "dual-SR" });
  assertEquals(linked(driver), false, "the pin is an input");
  driver.write(ESDP, driver.read(ESDP) | ESDP.SDP5_DIR | ESDP.SDP5);
  assertEquals(linked(driver), true);
  driver.nic.setLink(true, 1000);
  restart(driver, AUTOC.LMS_1G_AN);
  assertEquals(linked(driver), false);
  driver.write(ESDP, driver.read(ESDP) & ~ESDP.SDP5);
  assertEquals(linked(driver), true);
});

Deno.test("Nic has the link mode that its EEPROM sets, after each reset", () => {
  for (const [linkDefault, mode] of [["1G", AUTOC.LMS_1G_AN], ["XAUI", AUTOC.LMS_10G_PARALLEL]]) {
    const driver = new TestDriver({ linkDefault: linkDefault as "1G" | "XAUI" });
    for (let i = 0; i < 2; i++) {
      assertEquals(driver.read(AUTOC) & AUTOC.LMS, mode);
      assertEquals((driver.read(AUTOC2) & AUTOC2.PMA_PMD_10G_SERIAL) === 0, linkDefault === "XAUI");
      assertEquals(linked(driver), false);
      driver.reset();
    }
  }
});

Deno.test("Nic with an empty cage shows a link by crosstalk", () => {
  for (const crosstalk of [true, false]) {
    const links = new TestDriver({ module: null, crosstalk }).read(LINKS);
    assertEquals((links & LINKS.UP) !== 0, crosstalk);
  }
});

Deno.test("Nic's partner that has given up begins again when it sees the laser go off and on", () => {
  const driver = new TestDriver({ partnerGaveUp: true });
  restart(driver, AUTOC.LMS_10G_SERIAL);
  assertEquals(linked(driver), false);
  const pins = driver.read(ESDP);
  driver.write(ESDP, pins | ESDP.SDP3);
  assertEquals(linked(driver), false);
  driver.write(ESDP, pins);
  assertEquals(linked(driver), true);
});

Deno.test("Nic has no link before so many restarts", () => {
  const driver = new TestDriver({ restarts: 2 });
  for (const up of [false, false, true]) {
    assertEquals(linked(driver), up);
    restart(driver, AUTOC.LMS_10G_SERIAL);
  }
});

Deno.test("LINKS.SIGNAL tells whether light arrives, with a module", () => {
  const signal = (driver: TestDriver) => (driver.read(LINKS) & LINKS.SIGNAL) !== 0;
  const driver = new TestDriver();
  assertEquals(signal(driver), true);
  driver.nic.setLink(false);
  assertEquals(signal(driver), false);
  assertEquals(signal(new TestDriver({ module: null })), false);
});
