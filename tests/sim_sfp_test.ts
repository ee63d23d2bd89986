/** The SFP+ module of the NIC model, at the end of its I2C bus. */

import { assert, assertEquals } from "@std/assert";
import { ESDP, I2CCTL } from "../ixgbe/registers.ts";
import { DEVICE } from "../sim/device_state.ts";
import { TestDriver } from "./sim_nic_driver.ts";

const ADDRESS = 0xa0;

/** A driver's end of the bus, bit by bit. */
class Bus {
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

  /** Takes a byte, and acknowledges it unless it is the last. */
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

function readBytes(bus: Bus, offset: number, count: number): number[] {
  bus.start();
  assert(bus.send(ADDRESS) && bus.send(offset));
  bus.start();
  assert(bus.send(ADDRESS | 1));
  const bytes = Array.from({ length: count }, (_, i) => bus.take(i === count - 1));
  bus.stop();
  return bytes;
}

Deno.test("SfpModule answers with the memory of a 10GBASE-SR module", () => {
  const bus = new Bus(DEVICE.SFP);
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

Deno.test("SfpModule acknowledges its own address only", () => {
  const bus = new Bus(DEVICE.SFP);
  bus.start();
  assert(!bus.send(0xa4));
  assert(!bus.send(0));
  bus.stop();
  assertEquals(readBytes(bus, 2, 1), [7]);
});

Deno.test("Nic without a cage has no module", () => {
  const bus = new Bus(DEVICE.KX4);
  assert(!bus.modulePin);
  bus.start();
  assert(!bus.send(ADDRESS));
});
