import { assert, assertEquals } from "@std/assert";
import { delay } from "jsr:@std/async@1/delay";
import {
  ANLP1,
  AUTOC,
  AUTOC2,
  BPRC,
  CTRL,
  EEC,
  EERD,
  FCTRL,
  GORCH,
  GORCL,
  GPRC,
  GPTC,
  HLREG0,
  LINKS,
  MCSTCTRL,
  MPRC,
  MSCA,
  MSRWD,
  MTA,
  PRC1522,
  PRC64,
  PTC64,
  QBRC_L,
  QPRC,
  QPRDC,
  QPTC,
  RAH,
  RAL,
  RDH,
  RDRXCTL,
  RDT,
  ROC,
  RQSMR,
  RUC,
  RXCTRL,
  RXDCTL,
  RXMPC,
  RXNFGBCL,
  RXPBSIZE,
  SRRCTL,
  STATUS,
  SW_FW_SYNC,
  SWSM,
  TDH,
  TDT,
  TDWBAH,
  TDWBAL,
  TORL,
  TPR,
  TXDCTL,
} from "../../ixgbe/registers.ts";
import { offsetOf } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import {
  BROADCAST,
  frameTo,
  IOVA,
  RING,
  RX_BUFFERS,
  RX_RING,
  STATION,
  TestDriver,
  TX_BUFFERS,
  TX_RING,
} from "../support/model_driver.ts";

const OTHER = [2, 0, 0, 0, 7, 7];
const GROUP = [1, 0, 0x5e, 0, 0x12, 0x34];

function bytesOfBuffer(driver: TestDriver, index: number, length: number): Uint8Array {
  const start = RX_BUFFERS + index * 2048;
  return driver.bytes.slice(start, start + length);
}

Deno.test("Nic: a driver in the right order breaks no rule and moves frames", () => {
  const driver = TestDriver.ready();
  for (let n = 0; n < 600; n++) {
    driver.wire.waiting.push(frameTo(STATION, 60 + n % 1400, n));
    driver.nic.poll();
    const at = n % RING;
    assertEquals(driver.receiveStatus(at), 3);
    assertEquals(driver.receiveLength(at), 60 + n % 1400);
    assertEquals(bytesOfBuffer(driver, at, 60), frameTo(STATION, 60, n));
    driver.fillReceive(at);
    driver.write(RDT, at);
    driver.bytes.set(frameTo(OTHER, 60, n), TX_BUFFERS + at * 2048);
    driver.fillTransmit(at, 60);
    driver.write(TDT, (at + 1) % RING);
    driver.nic.poll();
    assertEquals(driver.words[TX_RING / 4 + at * 4 + 3], 1);
  }
  assertEquals(driver.wire.sent.length, 600);
  assertEquals(driver.wire.sent[599], frameTo(OTHER, 60, 599));
  assertEquals(driver.read(RDH), 600 % RING);
  assertEquals(driver.read(TDH), 600 % RING);
  assertEquals(driver.broken(), []);
  assertEquals(driver.nic.counters, {
    received: 600,
    missed: 0,
    filtered: 0,
    ignored: 0,
    transmitted: 600,
  });
});

Deno.test("Nic.poll() reads tails from shared doorbells", () => {
  const doorbells = new Uint32Array(0x20000 / 4);
  const driver = TestDriver.ready({ doorbells, pollDoorbells: true });
  driver.fillTransmit(0, 60);
  doorbells[offsetOf(TDT) / 4] = 1;
  driver.nic.poll();
  assertEquals(driver.wire.sent.length, 1);
  assertEquals(driver.read(TDT), 1);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.poll() spreads a long frame over descriptors with EOP on the last", () => {
  const driver = TestDriver.ready();
  driver.wire.waiting.push(frameTo(STATION, 5000));
  driver.nic.poll();
  assertEquals([0, 1, 2, 3].map((i) => driver.receiveStatus(i)), [1, 1, 3, 0]);
  assertEquals([0, 1, 2].map((i) => driver.receiveLength(i)), [2048, 2048, 904]);
  assertEquals(bytesOfBuffer(driver, 0, 5000), frameTo(STATION, 5000));
  assertEquals(driver.read(RDH), 3);
});

Deno.test("Nic.poll() gathers a frame from descriptors up to EOP", () => {
  const driver = TestDriver.ready();
  const frame = frameTo(OTHER, 103);
  driver.bytes.set(frame.subarray(0, 33), TX_BUFFERS);
  driver.bytes.set(frame.subarray(33), TX_BUFFERS + 2048);
  driver.fillTransmit(0, 33, 0x22300000, 103);
  driver.fillTransmit(1, 70);
  driver.write(TDT, 2);
  driver.nic.poll();
  assertEquals(driver.wire.sent, [frame]);
  assertEquals(driver.words[TX_RING / 4 + 3], 103 << 14); // no RS, no write-back
  assertEquals(driver.words[TX_RING / 4 + 7], 1);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.poll() sends legacy descriptors and pads short frames to 60 bytes", () => {
  const driver = TestDriver.ready();
  driver.bytes.fill(0xee, TX_BUFFERS, TX_BUFFERS + 100);
  driver.fillTransmit(0, 42, 0x0b000000);
  driver.words[TX_RING / 4 + 3] = 0;
  driver.write(TDT, 1);
  driver.nic.poll();
  assertEquals(driver.wire.sent[0].length, 60);
  assertEquals(driver.wire.sent[0].subarray(42), new Uint8Array(18));
  assertEquals(driver.words[TX_RING / 4 + 3], 1);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.poll() writes the head to memory if TDWBAL enables it", () => {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.write(TDWBAH, Math.floor(IOVA / 2 ** 32));
  driver.write(TDWBAL, (IOVA + 0x80000 | 1) >>> 0);
  driver.enableTransmit();
  driver.fillTransmit(0, 60);
  driver.fillTransmit(1, 60);
  driver.write(TDT, 2);
  driver.nic.poll();
  assertEquals(driver.words[0x80000 / 4], 2);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.receive() fills legacy descriptors if SRRCTL selects them", () => {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.write(SRRCTL, SRRCTL.DROP_EN | 2);
  driver.enableReceive();
  driver.wire.waiting.push(frameTo(STATION, 77));
  driver.nic.poll();
  assertEquals(driver.words.subarray(RX_RING / 4 + 2, RX_RING / 4 + 4), new Uint32Array([77, 3]));
});

Deno.test("Nic.receive() stops at the tail, and drops or keeps frames by DROP_EN", () => {
  const dropping = TestDriver.ready();
  for (let i = 0; i < RING + 9; i++) dropping.wire.waiting.push(frameTo(STATION, 60));
  for (let i = 0; i < 9; i++) dropping.nic.poll();
  assertEquals(dropping.read(RDH), RING - 1);
  assertEquals(dropping.wire.missed, 10);
  assertEquals(dropping.read(QPRDC), 10);
  assertEquals(dropping.receiveStatus(RING - 1), 0);

  const keeping = new TestDriver();
  keeping.reset();
  keeping.configure();
  keeping.write(RXPBSIZE, 1 << 10);
  keeping.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED | 2);
  keeping.enableReceive();
  for (let i = 0; i < RING + 29; i++) keeping.wire.waiting.push(frameTo(STATION, 60, i));
  for (let i = 0; i < 9; i++) keeping.nic.poll();
  // 1 KB has room for 16 frames of 16 words: one for the length, 15 for the bytes.
  assertEquals(keeping.wire.missed, 30 - 16);
  assertEquals(keeping.read(RXMPC), 14);
  assertEquals(keeping.read(QPRDC), 0);
  for (let i = 0; i < 20; i++) keeping.fillReceive(i);
  keeping.fillReceive(RING - 1);
  keeping.write(RDT, 20);
  keeping.nic.poll();
  assertEquals(keeping.read(RDH), 15);
  assertEquals(bytesOfBuffer(keeping, RING - 1, 60), frameTo(STATION, 60, RING - 1));
  assertEquals(bytesOfBuffer(keeping, 14, 60), frameTo(STATION, 60, RING + 14));
  assertEquals(keeping.broken(), []);
});

Deno.test("Nic.receive() appends the CRC if it is not stripped", () => {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.write(RDRXCTL, driver.read(RDRXCTL) & ~RDRXCTL.CRCSTRIP);
  driver.write(HLREG0, driver.read(HLREG0) & ~HLREG0.RXCRCSTRP);
  driver.enableReceive();
  driver.wire.waiting.push(new Uint8Array(60).fill(0).map((_, i) => i < 6 ? STATION[i] : 0));
  driver.nic.poll();
  assertEquals(driver.receiveLength(0), 64);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.receive() filters by address, broadcast, multicast and promiscuous bits", () => {
  const accepts = (destination: number[], prepare: (driver: TestDriver) => void = () => {}) => {
    const driver = new TestDriver();
    driver.reset();
    driver.configure();
    prepare(driver);
    driver.enableReceive();
    driver.wire.waiting.push(frameTo(destination, 60));
    driver.nic.poll();
    assertEquals(driver.broken(), []);
    return driver.nic.counters.received === 1;
  };
  assertEquals(accepts(STATION), true);
  assertEquals(accepts(OTHER), false);
  assertEquals(accepts(OTHER, (d) => d.set(FCTRL, FCTRL.UPE)), true);
  const second = (valid: number) => (d: TestDriver) => {
    d.write(RAL, 2, 1);
    d.write(RAH, valid | 0x0707, 1);
  };
  assertEquals(accepts(OTHER, second(RAH.AV)), true);
  assertEquals(accepts(OTHER, second(0)), false);
  assertEquals(accepts(STATION, (d) => d.write(RAH, d.read(RAH) & ~RAH.AV)), false);
  assertEquals(accepts(BROADCAST), true);
  assertEquals(accepts(BROADCAST, (d) => d.write(FCTRL, 0)), false);
  assertEquals(accepts(GROUP), false);
  assertEquals(accepts(GROUP, (d) => d.set(FCTRL, FCTRL.MPE)), true);
  const hashed = (enable: number, hash: number) => (d: TestDriver) => {
    d.write(MTA, 1 << (hash & 31), hash >>> 5);
    d.write(MCSTCTRL, enable);
  };
  // Bits 47:36 of 01:00:5e:00:12:34 are 0x341; MO 3 takes bits 43:32 instead.
  assertEquals(accepts(GROUP, hashed(MCSTCTRL.MFE, 0x341)), true);
  assertEquals(accepts(GROUP, hashed(0, 0x341)), false);
  assertEquals(accepts(GROUP, hashed(MCSTCTRL.MFE, 0x342)), false);
  assertEquals(accepts(GROUP, hashed(MCSTCTRL.MFE | 3, 0x412)), true);
});

Deno.test("Nic.read32() clears statistics, counts by size and kind, and maps queues", () => {
  const driver = new TestDriver();
  driver.reset();
  driver.configure();
  driver.set(FCTRL, FCTRL.MPE);
  driver.write(RQSMR, 5);
  driver.write(HLREG0, driver.read(HLREG0) & ~HLREG0.JUMBOEN);
  driver.enableTransmit();
  driver.enableReceive();
  driver.wire.waiting.push(
    frameTo(STATION, 60),
    frameTo(GROUP, 60),
    frameTo(BROADCAST, 1514),
    frameTo(OTHER, 60),
    frameTo(STATION, 1600),
    frameTo(STATION, 59),
  );
  driver.nic.poll();
  driver.fillTransmit(0, 60);
  driver.write(TDT, 1);
  driver.nic.poll();
  const all = [driver.read(TORL), driver.read(RXNFGBCL)];
  assertEquals(all, [64 * 3 + 1518, 64 * 3 + 1518], "with the frame that the filters refuse");
  const counts = [GPRC, PRC64, PRC1522, BPRC, MPRC, ROC, RUC, TPR, GORCL, GORCH, GPTC, PTC64];
  assertEquals(counts.map((register) => driver.read(register)), [
    3,
    2,
    1,
    1,
    1,
    1,
    1,
    6,
    64 * 2 + 1518,
    0,
    1,
    1,
  ]);
  assertEquals(counts.map((register) => driver.read(register)), counts.map(() => 0));
  assertEquals([QPRC, QBRC_L, QPTC].map((register) => driver.read(register, 5)), [3, 1634, 0]);
  assertEquals(driver.read(QPTC), 1);
  assertEquals(driver.read(QPRC), 0);
});

Deno.test("Nic.write32() of CTRL.RST resets everything", () => {
  const driver = TestDriver.ready();
  driver.wire.waiting.push(frameTo(STATION, 60));
  driver.nic.poll();
  driver.write(RXDCTL, 0);
  driver.write(RXCTRL, 0);
  driver.write(RAH, 0);
  driver.reset();
  assertEquals(driver.read(CTRL), 0);
  assertEquals(driver.read(RXCTRL), 0);
  assertEquals(driver.read(TXDCTL), 0);
  assertEquals(driver.read(RDT), 0);
  assertEquals(driver.read(GPRC), 0);
  assertEquals(driver.read(RAH), (RAH.AV | STATION[5] << 8 | STATION[4]) >>> 0);
  assertEquals(driver.nic.receiving, false);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.read32() shows CTRL.GIO_DIS in STATUS, and DMA stops", () => {
  const driver = TestDriver.ready();
  driver.write(RXDCTL, 0);
  driver.set(CTRL, CTRL.GIO_DIS);
  assertEquals(driver.read(STATUS) & STATUS.GIO_MASTER_ENABLE, 0);
  driver.fillTransmit(0, 60);
  driver.write(TDT, 1);
  driver.nic.poll();
  assertEquals(driver.wire.sent.length, 0);
});

Deno.test("Nic: the words of the EEPROM add up to 0xBABA and contain the station address", () => {
  const driver = new TestDriver();
  const word = (address: number) => {
    driver.write(EERD, address << 2 | EERD.START);
    assertEquals(driver.read(EERD) & EERD.DONE, EERD.DONE);
    return driver.read(EERD) >>> 16;
  };
  let sum = 0;
  for (let i = 0; i <= 0x3f; i++) sum += word(i);
  for (let pointer = 3; pointer < 0xf; pointer++) {
    const start = word(pointer);
    if (start === 0xffff || start === 0) continue;
    for (let i = 1; i <= word(start); i++) sum += word(start + i);
  }
  assertEquals(sum & 0xffff, 0xbaba);
  assertEquals(word(word(0x0b) + 1), STATION[0] | STATION[1] << 8);
});

Deno.test("Nic: semaphores are taken by reading SWSM, and survive a reset", () => {
  const driver = new TestDriver();
  assertEquals(driver.read(SWSM) & SWSM.SMBI, 0);
  assertEquals(driver.read(SWSM) & SWSM.SMBI, SWSM.SMBI);
  driver.set(SWSM, SWSM.SWESMBI);
  driver.write(SW_FW_SYNC, SW_FW_SYNC.SW_PHY_SM0);
  driver.reset();
  assertEquals(driver.read(SW_FW_SYNC), SW_FW_SYNC.SW_PHY_SM0);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.setLink() changes LINKS, at the device's speeds", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X550 });
  const speed = (...mbps: number[]) => {
    driver.nic.setLink(true, ...mbps);
    return driver.read(LINKS);
  };
  assertEquals(speed(10000), LINKS.UP | LINKS.SPEED_10G);
  assertEquals(speed(1000), (LINKS.UP | LINKS.SPEED_1G) >>> 0);
  assertEquals(speed(100), LINKS.UP | LINKS.SPEED_100M);
  assertEquals(speed(2500), 0, "the PHY does not advertise it");
  assertEquals(speed(2500, 1000), (LINKS.UP | LINKS.SPEED_1G) >>> 0);
  driver.nic.setLink(false);
  assertEquals(driver.read(LINKS), 0);
});

Deno.test("Nic: there is no link in a link mode that the board does not have", () => {
  const driver = new TestDriver({ deviceId: DEVICE.KX4 });
  assertEquals(driver.read(LINKS) & LINKS.UP, LINKS.UP);
  driver.write(AUTOC, driver.read(AUTOC) & ~AUTOC.LMS | AUTOC.LMS_10G_SERIAL | AUTOC.RESTART_AN);
  driver.read(LINKS);
  assertEquals(driver.read(LINKS) & LINKS.UP, 0);
  assertEquals(driver.read(AUTOC) & AUTOC.RESTART_AN, 0);
});

Deno.test("Nic: a backplane has the highest speed that both ends advertise, after a restart", () => {
  const { KX_SUPP_KX4: KX4, KX_SUPP_KX: KX, KX_SUPP, KR_SUPP: KR } = AUTOC;
  const speeds = { 0: 0, 1000: LINKS.SPEED_1G >>> 0, 10000: LINKS.SPEED_10G };
  const cases: [deviceId: number, bits: number, partner: number[], mbps: 0 | 1000 | 10000][] = [
    [DEVICE.KX4, KX4 | KX, [1000, 10000], 10000],
    [DEVICE.KX4, KX4 | KX, [1000], 1000],
    [DEVICE.KX4, KX, [1000, 10000], 1000],
    [DEVICE.KX4, KX4, [1000], 0],
    [DEVICE.KR, KR, [1000, 10000], 10000],
    [DEVICE.KR, KX, [10000], 0],
  ];
  for (const [deviceId, bits, partner, mbps] of cases) {
    const driver = new TestDriver({ deviceId, partner });
    const before = driver.read(LINKS), autoc = driver.read(AUTOC) & ~(KX_SUPP | KR) | bits;
    driver.write(AUTOC, autoc);
    assertEquals(driver.read(LINKS), before, "it still advertises what it did");
    driver.write(AUTOC, autoc | AUTOC.RESTART_AN);
    assertEquals(driver.read(LINKS) & LINKS.UP, 0);
    const links = driver.read(LINKS);
    assertEquals([links & LINKS.UP, (links & LINKS.SPEED) >>> 0], [
      ...[mbps > 0 ? LINKS.UP : 0, speeds[mbps]],
    ]);
    assertEquals((links & LINKS.KX_AN_COMP) !== 0, mbps > 0);
  }
});

Deno.test("Nic: MDIO reads the PHY's identifier on X540 and nothing on the 82599", () => {
  const identifier = (deviceId: number) => {
    const driver = new TestDriver({ deviceId });
    return [2, 3].map((address) => {
      driver.write(MSCA, address | 1 << 16 | MSCA.OP_ADDRESS | MSCA.MDI_COMMAND);
      driver.write(MSCA, address | 1 << 16 | MSCA.OP_READ | MSCA.MDI_COMMAND);
      assertEquals(driver.read(MSCA) & MSCA.MDI_COMMAND, 0);
      return driver.read(MSRWD) >>> 16;
    });
  };
  assertEquals(identifier(DEVICE.X540), [0x0154, 0x0200]);
  assertEquals(identifier(DEVICE.SFP), [0xffff, 0xffff]);
});

Deno.test("Nic: frames are lost while the link is down, and HLREG0.LPBK returns sent frames", () => {
  const driver = TestDriver.ready();
  driver.nic.setLink(false);
  driver.wire.waiting.push(frameTo(STATION, 60));
  driver.nic.poll();
  assertEquals(driver.nic.counters.ignored, 1);
  driver.set(HLREG0, HLREG0.LPBK);
  driver.bytes.set(frameTo(STATION, 60), TX_BUFFERS);
  driver.fillTransmit(0, 60);
  driver.write(TDT, 1);
  driver.nic.poll();
  assertEquals(driver.receiveStatus(0), 3);
  assertEquals(driver.wire.sent.length, 0);
});

Deno.test("Nic: HLREG0.LPBK cuts the port off from its wire in both directions", () => {
  const driver = TestDriver.ready();
  driver.set(HLREG0, HLREG0.LPBK);
  driver.wire.waiting.push(frameTo(BROADCAST, 99));
  driver.nic.poll();
  driver.bytes.set(frameTo(STATION, 60), TX_BUFFERS);
  driver.fillTransmit(0, 60);
  driver.write(TDT, 1);
  driver.nic.poll();
  assertEquals([driver.wire.waiting.length, driver.wire.sent.length, driver.read(RDH)], [0, 0, 1]);
  assertEquals([driver.receiveLength(0), driver.nic.counters.ignored], [60, 1]);
  driver.write(HLREG0, driver.read(HLREG0) & ~HLREG0.LPBK);
  driver.wire.waiting.push(frameTo(BROADCAST, 99));
  driver.nic.poll();
  assertEquals(driver.receiveLength(1), 99);
});

Deno.test("A blank EEPROM has no signature and no address, and is read all the same", () => {
  const driver = new TestDriver({ blankEeprom: true });
  driver.reset();
  const bits = EEC.EE_PRES | EEC.AUTO_RD;
  assertEquals([driver.read(EEC) & bits, driver.read(RAL)], [EEC.AUTO_RD, 0]);
  assertEquals(driver.read(RAH) & RAH.RAH, 0);
  assertEquals(new TestDriver().read(EEC) & EEC.EE_PRES, EEC.EE_PRES);
});

/** What a read returns that no device answers. */
const ONES = 0xffffffff;

Deno.test("Nic.remove() answers no access any more, and moves nothing", () => {
  const driver = TestDriver.ready();
  driver.fillTransmit(0, 60);
  driver.nic.remove();
  driver.write(TDT, 1);
  driver.wire.waiting.push(frameTo(STATION, 60));
  assertEquals([driver.nic.poll(), driver.wire.sent.length], [0, 0]);
  for (const register of [STATUS, LINKS, GPRC, TDT]) {
    assertEquals([driver.read(register), driver.nic.peek32(offsetOf(register))], [ONES, ONES]);
  }
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.disconnect() stops DMA and drops the mappings", () => {
  const driver = TestDriver.ready();
  driver.nic.disconnect();
  assertEquals(driver.nic.receiving, false);
  assertEquals(driver.nic.dma.resolve(IOVA >>> 0, 1, 1), false);
  driver.wire.waiting.push(frameTo(STATION, 60));
  driver.nic.poll();
  assertEquals(driver.receiveStatus(0), 0);
  assertEquals(driver.broken(), []);
});

Deno.test("Nic.write32() reaches SRRCTL and RAL at their second offsets", () => {
  const driver = new TestDriver();
  driver.nic.write32(0x2100 + 4 * 3, 4);
  assertEquals(driver.read(SRRCTL, 3), 4);
  driver.nic.write32(0x5408, 0x1234);
  assertEquals(driver.read(RAL, 1), 0x1234);
  assertEquals(driver.nic.read32(0x1ffff0), 0);
});

Deno.test("Nic: negotiation begins in backplane modes, and another mode does not undo it", () => {
  const driver = new TestDriver();
  const begun = () => (driver.read(ANLP1) & ANLP1.AN_STATE) !== 0;
  const toggle = () => driver.write(AUTOC, driver.read(AUTOC) ^ AUTOC.LMS_KX4_KX_KR);
  assert(!begun());
  toggle();
  assert(begun());
  toggle();
  assert(begun());
  const board = new TestDriver({ deviceId: DEVICE.KX4 });
  board.write(AUTOC, board.read(AUTOC) ^ AUTOC.LMS_KX4_KX_KR);
  assert((board.read(ANLP1) & ANLP1.AN_STATE) !== 0);
});

Deno.test("Nic has not completed its initialisation at the first read, however late", async () => {
  const driver = TestDriver.ready();
  for (let reset = 0; reset < 2; reset++) {
    driver.nic.reset("function");
    await delay(5);
    for (const [register, bit] of [[EEC, EEC.AUTO_RD], [RDRXCTL, RDRXCTL.DMAIDONE]] as const) {
      assertEquals([1, 2, 3].map(() => driver.read(register) & bit), [0, bit, bit]);
    }
  }
});

Deno.test("Nic with LINK_DISABLE in the EEPROM has a link once that is cleared, until a reset", () => {
  const driver = TestDriver.ready({ linkDisabled: true });
  const link = () => (driver.read(LINKS) & LINKS.UP) !== 0;
  assertEquals([link(), driver.nic.receiving], [false, false]);
  driver.write(AUTOC2, driver.read(AUTOC2) & ~AUTOC2.LINK_DISABLE);
  assertEquals([link(), driver.nic.receiving], [true, true]);
  driver.reset();
  assertEquals(link(), false);
});

Deno.test("Nic.receive() of X540 and X550 drops packets above RXDCTL.RLPML", () => {
  for (const deviceId of [DEVICE.SFP, DEVICE.X540, DEVICE.X550]) {
    const driver = TestDriver.ready({ deviceId });
    driver.set(RXDCTL, RXDCTL.RLPML_EN | 1000);
    driver.wire.waiting.push(frameTo(STATION, 1000), frameTo(STATION, 1001));
    driver.nic.poll();
    const dropped = deviceId === DEVICE.SFP ? 0 : 1;
    assertEquals([driver.read(QPRC), driver.read(QPRDC)], [2 - dropped, dropped]);
    driver.write(RXDCTL, RXDCTL.ENABLE);
    driver.wire.waiting.push(frameTo(STATION, 1001));
    driver.nic.poll();
    assertEquals([driver.read(QPRC), driver.read(QPRDC)], [1, 0]);
    assertEquals(driver.broken(), []);
  }
});
