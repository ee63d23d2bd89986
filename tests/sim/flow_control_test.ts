/** Pause frames of the NIC model: those that it obeys, discards and sends. */

import { assertEquals } from "@std/assert";
import {
  FCCFG,
  FCRTH,
  FCRTL,
  FCRTV,
  FCTRL,
  FCTTV,
  GOTCL,
  GPTC,
  LXOFFRXCNT,
  LXOFFTXC,
  LXONRXCNT,
  LXONTXC,
  MFLCN,
  MPTC,
  RDT,
  SRRCTL,
  TDT,
} from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { Generator } from "../../sim/wires/generator.ts";
import { frameTo, RING, STATION, TestDriver, TX_BUFFERS } from "../support/model_driver.ts";

const PAUSE = [0x01, 0x80, 0xc2, 0, 0, 1];
/** The longest pause: 336 ms at 100 Mb/s. */
const LONG = 0xffff;

/** Returns a driver whose link has 100 Mb/s, so that pauses are long. */
function slow(): TestDriver {
  const driver = TestDriver.ready({ deviceId: DEVICE.X540 });
  driver.nic.setLink(true, 100);
  return driver;
}

/** Returns a pause frame. */
function pause(quanta: number): Uint8Array {
  const frame = new Uint8Array(60);
  frame.set([...PAUSE, 2, 0, 0, 0, 0, 1, 0x88, 8, 0, 1, quanta >> 8, quanta]);
  return frame;
}

/** Lets a frame arrive. */
function arrive(driver: TestDriver, frame: Uint8Array): void {
  driver.wire.waiting.push(frame);
  driver.nic.poll();
}

/** Gives the port a frame to send; returns whether it left at once. */
function sends(driver: TestDriver, at: number): boolean {
  driver.bytes.set(frameTo(STATION, 60), TX_BUFFERS + at * 2048);
  driver.fillTransmit(at, 60);
  driver.write(TDT, at + 1);
  const before = driver.wire.sent.length;
  driver.nic.poll();
  return driver.wire.sent.length > before;
}

Deno.test("A pause frame stops the transmitter until XON if MFLCN.RFCE is set, and not else", () => {
  const driver = slow();
  arrive(driver, pause(LONG));
  assertEquals(sends(driver, 0), true);
  driver.write(MFLCN, MFLCN.RFCE | MFLCN.DPF);
  arrive(driver, pause(LONG));
  assertEquals(sends(driver, 1), false);
  arrive(driver, pause(0));
  driver.nic.poll();
  assertEquals(driver.wire.sent.length, 2);
  assertEquals([driver.read(LXOFFRXCNT), driver.read(LXONRXCNT)], [2, 1]);
});

Deno.test("A pause ends with its time", () => {
  const driver = TestDriver.ready();
  driver.write(MFLCN, MFLCN.RFCE);
  arrive(driver, pause(1)); // 51 ns
  sends(driver, 0);
  for (let i = 0; i < 1000 && driver.wire.sent.length === 0; i++) driver.nic.poll();
  assertEquals(driver.wire.sent.length, 1);
});

Deno.test("Pause frames reach the host only in promiscuous mode, and without MFLCN.DPF", () => {
  for (const [promiscuous, control, received] of [[1, 0, 1], [0, 0, 0], [1, MFLCN.DPF, 0]]) {
    const driver = TestDriver.ready();
    if (promiscuous) driver.set(FCTRL, FCTRL.MPE);
    driver.write(MFLCN, control);
    arrive(driver, pause(LONG));
    assertEquals(driver.nic.counters.received, received);
  }
});

/** Returns the pause times of the pause frames that were sent. */
function pauses(driver: TestDriver): number[] {
  return driver.wire.sent.splice(0).map((frame) => {
    assertEquals([...frame.subarray(0, 16)], [...PAUSE, ...STATION, 0x88, 8, 0, 1]);
    return frame[16] << 8 | frame[17];
  });
}

/** Turns pause frames on: XOFF above 16 KB, XON below 8 KB. */
function enable(driver: TestDriver, time: number): void {
  driver.write(SRRCTL, driver.read(SRRCTL) & ~SRRCTL.DROP_EN); // frames wait in the packet buffer
  driver.write(FCTTV, time);
  driver.write(FCRTV, time >> 1);
  driver.write(FCRTL, 0x2000 | FCRTL.XONE);
  driver.write(FCRTH, 0x4000 | FCRTH.FCEN);
  driver.write(FCCFG, FCCFG.TFCE_LINK);
}

/** Lets frames of 1500 bytes arrive, more than the ring has descriptors for. */
function overfill(driver: TestDriver): void {
  for (let i = 0; i < RING + 14; i++) driver.wire.waiting.push(frameTo(STATION, 1500, i));
  for (let i = 0; i < 100; i++) driver.nic.poll();
}

/** Gives the port all descriptors again, and lets it empty its packet buffer. */
function empty(driver: TestDriver): void {
  for (let i = 0; i < RING; i++) driver.fillReceive(i);
  driver.write(RDT, RING - 2);
  driver.nic.poll();
  driver.nic.poll();
}

Deno.test("XOFF is sent once above FCRTH, and XON below FCRTL", () => {
  const driver = slow();
  enable(driver, LONG);
  overfill(driver);
  assertEquals(pauses(driver), [LONG]);
  empty(driver);
  assertEquals(pauses(driver), [0]);
  assertEquals([driver.read(LXOFFTXC), driver.read(LXONTXC)], [1, 1]);
  assertEquals([driver.read(GPTC), driver.read(MPTC), driver.read(GOTCL)], [2, 2, 2 * 64]);
});

Deno.test("XOFF is sent again before the partner's pause ends", () => {
  const driver = TestDriver.ready();
  enable(driver, 2);
  overfill(driver);
  let sent = 0;
  for (let i = 0; i < 1000 && sent < 3; i++, sent += pauses(driver).length) driver.nic.poll();
  assertEquals(sent >= 3, true);
});

Deno.test("No pause frame is sent to a generator, which checks all frames that it receives", () => {
  const driver = slow(), generator = new Generator({ id: 0 });
  enable(driver, LONG);
  driver.set(FCTRL, FCTRL.UPE | FCTRL.MPE);
  driver.nic.wire = generator;
  generator.start();
  for (let i = 0; i < 100; i++) driver.nic.poll();
  assertEquals([driver.read(LXOFFTXC), generator.statistics().corrupt], [1, 0]);
});

Deno.test("No pause frame is sent without FCCFG.TFCE or FCRTH.FCEN", () => {
  for (const [register, off] of [[FCCFG, 0], [FCRTH, 0x4000]] as const) {
    const driver = TestDriver.ready();
    enable(driver, LONG);
    driver.write(register, off);
    overfill(driver);
    assertEquals(pauses(driver), []);
  }
});
