/** How the NIC model comes to rest while packets wait for a link that is down. */

import { assertEquals } from "@std/assert";
import { CTRL, GCR_EXT, HLREG0, RXDCTL, STATUS, TDT, TXDCTL } from "../../ixgbe/registers.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { TestDriver } from "../support/model_driver.ts";

const CLEARED = "CTRL: buffers are cleared before a reset while master requests are pending";

/** A driver with a packet that waits, since the cable was unplugged. */
function unplugged(): TestDriver {
  const driver = TestDriver.ready();
  driver.nic.setLink(false);
  driver.fillTransmit(0, 60);
  driver.write(TDT, 1);
  driver.nic.poll();
  return driver;
}

/** Disables the queues, and DMA. */
function disable(driver: TestDriver): void {
  driver.write(TXDCTL, driver.read(TXDCTL) & ~TXDCTL.ENABLE);
  driver.write(RXDCTL, driver.read(RXDCTL) & ~RXDCTL.ENABLE);
  driver.set(CTRL, CTRL.GIO_DIS);
}

/** What still moves: the transmit queue, and DMA. */
function busy(driver: TestDriver): [queue: boolean, dma: boolean] {
  return [
    (shown(driver, TXDCTL) & TXDCTL.ENABLE) !== 0,
    (shown(driver, STATUS) & STATUS.GIO_MASTER_ENABLE) !== 0,
  ];
}

/** Reads a register; asserts that a look at it shows the same. */
function shown(driver: TestDriver, register: Register): number {
  const seen = driver.nic.view32(offsetOf(register)), value = driver.read(register);
  assertEquals(seen, value, register.name);
  return value;
}

function clearBuffers(driver: TestDriver): void {
  driver.set(HLREG0, HLREG0.LPBK);
  driver.set(GCR_EXT, GCR_EXT.BUFFERS_CLEAR_FUNC);
}

Deno.test("Rest: without a link, waiting packets keep queue and DMA from ending", () => {
  const driver = unplugged();
  disable(driver);
  assertEquals(busy(driver), [true, true]);
  driver.write(CTRL, 0); // DMA on again
  driver.nic.setLink(true);
  driver.nic.poll();
  assertEquals([driver.wire.sent.length, ...busy(driver)], [1, false, true]);
});

Deno.test("Rest: a link, or nothing that waits, lets queue and DMA end at once", () => {
  const driver = TestDriver.ready();
  disable(driver);
  assertEquals(busy(driver), [false, false]);
  const idle = TestDriver.ready();
  idle.nic.setLink(false);
  disable(idle);
  assertEquals(busy(idle), [false, false]);
});

Deno.test("Rest: buffers cleared and two resets end it, and break no rule", () => {
  const driver = unplugged();
  disable(driver);
  clearBuffers(driver);
  driver.set(CTRL, CTRL.RST);
  driver.set(CTRL, CTRL.RST);
  driver.nic.setBusMaster(false);
  assertEquals(driver.broken(), []);
  assertEquals(driver.wire.sent, []);
});

Deno.test("Rest: a reset with pending requests wants the buffers cleared, in loopback", () => {
  const driver = unplugged();
  disable(driver);
  driver.set(CTRL, CTRL.RST);
  assertEquals(driver.broken(), [CLEARED]);
  const open = unplugged();
  disable(open);
  open.set(GCR_EXT, GCR_EXT.BUFFERS_CLEAR_FUNC);
  open.set(CTRL, CTRL.RST);
  assertEquals(open.broken(), [
    "GCR_EXT: buffers are cleared only in loopback, so that no packet leaves",
    CLEARED,
  ]);
});

Deno.test("Rest: a second reset has to follow before the device is used or left", () => {
  for (const on of [true, false]) {
    const driver = unplugged();
    disable(driver);
    clearBuffers(driver);
    driver.set(CTRL, CTRL.RST);
    driver.nic.setBusMaster(on);
    assertEquals(driver.broken(), [
      "CTRL: a second reset follows one while master requests are pending",
    ]);
  }
});
