/** The NIC model's EEPROM behind the pins of EEC, as drivers reach it without EERD. */

import { assertEquals } from "@std/assert";
import { EEC, EERD } from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { TestDriver } from "../support/model_driver.ts";

const READ = 0x03, WRITE = 0x02, WRITE_ENABLE = 0x06, WRITE_DISABLE = 0x04, READ_STATUS = 0x05;
const BUSY = 1, ENABLED = 2;

/** A driver's accesses by EEC's pins. */
class Pins {
  readonly driver: TestDriver;
  #eec: number;

  constructor(options: ConstructorParameters<typeof TestDriver>[0] = {}) {
    this.driver = new TestDriver(options);
    this.#eec = this.driver.read(EEC);
    this.set(EEC.REQ | EEC.CS);
  }

  set(bits: number): void {
    this.driver.write(EEC, this.#eec |= bits);
  }

  clear(bits: number): void {
    this.driver.write(EEC, this.#eec &= ~bits);
  }

  begin(command: number): void {
    this.set(EEC.CS);
    this.clear(EEC.CS | EEC.SK);
    this.out(command, 8);
  }

  end(): void {
    this.set(EEC.CS);
  }

  out(value: number, bits: number): void {
    for (let bit = bits - 1; bit >= 0; bit--) {
      if (value >>> bit & 1) this.set(EEC.DI);
      else this.clear(EEC.DI);
      this.set(EEC.SK);
      this.clear(EEC.SK);
    }
    this.clear(EEC.DI);
  }

  in(bits: number): number {
    let value = 0;
    for (let i = 0; i < bits; i++) {
      this.set(EEC.SK);
      value = value << 1 | Number((this.driver.read(EEC) & EEC.DO) !== 0);
      this.clear(EEC.SK);
    }
    return value;
  }

  /** Reads words; the low byte of each comes first. */
  words(address: number, count: number): number[] {
    this.begin(READ);
    this.out(address * 2, 16);
    const words = Array.from({ length: count }, () => this.in(8) | this.in(8) << 8);
    this.end();
    return words;
  }

  write(address: number, ...words: number[]): void {
    this.begin(WRITE);
    this.out(address * 2, 16);
    for (const word of words) {
      this.out(word & 0xff, 8);
      this.out(word >>> 8, 8);
    }
    this.end();
  }

  once(command: number): void {
    this.begin(command);
    this.end();
  }

  status(): number {
    this.begin(READ_STATUS);
    const status = this.in(8);
    this.end();
    return status;
  }

  /** Reads a word by EERD. */
  register(address: number): number {
    this.driver.write(EERD, address << 2 | EERD.START);
    return this.driver.read(EERD) >>> 16;
  }
}

Deno.test("EEC.REQ yields EEC.GNT, and only as long as it is set", () => {
  const driver = new TestDriver();
  assertEquals(driver.read(EEC) & EEC.GNT, 0);
  driver.set(EEC, EEC.REQ);
  assertEquals(driver.read(EEC) & EEC.GNT, EEC.GNT);
  driver.write(EEC, driver.read(EEC) & ~EEC.REQ);
  assertEquals(driver.read(EEC) & (EEC.REQ | EEC.GNT), 0);
});

Deno.test("EEC's pins read the words that EERD reads", () => {
  const pins = new Pins();
  const expected = Array.from({ length: 64 }, (_, address) => pins.register(address));
  assertEquals(expected.map((_, address) => pins.words(address, 1)[0]), expected);
  assertEquals(pins.words(0, 64), expected);
  assertEquals(pins.driver.broken(), []);
});

Deno.test("EEC's pins write words once writing is enabled, in a page of 32 bytes", () => {
  const pins = new Pins();
  assertEquals(pins.status(), 0);
  pins.write(0x200, 0x1234);
  assertEquals(pins.register(0x200), 0);
  pins.once(WRITE_ENABLE);
  assertEquals(pins.status() & (BUSY | ENABLED), ENABLED);
  pins.once(WRITE_DISABLE);
  assertEquals(pins.status(), 0);
  pins.once(WRITE_ENABLE);
  pins.write(0x20f, 0x1234, 0x5678);
  assertEquals(pins.status(), 0);
  assertEquals(pins.register(0x20f), 0x1234);
  assertEquals([pins.register(0x210), pins.register(0x200)], [0, 0x5678]);
});

Deno.test("EEC says how large the EEPROM is, and on the 82599 that its addresses have 16 bits", () => {
  for (const [deviceId, words] of [[DEVICE.SFP, 1024], [DEVICE.X540, 8192], [DEVICE.X550, 8192]]) {
    const driver = new TestDriver({ deviceId }), eec = driver.read(EEC);
    assertEquals(64 << ((eec & EEC.EE_SIZE) >>> 11), words);
    assertEquals(eec & EEC.EE_ADDR_SIZE, deviceId === DEVICE.SFP ? EEC.EE_ADDR_SIZE : 0);
    driver.write(EERD, words - 1 << 2 | EERD.START);
    assertEquals(driver.broken(), []);
    driver.write(EERD, words << 2 | EERD.START);
    assertEquals(driver.broken(), ["EERD: ADDR is inside the EEPROM"]);
  }
});

Deno.test("EEC's read-only bits ignore what is written", () => {
  const driver = new TestDriver();
  const fixed = EEC.EE_PRES | EEC.EE_ADDR_SIZE | EEC.EE_SIZE;
  const before = driver.read(EEC) & fixed;
  driver.write(EEC, 0);
  assertEquals(driver.read(EEC) & fixed, before);
  driver.write(EEC, EEC.GNT | EEC.DO | EEC.EE_SIZE);
  assertEquals(driver.read(EEC) & (fixed | EEC.GNT | EEC.DO), before);
});

Deno.test("EEC's pins have nothing behind them on the X540 and X550, and a blank EEPROM reads ones", () => {
  for (const deviceId of [DEVICE.X540, DEVICE.X550]) {
    const pins = new Pins({ deviceId });
    assertEquals(pins.driver.read(EEC) & 0xff, 0);
    assertEquals(pins.words(0, 1), [0]);
  }
  assertEquals(new Pins({ blankEeprom: true }).words(0, 2), [0xffff, 0xffff]);
});
