/** What the NIC model does to a driver that enables transmission too early, or sends frames of a bad length. */

import { assertEquals } from "@std/assert";
import { DMATXCTL, TDBAH, TDBAL, TDH, TDLEN, TDT, TXDCTL } from "../../ixgbe/registers.ts";
import { IOVA, RING, TestDriver, TX_RING } from "../support/model_driver.ts";

/** A driver that has not set up its transmit ring yet. */
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
      : "a frame is given to the card with 17 bytes at least";
    assertEquals(driver.broken().includes(`TDT[0]: ${rule}`), sent === 0);
  });
}
