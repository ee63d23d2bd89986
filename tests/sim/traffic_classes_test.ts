/** Traffic classes (DCB) of the NIC model's receive side. */

import { assertEquals } from "@std/assert";
import {
  MRQC,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RDT,
  RETA,
  RQTC,
  RSSRK,
  RTRUP2TC,
  RXCSUM,
  RXDCTL,
  RXMPC,
  RXPBSIZE,
  SRRCTL,
} from "../../ixgbe/registers.ts";
import { TrafficClasses } from "../../sim/rx/traffic_classes.ts";
import { RegisterFile } from "../../sim/registers/register_file.ts";
import { packet, type PacketOptions } from "../support/ip_packets.ts";
import { frameTo, IOVA, RX_BUFFERS, STATION, TestDriver } from "../support/model_driver.ts";

/** Priority 7 leads to class 0, 6 to 1, … */
const REVERSED = Array.from({ length: 8 }, (_, i) => (7 - i) << 3 * i).reduce((a, b) => a | b);
/** Descriptors in each ring, and bytes of a ring. */
const RING = 8, RING_BYTES = RING * 16;

/** Returns a frame with a VLAN tag of a priority. */
function tagged(frame: Uint8Array, priority: number): Uint8Array {
  const tag = [0x81, 0, priority << 5, 1];
  return Uint8Array.of(...frame.subarray(0, 12), ...tag, ...frame.subarray(12));
}

/** Fills a descriptor of the n-th ring. */
function arm({ words }: TestDriver, ring: number, n: number): void {
  const at = (ring * RING_BYTES >>> 2) + n * 4, address = IOVA + RX_BUFFERS + n * 2048;
  words[at] = address >>> 0;
  words[at + 1] = Math.floor(address / 2 ** 32);
  words[at + 2] = 0;
}

/**
 * A driver with traffic classes, whose queues wait for descriptors instead of dropping.
 *
 * @param queues Its queues. Only their rings have descriptors.
 */
function classed(mode: number, queues: readonly number[]): TestDriver {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  for (let i = 0; i < RXPBSIZE.count; i++) driver.write(RXPBSIZE, 48 << 10, i);
  driver.write(RTRUP2TC, REVERSED);
  driver.write(MRQC, mode);
  driver.openReceivePath();
  for (const [i, queue] of queues.entries()) {
    driver.write(RDBAL, (IOVA + i * RING_BYTES) >>> 0, queue);
    driver.write(RDBAH, Math.floor(IOVA / 2 ** 32), queue);
    driver.write(RDLEN, RING_BYTES, queue);
    driver.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED | 2, queue);
    for (let n = 0; n < RING; n++) arm(driver, i, n);
    driver.set(RXDCTL, RXDCTL.ENABLE, queue);
    driver.write(RDT, RING - 1, queue);
  }
  return driver;
}

Deno.test("TrafficClasses maps priorities to classes and queues as RTRUP2TC and MRQC say", () => {
  const file = new RegisterFile(), classes = new TrafficClasses();
  file.set(RTRUP2TC, REVERSED);
  const expected = [[0, 0, 0], [2, 8, 7], [3, 4, 3], [4, 8, 7], [5, 4, 3], [8, 0, 0]];
  for (const [mode, count, untagged] of expected) {
    file.set(MRQC, mode);
    classes.load(file);
    assertEquals(classes.count, count);
    if (count === 0) continue;
    const found = [classes.classOf(-1), classes.classOf(0x1fff), classes.classOf(4 << 13)];
    assertEquals(found, [untagged, untagged, 3], `MRQE ${mode}`);
  }
  const cases = [[2, 3, 13, 48], [3, 3, 13, 96], [4, 3, 13, 61], [5, 3, 29, 109], [4, 1, 15, 17]];
  file.set(RQTC, 0x4444_4414);
  for (const [mode, trafficClass, hashed, queue] of cases) {
    file.set(MRQC, mode);
    classes.load(file);
    assertEquals(classes.queueOf(trafficClass, hashed), queue, `MRQE ${mode}`);
  }
});

Deno.test("Nic.receive() puts packets into the queue of their traffic class", () => {
  const driver = classed(2, [0, 32, 112]);
  const frames = [7, 5, 0].map((priority) => tagged(frameTo(STATION, 60), priority));
  driver.wire.waiting.push(...frames, frameTo(STATION, 60));
  driver.nic.poll();
  assertEquals([0, 32, 112].map((queue) => driver.read(RDH, queue)), [1, 1, 2]);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.receive() spreads the packets of a traffic class by their hash", () => {
  const options: PacketOptions = {
    ...{ source: [10, 0, 0, 1], destination: [10, 0, 0, 2] },
    ...{ protocol: "udp", ports: [1, 2], payload: 40 },
  };
  const driver = classed(4 | MRQC.RSS_UDP_IPV4, [16, 17, 18, 19]);
  driver.set(RXCSUM, RXCSUM.PCSD);
  for (let i = 0; i < RSSRK.count; i++) driver.write(RSSRK, 0x6d5a56da, i);
  for (let i = 0; i < RETA.count; i++) driver.write(RETA, 0x03020100, i);
  driver.write(RQTC, 2 << 4); // class 1 has four queues
  const flows = Array.from({ length: 16 }, (_, i) => packet({ ...options, ports: [i * 77, 2] }));
  driver.wire.waiting.push(...flows.map((frame) => tagged(frame, 6)));
  driver.nic.poll();
  const heads = [16, 17, 18, 19].map((queue) => driver.read(RDH, queue));
  assertEquals(heads.reduce((sum, head) => sum + head), 16);
  assertEquals(heads.every((head) => head > 0), true, heads.join());
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.receive() keeps and counts each traffic class in its own packet buffer", () => {
  const driver = classed(2, [0, 16]);
  const send = (priority: number, count: number) => {
    const frame = tagged(frameTo(STATION, 1500), priority);
    for (let i = 0; i < count; i++) driver.wire.waiting.push(frame);
    while (driver.wire.waiting.length > 0) driver.nic.poll();
  };
  const held = Math.floor(48 * 1024 / 1508); // a word more than the frame's 1504 bytes
  send(7, RING - 1 + held + 3);
  assertEquals([driver.read(RXMPC, 0), driver.read(RXMPC, 1)], [3, 0]);
  send(6, 2);
  assertEquals(driver.read(RDH, 16), 2, "the full buffer of class 0 does not block class 1");
  arm(driver, 0, 0);
  driver.write(RDT, 1, 0);
  driver.nic.poll();
  assertEquals(driver.read(RDH, 0), 1);
  assertEquals(driver.read(RXMPC, 1), 0);
  assertEquals(driver.broken(), []);
});
