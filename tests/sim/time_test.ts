/** The system time of the NIC model, and its time stamps. */

import { assert, assertEquals } from "@std/assert";
import {
  AUXSTMP,
  EICR,
  ETQF,
  FRTIMER,
  HLREG0,
  RDT,
  RXMTRL,
  RXSATRH,
  RXSATRL,
  RXSTMPH,
  RXSTMPL,
  SRRCTL,
  SYSTIMH,
  SYSTIML,
  SYSTIMR,
  TDT,
  TIMADJH,
  TIMADJL,
  TIMINCA,
  TSAUXC,
  TSICR,
  TSIM,
  TSYNCRXCTL,
  TSYNCTXCTL,
  TXSTMPH,
  TXSTMPL,
} from "../../ixgbe/registers.ts";
import { offsetOf } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { InterruptCauses } from "../../sim/registers/interrupt_causes.ts";
import { RegisterFile } from "../../sim/registers/register_file.ts";
import { SystemTime, type TimeKind } from "../../sim/registers/system_time.ts";
import { headerOf, packet, type PacketOptions } from "../support/ip_packets.ts";
import { frameTo, RX_BUFFERS, STATION, TestDriver } from "../support/model_driver.ts";
import type { Register } from "../../src/registers.ts";

/** Linux's increments for 10 Gb/s: SYSTIM has units of 2^-21 and of 2^-28 ns then. */
const INCREMENT_82599 = 1 << 24 | 0x66666666 >>> 7, INCREMENT_X540 = 0x66666666;
const TS = 1 << 16, TSIP = 1 << 15;
const FILTER = 1 << 31 | 1 << 30 | 0x88f7;
const L4_V1 = 1 << 1, ALL = 4 << 1, EVENT_V2 = 5 << 1;

/** A clock with registers, and a time in milliseconds that the test sets. */
class Clock {
  readonly file = new RegisterFile();
  readonly time: SystemTime;
  now = 1000;

  constructor(kind: TimeKind) {
    const causes = new InterruptCauses(this.file, () => {});
    this.time = new SystemTime(this.file, causes, kind, () => this.now);
    if (kind === "X550") this.file.set(TSAUXC, 0xc0000000);
    this.time.reset();
  }

  read(register: Register): number {
    const word = offsetOf(register) / 4;
    return this.file.readEffectAt(word)!(this.file.words[word], 0) >>> 0;
  }

  write(register: Register, value: number): void {
    const word = offsetOf(register) / 4, old = this.file.words[word];
    this.file.words[word] = this.file.writeEffectAt(word)?.(value, old, 0) ?? value;
    this.file.settledEffectAt(word)?.();
  }

  /** SYSTIM as one number of nanoseconds, for a unit of 2^-shift ns. */
  nanoseconds(shift: number): number {
    const low = this.read(SYSTIML);
    return (this.read(SYSTIMH) * 2 ** 32 + low) / 2 ** shift;
  }
}

Deno.test("SystemTime of 82599 and X540 stands still until TIMINCA is set, then counts", () => {
  const kinds = [["82599", INCREMENT_82599, 21], ["X540", INCREMENT_X540, 28]] as const;
  for (const [kind, increment, shift] of kinds) {
    const clock = new Clock(kind);
    clock.now += 5;
    assertEquals([clock.read(SYSTIML), clock.read(SYSTIMH)], [0, 0]);
    clock.write(TIMINCA, increment);
    clock.now += 5;
    assertEquals(Math.round(clock.nanoseconds(shift)), 5e6);
    clock.time.setSpeed(1000); // one tenth of the link's clock
    clock.now += 5;
    assertEquals(Math.round(clock.nanoseconds(shift)), 5.5e6);
    clock.write(TIMINCA, kind === "82599" ? 2 << 24 | increment & 0xffffff : increment >>> 1);
    clock.now += 5;
    assertEquals(Math.round(clock.nanoseconds(shift)), 5.75e6);
  }
});

Deno.test("SystemTime of 82599 and X540 is set by SYSTIM and adjusted by TIMADJH", () => {
  const clock = new Clock("82599");
  clock.write(SYSTIML, 0xffff_fff0);
  clock.write(SYSTIMH, 7);
  assertEquals([clock.read(SYSTIML), clock.read(SYSTIMH)], [0xffff_fff0, 7]);
  clock.write(TIMADJL, 0x20);
  assertEquals(clock.read(SYSTIML), 0xffff_fff0, "the high half adjusts");
  clock.write(TIMADJH, 1);
  assertEquals([clock.read(SYSTIML), clock.read(SYSTIMH)], [0x10, 9]);
  clock.write(TIMADJH, 0x80000001);
  assertEquals([clock.read(SYSTIML), clock.read(SYSTIMH)], [0xffff_fff0, 7]);
});

Deno.test("SystemTime keeps the high word that belongs to the low one that was read", () => {
  const clock = new Clock("X540");
  clock.write(TIMINCA, INCREMENT_X540);
  clock.write(SYSTIML, 0xffff_fff0);
  const low = clock.read(SYSTIML);
  clock.now += 1;
  assertEquals([low, clock.read(SYSTIMH)], [0xffff_fff0, 0]);
  assert(clock.read(SYSTIMH) > 0, "the next read is of the time itself");
});

Deno.test("SystemTime of the X550 counts seconds, nanoseconds and residue", () => {
  const clock = new Clock("X550");
  clock.now += 5;
  assertEquals([clock.read(SYSTIML), clock.read(SYSTIMH)], [0, 0], "DISABLE_SYSTIME is set");
  clock.write(SYSTIML, 999_999_990);
  clock.write(SYSTIML, 1_000_000_000);
  assertEquals(clock.read(SYSTIML), 999_999_990, "more than a second is ignored");
  clock.write(TSAUXC, 0x40000000);
  clock.now += 1250;
  assertEquals([clock.read(SYSTIML), clock.read(SYSTIMH)], [249_999_990, 2]);
  clock.write(SYSTIML, 0);
  clock.write(SYSTIMH, 0);
  clock.write(TIMINCA, 1 << 30); // 12.5 ns and a quarter, each 12.5 ns
  clock.now += 125;
  assertEquals([clock.read(SYSTIML), clock.read(SYSTIMH)], [127_500_000, 0]);
  clock.write(TIMINCA, (1 << 31 | 1 << 30 | 1) >>> 0);
  clock.now += 125;
  // 10^7 periods of 2^-32 ns less than 12.25 ns.
  const residue = clock.read(SYSTIMR);
  clock.now += 1;
  assertEquals([residue, clock.read(SYSTIML)], [2 ** 32 - 1e7, 249_999_999]);
  clock.write(TSAUXC, 0xc0000000);
  clock.write(SYSTIML, 5);
  clock.write(TIMADJL, (1 << 31 | 6) >>> 0);
  assertEquals(clock.read(SYSTIML), 999_999_999);
  assertEquals(clock.read(SYSTIMH), 0xffff_ffff);
});

Deno.test("Nic.read32() returns the free running timer's microseconds", () => {
  const driver = TestDriver.ready();
  const time = () => {
    const value = driver.read(FRTIMER);
    return (value >>> 20) * 1e6 + (value >>> 10 & 0x3ff) * 1000 + (value & 0x3ff);
  };
  const before = time();
  let now = before;
  while (now < before + 2000) {
    const next = time();
    assert(next >= now, `${now} to ${next}`);
    now = next;
  }
});

Deno.test("Nic resets the system time with CTRL.RST", () => {
  const driver = TestDriver.ready();
  driver.write(SYSTIMH, 5);
  assertEquals(driver.read(SYSTIMH), 5);
  driver.write(TIMINCA, INCREMENT_82599);
  driver.reset();
  assertEquals([driver.read(TIMINCA), driver.read(SYSTIML), driver.read(SYSTIMH)], [0, 0, 0]);
});

/** The message of a time protocol: V2, or V1 if `control` is given. */
function message(type: number, control?: number): Uint8Array {
  const bytes = new Uint8Array(44);
  bytes[0] = control === undefined ? type : 0;
  bytes[1] = control === undefined ? 2 : 1;
  bytes.set([1, 2, 3, 4, 5, 6], 22);
  bytes.set([0xab, 0xcd], 30);
  bytes[32] = control ?? 0;
  return bytes;
}

/** A message in an Ethernet frame, with a VLAN tag if there is one. */
function onEthernet(type: number, tag?: number): Uint8Array {
  const head = [...STATION, 2, 0, 0, 0, 0, 1];
  if (tag !== undefined) head.push(0x81, 0, tag >> 8, tag & 0xff);
  const frame = new Uint8Array(64);
  frame.set([...head, 0x88, 0xf7, ...message(type)]);
  return frame;
}

const UDP: PacketOptions = {
  ...{ source: [10, 0, 0, 1], destination: [10, 0, 0, 2] },
  ...{ protocol: "udp", ports: [319, 319], payload: 44 },
};

function overUdp(bytes: Uint8Array, port = 319): Uint8Array {
  const options: PacketOptions = { ...UDP, ports: [1234, port] }, frame = packet(options);
  frame.set(bytes, headerOf(options));
  return frame;
}

/** A driver that stamps packets, with a running clock. */
function stamping(control: number, deviceId: number = DEVICE.SFP): TestDriver {
  const driver = TestDriver.ready({ deviceId });
  if (deviceId === DEVICE.X550) {
    driver.write(TSAUXC, driver.read(TSAUXC) & ~TSAUXC.DISABLE_SYSTIME);
  } else {
    driver.write(TIMINCA, INCREMENT_82599);
  }
  driver.write(SYSTIMH, 1000);
  driver.write(ETQF, FILTER, 3);
  driver.write(TSYNCRXCTL, TSYNCRXCTL.EN | control);
  return driver;
}

Deno.test("Nic.receive() stamps the messages that TSYNCRXCTL and RXMTRL select", () => {
  const sync = 0, delay = 1, path = 2, follow = 8;
  const cases: [string, number, number, Uint8Array, boolean][] = [
    ["V2, Ethernet", 0, 0x013f_0100, onEthernet(delay), true],
    ["V2, Ethernet, another type", 0, 0x013f_0100, onEthernet(sync), false],
    ["V2, Ethernet, path delay", 0, 0x013f_0100, onEthernet(path), true],
    ["V2, UDP, but Ethernet alone", 0, 0x013f_0100, overUdp(message(delay)), false],
    ["V2, UDP", 2 << 1, 0x013f_0100, overUdp(message(delay)), true],
    ["V2, UDP, another port", 2 << 1, 0x013f_0100, overUdp(message(delay), 320), false],
    ["V2, UDP, the port set", 2 << 1, 0x0140_0100, overUdp(message(delay), 320), true],
    ["V2 events", EVENT_V2, 0x013f_0000, overUdp(message(7)), true],
    ["V2 events, a general message", EVENT_V2, 0x013f_0000, overUdp(message(follow)), false],
    ["V2 events, with a tag", EVENT_V2, 0x013f_0000, onEthernet(3, 0x6005), true],
    ["V1, UDP", L4_V1, 0x013f_0001, overUdp(message(0, 1)), true],
    ["V1, UDP, another control field", L4_V1, 0x013f_0001, overUdp(message(0, 0)), false],
    ["V1, but a V2 message", L4_V1, 0x013f_0001, overUdp(message(1)), false],
    ["V1, Ethernet", L4_V1, 0x013f_0001, onEthernet(sync), false],
    ["no message at all", EVENT_V2, 0x013f_0000, frameTo(STATION, 64), false],
  ];
  for (const [name, control, select, frame, stamped] of cases) {
    const driver = stamping(control);
    driver.write(RXMTRL, select);
    driver.wire.waiting.push(frame);
    driver.nic.poll();
    assertEquals((driver.receiveStatus(0) & TS) !== 0, stamped, name);
    assertEquals((driver.read(TSYNCRXCTL) & TSYNCRXCTL.VALID) !== 0, stamped, name);
    assertEquals(driver.receiveLength(0), frame.length);
    if (!stamped) continue;
    assertEquals([driver.read(RXSATRL), driver.read(RXSATRH)], [0x01020304, 0xabcd0506], name);
    assertEquals(driver.broken(), []);
  }
});

Deno.test("Nic.receive() keeps a time stamp until RXSTMPH is read", () => {
  const driver = stamping(EVENT_V2);
  const receive = () => {
    driver.wire.waiting.push(onEthernet(0));
    driver.nic.poll();
  };
  const stamp = () => [driver.read(RXSTMPL), driver.nic.peek32(offsetOf(RXSTMPH))];
  receive();
  const first = stamp();
  assert(first[1] >= 1000);
  receive();
  assertEquals(stamp(), first);
  assertEquals([driver.receiveStatus(0) & TS, driver.receiveStatus(1) & TS], [TS, 0]);
  driver.read(RXSTMPH);
  assertEquals(driver.read(TSYNCRXCTL) & TSYNCRXCTL.VALID, 0);
  receive();
  assert(stamp().toString() !== first.toString());
  assertEquals(driver.receiveStatus(2) & TS, TS);
});

Deno.test("Nic.receive() reports the stamp of a packet that waited for its descriptor", () => {
  const driver = TestDriver.ready();
  driver.write(ETQF, FILTER);
  driver.write(TSYNCRXCTL, TSYNCRXCTL.EN | EVENT_V2);
  driver.write(SRRCTL, driver.read(SRRCTL) & ~SRRCTL.DROP_EN);
  const filler = Array.from({ length: 255 }, () => frameTo(STATION, 64));
  driver.wire.waiting.push(...filler, onEthernet(0), frameTo(STATION, 64));
  for (let i = 0; i < 8; i++) driver.nic.poll();
  assertEquals(driver.read(TSYNCRXCTL) & TSYNCRXCTL.VALID, 1, "stamped as it arrived");
  for (let i = 0; i < 2; i++) driver.fillReceive(i);
  driver.words[255 * 4 + 2] = 0;
  driver.write(RDT, 1);
  driver.nic.poll();
  assertEquals(driver.receiveStatus(255) & TS, TS);
  assertEquals(driver.receiveStatus(0) & TS, 0);
});

Deno.test("Nic.receive() of an X550 puts stamps behind packets if TSYNCRXCTL says so", () => {
  const driver = stamping(ALL | TSYNCRXCTL.TSIP_UT_EN | 1 << 24 + 3, DEVICE.X550);
  driver.set(HLREG0, HLREG0.RXCRCSTRP);
  const plain = frameTo(STATION, 100);
  driver.wire.waiting.push(plain, onEthernet(0, 3 << 13), onEthernet(0, 2 << 13));
  driver.nic.poll();
  assertEquals([0, 1, 2].map((i) => driver.receiveLength(i)), [108, 72, 64]);
  assertEquals([0, 1, 2].map((i) => driver.receiveStatus(i) & (TS | TSIP)), [TSIP, TSIP, 0]);
  const view = new DataView(driver.memory, RX_BUFFERS);
  assertEquals(driver.bytes.slice(RX_BUFFERS, RX_BUFFERS + 100), plain);
  const [first, second] = [100, 2048 + 64].map((at) =>
    view.getUint32(at + 4, true) * 1e9 + view.getUint32(at, true)
  );
  assert(first >= 1000e9 && second >= first, `${first} ns and ${second} ns`);
});

Deno.test("Nic records stamps behind packets whose CRC is not stripped", () => {
  const driver = TestDriver.ready({ deviceId: DEVICE.X550 });
  driver.write(HLREG0, driver.read(HLREG0) & ~HLREG0.RXCRCSTRP);
  driver.write(TSYNCRXCTL, TSYNCRXCTL.TSIP_UT_EN);
  assertEquals(driver.broken(), [
    "TSYNCRXCTL: HLREG0.RXCRCSTRP is set while stamps are put behind packets",
  ]);
});

const EOP_IFCS_RS_DEXT_DATA = 0x2b300000, TSTAMP = 1 << 19;

Deno.test("Nic.poll() stamps the packets sent with TSTAMP, until TXSTMPH is read", () => {
  const driver = stamping(0);
  const send = (index: number, command: number) => {
    driver.fillTransmit(index, 60, command);
    driver.write(TDT, index + 1);
    driver.nic.poll();
    return driver.read(TSYNCTXCTL) & TSYNCTXCTL.VALID;
  };
  assertEquals(send(0, EOP_IFCS_RS_DEXT_DATA | TSTAMP), 0, "TSYNCTXCTL.EN is 0");
  driver.write(TSYNCTXCTL, TSYNCTXCTL.EN | TSYNCTXCTL.VALID);
  assertEquals(driver.read(TSYNCTXCTL), TSYNCTXCTL.EN, "VALID is read only");
  assertEquals(send(1, EOP_IFCS_RS_DEXT_DATA), 0);
  assertEquals(send(2, EOP_IFCS_RS_DEXT_DATA | TSTAMP), 1);
  const low = driver.read(TXSTMPL);
  send(3, EOP_IFCS_RS_DEXT_DATA | TSTAMP);
  assertEquals(driver.read(TXSTMPL), low);
  assert(driver.read(TXSTMPH) >= 1000);
  assertEquals(driver.read(TSYNCTXCTL), TSYNCTXCTL.EN);
  send(4, EOP_IFCS_RS_DEXT_DATA | TSTAMP);
  assert(driver.read(TXSTMPL) !== low);
  assertEquals(driver.wire.sent.length, 5);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic of an X550 reports transmit stamps by TSICR and EICR", () => {
  const driver = stamping(0, DEVICE.X550), sync = EICR.GPI_SDP0;
  driver.write(TSYNCTXCTL, TSYNCTXCTL.EN);
  driver.write(TSIM, 2);
  let sent = 0;
  const stamp = () => {
    driver.fillTransmit(sent++, 60, EOP_IFCS_RS_DEXT_DATA | TSTAMP);
    driver.write(TDT, sent);
    driver.nic.poll();
    driver.read(TXSTMPH);
    return driver.read(EICR) & sync;
  };
  assertEquals(stamp(), sync);
  assertEquals(stamp(), 0, "until TSICR is cleared");
  assertEquals(driver.read(TSICR), 0);
  assertEquals(stamp(), sync);
  driver.write(TSICR, 2);
  assertEquals(stamp(), sync);
  driver.write(TSAUXC, TSAUXC.SAMP_AUT1);
  assertEquals(driver.read(AUXSTMP, 1), 0);
  assert(driver.read(AUXSTMP, 3) >= 1000);
  assertEquals(driver.read(TSAUXC), 0);
});
