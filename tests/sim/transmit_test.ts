/**
 * The NIC model with a driver that enables transmission too early, or sends frames of invalid
 * lengths.
 */

import { assertEquals } from "@std/assert";
import { DMATXCTL, TDBAH, TDBAL, TDH, TDLEN, TDT, TXDCTL } from "../../ixgbe/registers.ts";
import { IOVA, RING, TestDriver, TX_RING } from "../support/model_driver.ts";

/** Returns a driver that has not set up its transmit ring. */
function beforeTransmit(): TestDriver {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.write(TDLEN, 0);
  return driver;
}

/** Sets up the ring, enables its queue, and sends a frame; returns the number of frames sent. */
function setUpAndSend(driver: TestDriver): number {
  driver.write(TDBAL, (IOVA + TX_RING) >>> 0);
  driver.write(TDBAH, Math.floor(IOVA / 2 ** 32));
  driver.write(TDLEN, RING * 16);
  driver.write(TDH, 0);
  driver.set(TXDCTL, TXDCTL.ENABLE);
  driver.fillTransmit(0, 60);
  driver.write(TDT, 1);
  driver.nic.poll();
  return driver.wire.sent.length;
}

Deno.test("DMATXCTL.TE sets TXDCTL[0].ENABLE, and no other queue's", () => {
  const driver = beforeTransmit();
  assertEquals(driver.read(TXDCTL) & TXDCTL.ENABLE, 0);
  driver.set(DMATXCTL, DMATXCTL.TE);
  assertEquals(driver.read(TXDCTL) & TXDCTL.ENABLE, TXDCTL.ENABLE);
  assertEquals(driver.read(TXDCTL, 1) & TXDCTL.ENABLE, 0);
  assertEquals(driver.broken(), []);
});

Deno.test("A transmit ring that is set up after DMATXCTL.TE breaks rules and sends nothing", () => {
  const driver = beforeTransmit();
  driver.set(DMATXCTL, DMATXCTL.TE);
  assertEquals(setUpAndSend(driver), 0);
  assertEquals(
    driver.broken(),
    ["TDBAL", "TDBAH", "TDLEN", "TDH"].map((name) =>
      `${name}[0]: written only while TXDCTL.ENABLE is 0`
    ),
  );
});

Deno.test("A transmit ring may be set up after DMATXCTL.TE once TXDCTL[0].ENABLE is cleared", () => {
  const driver = beforeTransmit();
  driver.set(DMATXCTL, DMATXCTL.TE);
  driver.write(TXDCTL, 0);
  assertEquals(setUpAndSend(driver), 1);
  assertEquals(driver.broken(), []);
});

for (const [length, sent] of [[16, 0], [17, 1], [15868, 1], [15869, 0]]) {
  Deno.test(`A frame of ${length} bytes is ${sent ? "sent" : "dropped, and breaks a rule"}`, () => {
    const driver = TestDriver.ready();
    driver.fillTransmit(0, length);
    driver.write(TDT, 1);
    driver.nic.poll();
    assertEquals(driver.wire.sent.length, sent);
    const rule = length > 17
      ? "a frame is at most 15.5 KB"
      : "a frame has 17 bytes or more, before padding";
    assertEquals(driver.broken().includes(`TDT[0]: ${rule}`), sent === 0);
  });
}

const EOP = 1 << 24, IFCS = 1 << 25, RS = 1 << 27, RESERVED = 1 << 28, TSE = 1 << 31;

Deno.test("A legacy descriptor's reserved bits (7.2.3.2.2) are ignored, and a frame keeps its limit", () => {
  for (const bits of [TSE, RESERVED, TSE | RESERVED]) {
    const driver = TestDriver.ready();
    // Four buffers of 50,000 bytes each: as a transmission to segment they would fit.
    for (let i = 0; i < 4; i++) {
      driver.fillTransmit(i, 50_000, IFCS | RS | bits | (i === 3 ? EOP : 0), 0);
      driver.words[TX_RING / 4 + i * 4] = IOVA >>> 0;
    }
    driver.write(TDT, 4);
    driver.nic.poll();
    assertEquals(driver.wire.sent, []);
    assertEquals(driver.broken().slice(0, 2), [
      "TDT[0]: reserved bits of a legacy descriptor are 0",
      "TDT[0]: a frame is at most 15.5 KB",
    ]);
    const whole = TestDriver.ready();
    whole.fillTransmit(0, 60, EOP | IFCS | RS | bits, 0);
    whole.write(TDT, 1);
    whole.nic.poll();
    assertEquals(whole.wire.sent.map(({ length }) => length), [60]);
  }
});

Deno.test("A frame that a VLAN tag makes longer than 15.5 KB is dropped, and breaks a rule", () => {
  const VLE = 1 << 30;
  for (const [length, sent] of [[15864, 1], [15865, 0], [15868, 0]]) {
    const driver = TestDriver.ready();
    driver.fillTransmit(0, length, EOP | IFCS | RS | VLE, 0);
    driver.write(TDT, 1);
    driver.nic.poll();
    assertEquals(driver.wire.sent.map(({ length }) => length), sent ? [15868] : []);
    assertEquals(driver.broken(), sent ? [] : ["TDT[0]: a frame is at most 15.5 KB"]);
  }
});
