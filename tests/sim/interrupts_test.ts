/** The interrupts of the NIC model: causes, vectors and times. */

import { assert, assertEquals } from "@std/assert";
import {
  EIAC,
  EIAM_EX,
  EICR,
  EICS,
  EICS_EX,
  EIMC,
  EIMS,
  EIMS_EX,
  EITR,
  GPIE,
  IVAR,
  IVAR_MISC,
  TDT,
} from "../../ixgbe/registers.ts";
import { frameTo, STATION, TestDriver } from "../support/model_driver.ts";

const RECEIVE = 40, TRANSMIT = 3, OTHER = 63;
const VALID = 0x80;
/** Milliseconds after which a throttled message has been sent on any machine. */
const DEADLINE = 5000;

/** Creates a driver with vectors for each direction and for other causes; records messages. */
function withVectors(): { driver: TestDriver; sent: number[] } {
  const driver = TestDriver.ready();
  const sent: number[] = [];
  driver.nic.onInterrupt = (vector) => sent.push(vector);
  driver.write(GPIE, GPIE.MULTIPLE_MSIX | GPIE.EIAME);
  driver.write(IVAR, VALID | RECEIVE | (VALID | TRANSMIT) << 8);
  driver.write(IVAR_MISC, (VALID | OTHER) << 8);
  driver.write(EIAC, EIAC.RTX_QUEUE);
  return { driver, sent };
}

function receive(driver: TestDriver): void {
  driver.wire.waiting.push(frameTo(STATION, 60));
  driver.nic.poll();
}

function transmit(driver: TestDriver, index: number): void {
  driver.fillTransmit(index, 60);
  driver.write(TDT, index + 1);
  driver.nic.poll();
}

Deno.test("Nic interrupts by the vectors of IVAR that EIMS_EX enables", () => {
  const { driver, sent } = withVectors();
  receive(driver);
  transmit(driver, 0);
  assertEquals(sent, []);
  driver.write(EIMS_EX, 1 << TRANSMIT);
  assertEquals(sent, [TRANSMIT], "at once: the cause was pending");
  driver.write(EIMS_EX, 1 << (RECEIVE - 32), 1);
  assertEquals(sent, [TRANSMIT, RECEIVE]);
  receive(driver);
  transmit(driver, 1);
  assertEquals(sent, [TRANSMIT, RECEIVE, RECEIVE, TRANSMIT]);
  driver.write(EIMC, 1 << TRANSMIT);
  transmit(driver, 2);
  assertEquals(sent.length, 4);
  assertEquals(driver.read(EICS) & EICR.RTX_QUEUE, 1 << TRANSMIT);
});

Deno.test("Nic masks a queue by its message if EIAM_EX is set, until EIMS_EX", () => {
  const { driver, sent } = withVectors();
  driver.write(EIAM_EX, 0xffff_ffff, 1);
  driver.write(EIMS_EX, 0xffff_ffff, 1);
  for (let i = 0; i < 3; i++) receive(driver);
  assertEquals(sent, [RECEIVE]);
  assertEquals(driver.read(EIMS_EX, 1), (~(1 << (RECEIVE - 32))) >>> 0);
  driver.write(EIMS_EX, 1 << (RECEIVE - 32), 1);
  assertEquals(sent, [RECEIVE, RECEIVE]);
  driver.write(EIMS_EX, 1 << (RECEIVE - 32), 1);
  assertEquals(sent.length, 2, "its message has cleared the cause");
});

Deno.test("Nic sends no two messages of a vector within EITR, and loses none", () => {
  const { driver, sent } = withVectors();
  driver.write(EITR, EITR.ITR_INTERVAL, RECEIVE);
  driver.write(EIMS_EX, 0xffff_ffff, 1);
  const start = performance.now();
  receive(driver);
  receive(driver);
  if (performance.now() - start < 1) assertEquals(sent, [RECEIVE]); // 1 ms is the longest interval
  while (sent.length < 2 && performance.now() - start < DEADLINE) driver.nic.poll();
  assertEquals(sent, [RECEIVE, RECEIVE]);
});

Deno.test("Nic interrupts by IVAR_MISC for causes other than queues", () => {
  const { driver, sent } = withVectors();
  driver.write(EIMS, EIMS.LSC);
  driver.nic.setLink(false);
  driver.nic.poll();
  assertEquals(sent, [OTHER]);
  assertEquals(driver.read(EICS), EICR.LSC, "reading EICS clears nothing");
  assertEquals([driver.read(EICR), driver.read(EICR)], [EICR.LSC, 0]);
  driver.write(EICS, EICR.LSC);
  driver.write(EICS, EICR.MNG); // masked
  assertEquals(sent, [OTHER, OTHER]);
  driver.write(EICR, EICR.LSC);
  assertEquals(driver.read(EICR), EICR.MNG);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic interrupts by software's causes, also those beyond EICR", () => {
  const { driver, sent } = withVectors();
  driver.write(EIMS_EX, 0xffff_ffff);
  driver.write(EIMS_EX, 0xffff_ffff, 1);
  driver.write(EICS_EX, 1 << 20 | 1 << 4);
  driver.write(EICS_EX, 1 << 31, 1);
  assertEquals(sent, [4, 20, 63]);
});

Deno.test("Nic without MSI-X sends vector 0, and EICR shows the cause", () => {
  const { driver, sent } = withVectors();
  driver.write(GPIE, 0);
  driver.write(IVAR, VALID | 1 | (VALID | TRANSMIT) << 8);
  driver.write(EIMS, 1 << TRANSMIT | EIMS.LSC);
  receive(driver);
  assertEquals(sent, []);
  transmit(driver, 0);
  assertEquals(sent, [0]);
  assertEquals(driver.read(EICR), 1 << TRANSMIT | 1 << 1);
  driver.nic.setLink(false);
  driver.nic.poll();
  assertEquals(sent, [0, 0]);
});

Deno.test("Nic sends nothing after a reset", () => {
  const { driver, sent } = withVectors();
  receive(driver);
  driver.nic.reset();
  driver.nic.poll();
  assertEquals(sent, []);
  assert(driver.read(EICR) === 0);
});
