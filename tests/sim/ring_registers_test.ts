/** The NIC model's ring registers: which bits can be set, and heads of enabled queues. */

import { assertEquals } from "@std/assert";
import {
  RAH,
  RDBAL,
  RDH,
  RDLEN,
  RDT,
  RXCTRL,
  RXDCTL,
  RXPBSIZE,
  TDBAL,
  TDH,
  TDLEN,
  TDT,
  TXDCTL,
  TXPBSIZE,
} from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { frameTo, RING, STATION, TestDriver } from "../support/model_driver.ts";

const ONES = 0xffff_ffff;

Deno.test("RDBAL, RDLEN, TDBAL and TDLEN read 0 in bits 6:0, and lengths in bits 31:20", () => {
  const driver = new TestDriver();
  const read = [RDBAL, TDBAL, RDLEN, TDLEN].map((register) => {
    driver.write(register, ONES, 3);
    return driver.read(register, 3);
  });
  assertEquals(read, [0xffff_ff80, 0xffff_ff80, 0xf_ff80, 0xf_ff80]);
  assertEquals(
    driver.broken().filter((rule) => rule.includes("128")),
    [
      "RDBAL[3]: aligned to 128 bytes",
      "TDBAL[3]: aligned to 128 bytes",
      "RDLEN[3]: a multiple of 128 bytes, not 0",
      "TDLEN[3]: a multiple of 128 bytes, not 0",
    ],
  );
});

Deno.test("A ring whose address is not aligned begins at the aligned one below it", () => {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.write(RDBAL, driver.read(RDBAL) + 64);
  driver.enableReceive();
  driver.wire.waiting.push(frameTo(STATION, 60));
  driver.nic.poll();
  assertEquals(driver.receiveStatus(0) & 1, 1);
  assertEquals(driver.broken(), ["RDBAL[0]: aligned to 128 bytes"]);
});

Deno.test("RAH reads 0 in its reserved bits; bit 30 is there on the X550, but not in RAH[0]", () => {
  const read = (deviceId: number) => {
    const driver = new TestDriver({ deviceId });
    return [0, 1].map((index) => {
      driver.write(RAH, ONES, index);
      return driver.read(RAH, index);
    });
  };
  assertEquals(read(DEVICE.SFP), [0x8000_ffff, 0x8000_ffff]);
  assertEquals(read(DEVICE.X540), [0x8000_ffff, 0x8000_ffff]);
  assertEquals(read(DEVICE.X550), [0x8000_ffff, 0xc000_ffff]);
});

Deno.test("RDH written while its queue is enabled moves the head, and breaks no rule", () => {
  const driver = TestDriver.ready();
  for (let i = 0; i < 3; i++) driver.wire.waiting.push(frameTo(STATION, 60));
  driver.nic.poll();
  assertEquals(driver.read(RDH), 3);
  driver.write(RDH, 1);
  assertEquals(driver.read(RDH), 1);
  driver.fillReceive(1);
  driver.wire.waiting.push(frameTo(STATION, 99));
  driver.nic.poll();
  assertEquals([driver.read(RDH), driver.receiveLength(1)], [2, 99]);
  assertEquals(driver.broken(), []);
});

Deno.test("A receive queue that is stopped and started again takes RDH after it is enabled", () => {
  const driver = TestDriver.ready();
  for (let i = 0; i < 5; i++) driver.wire.waiting.push(frameTo(STATION, 60));
  driver.nic.poll();
  driver.write(RXDCTL, driver.read(RXDCTL) & ~RXDCTL.ENABLE);
  for (let i = 0; i < RING; i++) driver.fillReceive(i);
  driver.set(RXDCTL, RXDCTL.ENABLE);
  driver.write(RDH, 0);
  driver.write(RDT, RING - 1);
  driver.wire.waiting.push(frameTo(STATION, 77));
  driver.nic.poll();
  assertEquals([driver.receiveStatus(0) & 1, driver.receiveLength(0)], [1, 77]);
});

Deno.test("TDH written while its queue is enabled moves head and tail, and breaks a rule", () => {
  const driver = TestDriver.ready();
  const send = (index: number, tail: number) => {
    driver.fillTransmit(index, 60 + index);
    driver.write(TDT, tail);
    driver.nic.poll();
  };
  for (let i = 0; i < 3; i++) send(i, i + 1);
  driver.write(TXDCTL, driver.read(TXDCTL) & ~TXDCTL.ENABLE);
  driver.set(TXDCTL, TXDCTL.ENABLE);
  driver.write(TDH, 0);
  driver.nic.poll();
  driver.write(TDT, 0);
  driver.nic.poll();
  assertEquals(driver.wire.sent.length, 3);
  send(0, 1);
  assertEquals([driver.wire.sent.length, driver.read(TDH)], [4, 1]);
  assertEquals(driver.broken(), ["TDH[0]: written only while TXDCTL.ENABLE is 0"]);
});

Deno.test("RXPBSIZE and TXPBSIZE of classes 1 to 7 mean nothing without DCB", () => {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  for (let i = 1; i < 8; i++) {
    driver.write(RXPBSIZE, RXPBSIZE.reset, i);
    driver.write(TXPBSIZE, TXPBSIZE.reset, i);
  }
  driver.enableTransmit();
  driver.enableReceive();
  assertEquals(driver.read(RXCTRL), RXCTRL.RXEN);
  assertEquals(driver.broken(), []);
});
