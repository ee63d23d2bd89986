/** What the NIC model tells an observer, and that it works in the same way without one. */

import { assertEquals } from "@std/assert";
import {
  EICR,
  EICS,
  EIMS_EX,
  EITR,
  GPIE,
  IVAR,
  IVAR_MISC,
  RDT,
  REGISTERS,
  RSCCTL,
  RXDCTL,
  SRRCTL,
  TDT,
  TDWBAH,
  TDWBAL,
} from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import { EventLog } from "../support/event_log.ts";
import { FrozenTime } from "../support/frozen_time.ts";
import { packet } from "../support/ip_packets.ts";
import { frameTo, IOVA, STATION, TestDriver } from "../support/model_driver.ts";

const VALID = 0x80;
/** Word 2 of descriptors: IFCS and DEXT with data, a context, neither; and the reserved type. */
const DATA = 0x2230_0000, CONTEXT = 0x2020_0000, LEGACY = 0x0200_0000, RESERVED = 0x2010_0000;
const EOP = 1 << 24, RS = 1 << 27;

function ready(): { driver: TestDriver; log: EventLog } {
  const log = new EventLog(), driver = TestDriver.ready({ observer: log });
  log.take();
  return { driver, log };
}

Deno.test("DeviceObserver is told of each buffer of a received frame, then of the write-back", () => {
  const { driver, log } = ready();
  const frame = frameTo(STATION, 5000);
  driver.wire.waiting.push(frame, frameTo(STATION, 60));
  driver.nic.poll();
  assertEquals(log.take(), [
    "rx0[0] 2048 bytes to 0x100000",
    "rx0[1] 2048 bytes to 0x100800",
    "rx0[2] 904 bytes to 0x101000",
    "rx0[3] 60 bytes to 0x101800",
    "rx0[0] written back, 4",
  ]);
  assertEquals(log.written[2], frame.slice(4096));
  assertEquals(log.tellers.map((teller) => teller.replace(/.*[.#]/, "")), [
    ...["fill", "fill", "fill", "fill", "writeBackQueue"],
  ]);
});

Deno.test("DeviceObserver is told of transmit descriptors by kind, and of their buffers", () => {
  const { driver, log } = ready();
  driver.fillTransmit(0, 0, CONTEXT);
  driver.fillTransmit(1, 100, DATA, 160);
  driver.fillTransmit(2, 60, DATA | EOP | RS);
  driver.fillTransmit(3, 60, LEGACY | EOP, 0);
  driver.fillTransmit(4, 60, RESERVED);
  driver.write(TDT, 5);
  driver.nic.poll();
  assertEquals(log.take(), [
    "tx0[0] is context",
    "tx0[1] is data",
    "tx0[1] 100 bytes from 0x200800",
    "tx0[2] is data",
    "tx0[2] 60 bytes from 0x201000",
    "tx0[2] written back, 1",
    "tx0[3] is legacy",
    "tx0[3] 60 bytes from 0x201800",
    "tx0[4] is unknown",
  ]);
  assertEquals(driver.wire.sent.map(({ length }) => length), [160, 60]);
});

Deno.test("DeviceObserver is told of a head that is written to memory", () => {
  const log = new EventLog(), driver = new TestDriver({ observer: log });
  driver.reset();
  driver.configure();
  driver.write(TDWBAH, Math.floor(IOVA / 2 ** 32));
  driver.write(TDWBAL, (IOVA + 0x80000 | 1) >>> 0);
  driver.enableTransmit();
  driver.fillTransmit(0, 60);
  driver.write(TDT, 1);
  driver.nic.poll();
  assertEquals(log.take().at(-1), "tx0 head 1 written");
});

Deno.test("DeviceObserver is told of frames that wait in the packet buffer, and leave it", () => {
  const log = new EventLog(), driver = new TestDriver({ observer: log });
  driver.reset();
  driver.configure();
  driver.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED | 2);
  driver.openReceivePath();
  driver.set(RXDCTL, RXDCTL.ENABLE);
  driver.wire.waiting.push(frameTo(STATION, 60), frameTo(STATION, 70));
  driver.nic.poll();
  assertEquals(log.take(), ["rx0 60 bytes kept", "rx0 70 bytes kept"]);
  driver.write(RDT, 1);
  driver.nic.poll();
  assertEquals(log.take(), [
    "rx0 60 bytes released",
    "rx0[0] 60 bytes to 0x100000",
    "rx0[0] written back, 1",
  ]);
});

Deno.test("DeviceObserver is told of causes, of messages, and of those that EITR holds back", () => {
  using time = new FrozenTime(5000);
  const { driver, log } = ready();
  driver.write(GPIE, GPIE.MULTIPLE_MSIX);
  driver.write(IVAR, VALID | 1 | (VALID | 40) << 8);
  driver.write(IVAR_MISC, (VALID | 2) << 8);
  driver.write(EITR, 500 << 3, 1); // 1 ms
  driver.write(EIMS_EX, 1 << 1);
  const receive = () => {
    driver.wire.waiting.push(frameTo(STATION, 60));
    driver.nic.poll();
    return log.take().slice(2);
  };
  assertEquals(receive(), ["cause 0x2 of vector 1", "message 1"]);
  time.milliseconds += 0.4;
  assertEquals(receive(), ["cause 0x2 of vector 1", "message 1 held for 0.6 ms"]);
  time.milliseconds += 0.6;
  driver.nic.poll();
  assertEquals(log.take(), ["message 1"]);
  driver.fillTransmit(0, 60);
  driver.write(TDT, 1);
  driver.nic.poll();
  assertEquals(log.take().slice(-1), ["cause 0x0 of vector 40"], "masked, so no message");
  driver.nic.setLink(false);
  driver.write(EICS, 1 << 1 | EICR.LSC);
  assertEquals(log.take(), [
    "cause 0x100000 of vector -1",
    "cause 0x2 of vector 1",
    "cause 0x100000 of vector -1",
    "message 1 held for 1.0 ms",
  ]);
});

Deno.test("DeviceObserver is told of the parts of a coalesced packet", () => {
  const log = new EventLog(), driver = new TestDriver({ observer: log });
  driver.reset();
  driver.configure();
  driver.write(RSCCTL, RSCCTL.RSCEN | 2 << 2);
  driver.enableReceive();
  const segment = packet({
    ...{ source: [10, 0, 0, 1], destination: [10, 0, 0, 2] },
    ...{ protocol: "tcp", ports: [1234, 80], payload: 1000 },
  });
  driver.wire.waiting.push(segment);
  driver.nic.poll();
  assertEquals(log.take(), ["rx0[0] 1054 bytes to 0x100000", "rx0[0] written back, 1"]);
});

/** Frames of many lengths both ways, with descriptors of all kinds. */
function traffic(driver: TestDriver): unknown {
  for (let n = 0; n < 200; n++) {
    const at = n % 250, length = 60 + n * 37 % 5000;
    driver.wire.waiting.push(frameTo(n % 7 === 0 ? [4, 0, 0, 0, 0, 1] : STATION, length, n));
    driver.bytes.set(frameTo(STATION, 1000, n), 0x200000 + at * 2048);
    driver.fillTransmit(at, 40 + n, n % 3 === 0 ? LEGACY | EOP | RS : DATA | EOP | RS);
    driver.write(TDT, at + 1);
    driver.nic.poll();
    if (n === 150) driver.write(RDT, 200);
  }
  const statistics = (Object.values(REGISTERS) as Register[])
    .filter(({ access }) => access === "RC")
    .map((register) => [register.name, driver.read(register)]);
  const { counters, rules } = driver.nic;
  return { counters, rules: rules.violations, statistics, sent: driver.wire.sent };
}

Deno.test("Nic with an observer sends, receives and counts what it does without", () => {
  const { driver, log } = ready(), plain = TestDriver.ready();
  assertEquals(traffic(driver), traffic(plain));
  assertEquals(log.lines.length > 600, true);
  // Without an observer, the device touches the first words of buffers ahead of the frames.
  const from = driver.bytes.subarray(0, 0x40000), to = plain.bytes.subarray(0, 0x40000);
  assertEquals(from, to, "descriptors");
});
