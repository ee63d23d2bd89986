/** NicOptions.budget: how much the NIC model does in a round. */

import { assertEquals, assertThrows } from "@std/assert";
import { RDH, RDT, RXDCTL, SRRCTL, TDH, TDT } from "../../ixgbe/registers.ts";
import { Nic } from "../../sim/nic/nic.ts";
import { frameTo, STATION, TestDriver } from "../support/model_driver.ts";

/** Heads of both rings after each of some rounds. */
function heads(driver: TestDriver, rounds: number): [number, number][] {
  return Array.from({ length: rounds }, () => {
    driver.nic.poll();
    return [driver.read(RDH), driver.read(TDH)];
  });
}

/** A driver without receive descriptors, whose device keeps frames; with frames both ways. */
function waiting(budget: number): TestDriver {
  const driver = new TestDriver({ budget });
  driver.reset();
  driver.configure();
  driver.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED | 2);
  driver.enableTransmit();
  driver.openReceivePath();
  driver.set(RXDCTL, RXDCTL.ENABLE);
  for (let i = 0; i < 5; i++) {
    driver.wire.waiting.push(frameTo(STATION, 60));
    driver.fillTransmit(i, 60);
  }
  driver.write(TDT, 5);
  return driver;
}

Deno.test("NicOptions.budget limits descriptors, frames from the wire, and frames that waited", () => {
  const driver = waiting(2);
  assertEquals(heads(driver, 1), [[0, 2]]);
  assertEquals(driver.wire.waiting.length, 3);
  assertEquals(heads(driver, 2), [[0, 4], [0, 5]]);
  assertEquals(driver.wire.waiting.length, 0);
  driver.write(RDT, 200);
  assertEquals(heads(driver, 4), [[2, 5], [4, 5], [5, 5], [5, 5]]);
  assertEquals(driver.broken(), []);
});

Deno.test("NicOptions.budget of 1 makes each descriptor a round of its own", () => {
  const driver = waiting(1);
  driver.write(RDT, 200);
  assertEquals(heads(driver, 6), [[1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [5, 5]]);
});

Deno.test("NicOptions.budget is 64 by default, and a whole number from 1 on", () => {
  const driver = TestDriver.ready();
  for (let i = 0; i < 100; i++) driver.fillTransmit(i, 60);
  driver.write(TDT, 100);
  assertEquals(heads(driver, 2), [[0, 64], [0, 100]]);
  for (const budget of [0, -1, 1.5, NaN]) {
    const message = `a round has a budget of 1 or more, not ${budget}`;
    assertThrows(() => new Nic({ budget }), RangeError, message);
  }
});
