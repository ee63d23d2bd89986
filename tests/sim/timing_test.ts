/** The NIC model with delays: what a driver sees before they are over, and what is lost. */

import { assert, assertEquals } from "@std/assert";
import * as R from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { CARD, DELAY_NAMES, type Delays, Timing } from "../../sim/nic/timing.ts";
import type { NicOptions } from "../../sim/nic/nic.ts";
import { frameTo, RING, STATION, TestDriver, TX_RING } from "../support/model_driver.ts";

/** A clock that tests set, and the driver of a model that follows it. */
class Delayed {
  now = 0;
  /** Milliseconds that each look at the clock takes. */
  step = 0;
  readonly driver: TestDriver;

  constructor(delays: Delays, options: NicOptions = {}) {
    this.driver = new TestDriver({ ...options, delays, clock: () => this.now += this.step });
  }

  /** Returns whether a register has a bit, before and at a time from now. */
  around(milliseconds: number, look: () => number): [boolean, boolean] {
    this.now += milliseconds - 0.01;
    const before = look() !== 0;
    this.now += 0.02;
    return [before, look() !== 0];
  }

  /** Returns a driver with both directions enabled, on a model whose delays are over. */
  static ready(delays: Delays): Delayed {
    const delayed = new Delayed({ ...delays }), { driver } = delayed;
    delayed.step = 0.01;
    driver.reset();
    driver.configure();
    driver.enableTransmit();
    driver.enableReceive();
    delayed.step = 0;
    return delayed;
  }
}

Deno.test("Timing draws delays between their value less and plus the jitter, by the seed", () => {
  const draws = (seed: number) => {
    const timing = new Timing({ delays: { dma: 10 }, jitter: 0.3, seed });
    return Array.from({ length: 1000 }, () => timing.draw("dma"));
  };
  const one = draws(1);
  assert(Math.min(...one) >= 7 && Math.max(...one) <= 13);
  assert(Math.min(...one) < 7.1 && Math.max(...one) > 12.9);
  assertEquals(one, draws(1));
  assert(one.every((value, i) => value !== draws(2)[i]));
  assertEquals(new Timing({ delays: { dma: 10 } }).draw("queue"), 0);
});

Deno.test("Timing does what is due in the order of times, and nothing that was cancelled", () => {
  let now = 0;
  const timing = new Timing({ delays: { dma: 2, queue: 1 }, clock: () => now });
  const done: string[] = [];
  timing.after("dma", "late", () => done.push("late"));
  timing.after("queue", "early", () => done.push("early"));
  timing.after("queue", "cancelled", () => done.push("cancelled"));
  timing.after("link", "instant", () => done.push("instant"));
  assertEquals([done, timing.waiting], [["instant"], true]);
  assertEquals([timing.cancel("cancelled"), timing.cancel("cancelled")], [true, false]);
  now = 1.5;
  timing.run();
  assertEquals([done, timing.isPending("late")], [["instant", "early"], true]);
  now = 2;
  timing.run();
  assertEquals([done, timing.waiting], [["instant", "early", "late"], false]);
});

Deno.test("CARD names every delay", () => {
  assertEquals(Object.values(CARD).every((milliseconds) => milliseconds > 0), true);
  assertEquals(Object.keys(CARD), [...DELAY_NAMES]);
});

Deno.test("Nic clears CTRL's reset bits after the delay, and loses writes until then", () => {
  const delayed = new Delayed({ reset: 3 }), { driver } = delayed;
  driver.write(R.CTRL, R.CTRL.RST);
  driver.write(R.MAXFRS, 9018 << 16);
  assertEquals(delayed.around(3, () => driver.read(R.CTRL) & R.CTRL.RST), [true, false]);
  assertEquals(driver.read(R.MAXFRS), R.MAXFRS.reset);
  driver.write(R.MAXFRS, 9018 << 16);
  assertEquals(driver.read(R.MAXFRS), 9018 << 16);
});

Deno.test("Nic shows EEPROM, DMA and firmware as ready after their delays", () => {
  const delayed = new Delayed({ eeprom: 5, firmware: 8 }), { driver } = delayed;
  driver.write(R.CTRL, R.CTRL.RST);
  assertEquals(
    delayed.around(5, () => driver.read(R.EEC) & R.EEC.AUTO_RD),
    [false, true],
  );
  assert(driver.read(R.RDRXCTL) & R.RDRXCTL.DMAIDONE);
  const done = R.EEMNGCTL.CFG_DONE0, held = R.SW_FW_SYNC.FW_PHY_SM0;
  assert(driver.read(R.SW_FW_SYNC) & held);
  assertEquals(delayed.around(8 - 5 - 0.01, () => driver.read(R.EEMNGCTL) & done), [false, true]);
  assertEquals(driver.read(R.SW_FW_SYNC) & held, 0);
});

Deno.test("Nic ends MDIO frames and reads of the EEPROM after the delay", () => {
  const delayed = new Delayed({ bus: 0.05 }, { deviceId: DEVICE.X540 }), { driver } = delayed;
  driver.write(R.EERD, R.EERD.START);
  assertEquals(delayed.around(0.05, () => driver.read(R.EERD) & R.EERD.DONE), [false, true]);
  driver.write(R.MSCA, R.MSCA.OP_ADDRESS | R.MSCA.MDI_COMMAND);
  assertEquals(delayed.around(0.05, () => driver.read(R.MSCA) & R.MSCA.MDI_COMMAND), [true, false]);
  driver.nic.rules.clear();
  const { OP_ADDRESS, MDI_COMMAND } = R.MSCA;
  for (let i = 0; i < 2; i++) driver.write(R.MSCA, OP_ADDRESS | MDI_COMMAND);
  assert(driver.broken().includes("MSCA: a command comes after MDI_COMMAND was seen clear"));
});

Deno.test("Nic lets firmware hold semaphores at some of the attempts to take them", () => {
  const delayed = new Delayed({ semaphore: 2 }), { driver } = delayed;
  let taken = 0;
  for (let i = 0; i < 400; i++) {
    driver.write(R.SWSM, R.SWSM.SWESMBI);
    if (driver.read(R.SWSM) & R.SWSM.SWESMBI) taken++;
    driver.write(R.SWSM, 0);
    delayed.now += 3;
  }
  assert(taken > 250 && taken < 350, `${taken} of 400`);
});

Deno.test("Nic brings the link up after the delay, and causes an interrupt then", () => {
  const delayed = new Delayed({ link: 100 }), { driver } = delayed;
  const up = () => driver.read(R.LINKS) & R.LINKS.UP;
  assertEquals(delayed.around(100, up), [false, true]);
  driver.read(R.EICR);
  driver.nic.setLink(false);
  assertEquals(up(), 0);
  driver.nic.setLink(true);
  assert(driver.read(R.EICR) & R.EICR.LSC);
  assertEquals(delayed.around(100, up), [false, true]);
  assert(driver.read(R.EICR) & R.EICR.LSC);
  driver.write(R.AUTOC, driver.read(R.AUTOC) | R.AUTOC.RESTART_AN);
  driver.read(R.LINKS);
  assertEquals(delayed.around(100, up), [false, true]);
});

Deno.test("Nic keeps the link of X540 and X550 over a reset, and fails at it as often as it is told", () => {
  for (const deviceId of [DEVICE.X540, DEVICE.X550]) {
    const delayed = new Delayed({ link: 100 }, { deviceId, restarts: 2 }), { driver } = delayed;
    const up = () => driver.read(R.LINKS) & R.LINKS.UP;
    for (let i = 0; i < 2; i++) assertEquals(delayed.around(100, up), [false, false]);
    assertEquals(delayed.around(100, up), [false, true]);
    driver.write(R.CTRL, R.CTRL.RST);
    assert(up());
  }
});

Deno.test("Nic enables queues after the delay, with the registers of that time", () => {
  const delayed = new Delayed({ queue: 1 }), { driver } = delayed;
  driver.reset();
  driver.configure();
  driver.set(R.DMATXCTL, R.DMATXCTL.TE);
  driver.set(R.RXDCTL, R.RXDCTL.ENABLE);
  const enabled = () => driver.read(R.RXDCTL) & driver.read(R.TXDCTL) & R.RXDCTL.ENABLE;
  assertEquals(delayed.around(1, enabled), [false, true]);
  driver.nic.rules.clear();
  driver.write(R.RXDCTL, 0);
  driver.write(R.RDBAL, 0);
  assertEquals(driver.broken(), ["RDBAL[0]: written only while RXDCTL.ENABLE is 0"]);
  assertEquals(delayed.around(1, () => driver.read(R.RXDCTL) & R.RXDCTL.ENABLE), [true, false]);
});

Deno.test("Nic records a tail that is written before its queue is enabled", () => {
  const delayed = new Delayed({ queue: 1 }), { driver } = delayed;
  driver.reset();
  driver.configure();
  driver.set(R.RXDCTL, R.RXDCTL.ENABLE);
  driver.write(R.RDT, RING - 1);
  delayed.now += 1;
  driver.nic.poll();
  assertEquals(driver.broken(), ["RDT[0]: moved only after the queue is enabled"]);
});

Deno.test("Nic does not enable a queue that is disabled before the delay is over", () => {
  const delayed = new Delayed({ queue: 1 }), { driver } = delayed;
  driver.reset();
  driver.configure();
  driver.set(R.RXDCTL, R.RXDCTL.ENABLE);
  driver.write(R.RXDCTL, 0);
  delayed.now += 5;
  assertEquals(driver.read(R.RXDCTL) & R.RXDCTL.ENABLE, 0);
  driver.set(R.RXDCTL, R.RXDCTL.ENABLE);
  driver.write(R.CTRL, R.CTRL.RST);
  delayed.now += 5;
  assertEquals(driver.read(R.RXDCTL) & R.RXDCTL.ENABLE, 0, "a reset ends it too");
});

Deno.test("Nic shows an empty receive path after the delay", () => {
  const delayed = new Delayed({ queue: 1 }), { driver } = delayed;
  driver.set(R.SECRXCTRL, R.SECRXCTRL.RX_DIS);
  const empty = () => driver.read(R.SECRXSTAT) & R.SECRXSTAT.SECRX_RDY;
  assertEquals(delayed.around(1, empty), [false, true]);
});

Deno.test("Nic writes received descriptors back after the delay, all that are filled by then", () => {
  const delayed = Delayed.ready({ dma: 0.5 }), { driver } = delayed;
  const receive = (number: number) => {
    driver.wire.waiting.push(frameTo(STATION, 60, number));
    driver.nic.poll();
  };
  receive(0);
  delayed.now += 0.4;
  receive(1);
  assertEquals([driver.receiveStatus(0) & 1, driver.read(R.RDH)], [0, 2]);
  delayed.now += 0.11;
  driver.nic.poll();
  assertEquals([0, 1].map((i) => driver.receiveStatus(i) & 1), [1, 1]);
  receive(2);
  driver.write(R.RXDCTL, 0); // a queue is disabled after its write-backs
  assertEquals(driver.receiveStatus(2) & 1, 1);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic writes sent descriptors back after the delay, and keeps DMA until then", () => {
  const delayed = Delayed.ready({ dma: 0.5 }), { driver } = delayed;
  const done = (index: number) => driver.words[TX_RING / 4 + index * 4 + 3] & 1;
  for (let i = 0; i < 3; i++) driver.fillTransmit(i, 60);
  driver.write(R.TDT, 3);
  driver.nic.poll();
  assertEquals([driver.wire.sent.length, done(0), driver.read(R.TDH)], [3, 0, 3]);
  delayed.now += 0.3;
  driver.write(R.RXDCTL, 0);
  driver.set(R.CTRL, R.CTRL.GIO_DIS);
  const busy = () => driver.read(R.STATUS) & R.STATUS.GIO_MASTER_ENABLE;
  assert(busy());
  delayed.now += 0.21;
  driver.nic.poll();
  assertEquals([0, 1, 2].map(done), [1, 1, 1]);
  assert(busy(), "DMA itself takes its time to stop");
  delayed.now += 0.3;
  assertEquals(busy(), 0);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic writes nothing back after bus mastering is off, or after a reset", () => {
  for (const end of ["bus master", "reset"]) {
    const delayed = Delayed.ready({ dma: 0.5 }), { driver } = delayed;
    driver.fillTransmit(0, 60);
    driver.write(R.TDT, 1);
    driver.wire.waiting.push(frameTo(STATION, 60));
    driver.nic.poll();
    if (end === "reset") driver.write(R.CTRL, R.CTRL.RST);
    else driver.nic.setBusMaster(false);
    delayed.now += 5;
    driver.nic.poll();
    assertEquals([driver.receiveStatus(0) & 1, driver.words[TX_RING / 4 + 3] & 1], [0, 0], end);
  }
});
