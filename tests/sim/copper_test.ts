/** The NIC model as X540 and X550: their PHY on the MDIO bus, and their firmware. */

import { assert, assertEquals } from "@std/assert";
import { delay } from "../../native/clock.ts";
import {
  AUTOC,
  CTRL,
  EEMNGCTL,
  EICR,
  ETAG_ETYPE,
  FLEX_MNG,
  HICR,
  I2CPARAMS,
  LINKS,
  MMNGC,
  MSCA,
  MSRWD,
  RDRXCTL,
  RXCTRL,
  STATUS as DEVICE_STATUS,
  SW_FW_SYNC,
} from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { TestDriver } from "../support/model_driver.ts";

const PMA_PMD = 1, WIS = 2, AUTO_NEGOTIATION = 7, GLOBAL = 30;
const CONTROL = 0, STATUS = 1, LOW_POWER = 1 << 11, RESTART = 1 << 9;
const MAC_POINTER = 0x0b, PBA_GUARD = 0x15;

function transfer(
  driver: TestDriver,
  device: number,
  address: number,
  operation: number,
  phy = 0,
): void {
  for (const code of [MSCA.OP_ADDRESS, operation]) {
    driver.write(MSCA, address | device << 16 | phy << 21 | code | MSCA.MDI_COMMAND);
    assertEquals(driver.read(MSCA) & MSCA.MDI_COMMAND, 0);
  }
}

function readPhy(driver: TestDriver, device: number, address: number, phy = 0): number {
  transfer(driver, device, address, MSCA.OP_READ, phy);
  return driver.read(MSRWD) >>> 16;
}

function writePhy(driver: TestDriver, device: number, address: number, value: number): void {
  driver.write(MSRWD, value);
  transfer(driver, device, address, MSCA.OP_WRITE);
}

function holdPhy(driver: TestDriver): void {
  driver.write(SW_FW_SYNC, SW_FW_SYNC.SW_PHY_SM0);
}

/** Returns the state of the link, after the read that may show the old one. */
function links(driver: TestDriver): number {
  driver.read(LINKS);
  return driver.read(LINKS);
}

/** Returns whether the link is up and stays up. */
function linkUp(driver: TestDriver): boolean {
  return (links(driver) & LINKS.UP) !== 0;
}

Deno.test("Phy lists its devices, and no other device answers", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X540 });
  const devices = readPhy(driver, PMA_PMD, 5) | readPhy(driver, PMA_PMD, 6) << 16;
  assertEquals(devices, 1 << 1 | 1 << 3 | 1 << 4 | 1 << 7 | 1 << 30);
  assertEquals([readPhy(driver, PMA_PMD, 8) >>> 14, readPhy(driver, WIS, 8)], [2, 0xffff]);
});

Deno.test("Phy without power has no link", () => {
  for (const deviceId of [DEVICE.X540, DEVICE.X550]) {
    const driver = new TestDriver({ deviceId });
    assert(linkUp(driver));
    writePhy(driver, GLOBAL, CONTROL, LOW_POWER);
    assert(!linkUp(driver));
    assertEquals(readPhy(driver, PMA_PMD, STATUS), 0);
    writePhy(driver, GLOBAL, CONTROL, 0);
    assert(linkUp(driver));
    assertEquals(driver.read(EICR) & EICR.LSC, EICR.LSC);
  }
});

Deno.test("Phy keeps low power over resets and the end of a driver, until power-on", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X540 });
  holdPhy(driver);
  writePhy(driver, GLOBAL, CONTROL, LOW_POWER);
  assertEquals(driver.broken(), []);
  driver.reset();
  assert(!linkUp(driver));
  driver.nic.reset("function");
  assert(!linkUp(driver));
  driver.nic.disconnect();
  assert(!linkUp(driver));
  driver.nic.reset("power-on");
  assert(linkUp(driver));
});

Deno.test("Phy requires its port's semaphore", () => {
  const rule = "MSCA: a command comes while the port's SW_PHY_SM is held (X540, X550)";
  for (const deviceId of [DEVICE.X540, DEVICE.X550]) {
    const second = new TestDriver({ deviceId, lanId: 1 });
    holdPhy(second); // the other port's semaphore
    readPhy(second, PMA_PMD, STATUS, deviceId === DEVICE.X550 ? 1 : 0);
    assertEquals(second.broken(), [rule]);
  }
  const old = new TestDriver(); // the 82599 has no PHY that firmware uses
  readPhy(old, PMA_PMD, STATUS);
  assertEquals(old.broken(), []);
});

Deno.test("Phy is left alone for 100 ms after a reset, and the reset wants its semaphore", async () => {
  const rule = "MSCA: no command for 100 ms after CTRL.RST (X540, X550)";
  for (const deviceId of [DEVICE.X540, DEVICE.X550]) {
    const driver = new TestDriver({ deviceId });
    driver.reset();
    holdPhy(driver);
    readPhy(driver, PMA_PMD, STATUS);
    assertEquals(driver.broken(), [rule]);
    driver.nic.rules.clear();
    await delay(100);
    readPhy(driver, PMA_PMD, STATUS);
    assertEquals(driver.broken(), []);
    driver.write(SW_FW_SYNC, 0);
    driver.set(CTRL, CTRL.GIO_DIS);
    driver.read(DEVICE_STATUS);
    driver.set(CTRL, CTRL.RST);
    assertEquals(driver.broken(), [
      "CTRL: reset only while the port's SW_PHY_SM is held (X540, X550)",
    ]);
  }
});

Deno.test("Firmware holds the PHY, and is done with its configuration, as long as it is told", () => {
  const held = (holdsPhy: number, lanId: 0 | 1) => {
    const driver = new TestDriver({ deviceId: DEVICE.X540, lanId, firmware: { holdsPhy } });
    const sync = driver.read(SW_FW_SYNC);
    return [(sync & SW_FW_SYNC.FW_PHY_SM0) !== 0, (sync & SW_FW_SYNC.FW_PHY_SM1) !== 0];
  };
  assertEquals([held(0, 0), held(Infinity, 0), held(Infinity, 1)], [
    [false, false],
    [true, false],
    [false, true],
  ]);
  const done = (configDone: number) => {
    return new TestDriver({ firmware: { configDone } }).read(EEMNGCTL) & EEMNGCTL.CFG_DONE0;
  };
  assertEquals([done(0), done(Infinity)], [EEMNGCTL.CFG_DONE0, 0]);
});

Deno.test("A management controller's veto forbids link reset and negotiation (82599)", () => {
  const driver = new TestDriver({ firmware: { veto: true } });
  assertEquals(driver.read(MMNGC), MMNGC.MNG_VETO);
  driver.reset();
  assertEquals(driver.broken(), []);
  driver.set(AUTOC, AUTOC.RESTART_AN);
  driver.set(CTRL, CTRL.GIO_DIS);
  driver.read(DEVICE_STATUS);
  driver.set(CTRL, CTRL.RST | CTRL.LRST);
  assertEquals(driver.broken(), [
    "AUTOC: negotiation is not restarted while MMNGC.MNG_VETO is set",
    "CTRL: no link reset while MMNGC.MNG_VETO is set",
  ]);
});

/** The registers and bits that advertise a speed in Mb/s. */
const ADVERTISED: readonly (readonly [mbps: number, register: number, bit: number])[] = [
  [100, 0x10, 1 << 8],
  [1000, 0xc400, 1 << 15],
  [2500, 0xc400, 1 << 10],
  [5000, 0xc400, 1 << 11],
  [10000, 0x20, 1 << 12],
];

/** Advertises speeds, and restarts negotiation unless told otherwise. */
function advertise(driver: TestDriver, speeds: readonly number[], restart = true): void {
  for (const [mbps, register, bit] of ADVERTISED) {
    const before = readPhy(driver, AUTO_NEGOTIATION, register);
    const after = speeds.includes(mbps) ? before | bit : before & ~bit;
    writePhy(driver, AUTO_NEGOTIATION, register, after);
  }
  const control = readPhy(driver, AUTO_NEGOTIATION, CONTROL);
  if (restart) writePhy(driver, AUTO_NEGOTIATION, CONTROL, control | RESTART);
}

/** LINKS while the link is up, by speed. */
const AT: Readonly<Record<number, number>> = {
  100: LINKS.UP | LINKS.SPEED_100M,
  1000: (LINKS.UP | LINKS.SPEED_1G) >>> 0,
  2500: LINKS.UP | LINKS.SPEED_10G | LINKS.SPEED_NON_STD,
  5000: LINKS.UP | LINKS.SPEED_100M | LINKS.SPEED_NON_STD,
  10000: LINKS.UP | LINKS.SPEED_10G,
};

Deno.test("Phy: the link has the highest speed that both ends advertise", () => {
  const cases: [deviceId: number, own: number[], partner: number[], mbps: number][] = [
    ...[100, 1000, 10000].map((n) => [DEVICE.X540, [n], [100, 1000, 10000], n] as never),
    ...[100, 1000, 2500, 5000, 10000].map((n) => [DEVICE.X550, [n, 100], [100, n], n] as never),
    [DEVICE.X550, [100, 1000, 2500, 5000], [1000, 2500, 10000], 2500],
    [DEVICE.X550, [100, 1000], [10000, 5000], 0],
    [DEVICE.X540, [2500, 5000], [2500, 5000], 0], // bits that an X540 does not have
  ];
  for (const [deviceId, own, partner, mbps] of cases) {
    const driver = new TestDriver({ deviceId, partner });
    holdPhy(driver);
    advertise(driver, own);
    assertEquals(links(driver), AT[mbps] ?? 0, `${own} and ${partner}`);
    const offered = ADVERTISED.filter(([, register, bit]) => {
      const where = { 0x10: 0x13, 0xc400: 0xe820, 0x20: 0x21 }[register]!;
      return readPhy(driver, AUTO_NEGOTIATION, where) & (where === 0x21 ? 1 << 11 : bit);
    });
    assertEquals(offered.map(([mbps]) => mbps), [...new Set(partner)].toSorted((a, b) => a - b));
    const [rate, state] = [0xc800, 0xc810].map((at) => readPhy(driver, AUTO_NEGOTIATION, at));
    assertEquals(rate >>> 1, [0, 100, 1000, 10000, 2500, 5000].indexOf(mbps));
    assertEquals([state >>> 9 & 0x1f, state >>> 14], [mbps > 0 ? 4 : 2, 3]);
    assertEquals(driver.broken(), []);
  }
});

Deno.test("Phy advertises what is written once negotiation is restarted, or begins anew", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X550 });
  assertEquals(links(driver), AT[10000]);
  advertise(driver, [100], false);
  assertEquals(links(driver), AT[10000]);
  driver.nic.setLink(false);
  assertEquals(readPhy(driver, AUTO_NEGOTIATION, 0xc810), 0x0b << 9, "the cable is cut");
  driver.nic.setLink(true);
  assertEquals(links(driver), AT[100]);
});

Deno.test("Phy without negotiation has no link", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X540 });
  writePhy(driver, AUTO_NEGOTIATION, CONTROL, 0);
  assertEquals(linkUp(driver), false);
});

Deno.test("Phy of an X550 answers at its port's number, and nowhere else", () => {
  const rule = "MSCA: PHY_ADD is set to the port number as in STATUS.LAN_ID (X550)";
  for (const lanId of [0, 1] as const) {
    const driver = new TestDriver({ deviceId: DEVICE.X550, lanId });
    driver.write(SW_FW_SYNC, SW_FW_SYNC.SW_PHY_SM0 | SW_FW_SYNC.SW_PHY_SM1);
    assertEquals(readPhy(driver, PMA_PMD, 2, lanId), 0x0154);
    assertEquals(driver.broken(), []);
    assertEquals(readPhy(driver, PMA_PMD, 2, 1 - lanId), 0xffff);
    assertEquals(driver.broken(), [rule]);
  }
  const older = new TestDriver({ deviceId: DEVICE.X540, lanId: 1 });
  older.write(SW_FW_SYNC, SW_FW_SYNC.SW_PHY_SM1);
  assertEquals([readPhy(older, PMA_PMD, 2, 0), readPhy(older, PMA_PMD, 2, 1)], [0x0154, 0xffff]);
  assertEquals(older.broken(), []);
});

Deno.test("Phy negotiates again on a restart: the link goes down and up", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X550 });
  assert(linkUp(driver));
  driver.read(EICR);
  const control = readPhy(driver, AUTO_NEGOTIATION, CONTROL);
  writePhy(driver, AUTO_NEGOTIATION, CONTROL, control | RESTART);
  assertEquals(readPhy(driver, AUTO_NEGOTIATION, CONTROL), control);
  assertEquals(driver.read(EICR) & EICR.LSC, EICR.LSC);
  assertEquals(driver.read(LINKS) & LINKS.UP, 0);
  assertEquals(driver.read(LINKS) & LINKS.UP, LINKS.UP);
});

/** Gives the firmware a command; returns whether it was answered, and the answer. */
function command(driver: TestDriver, bytes: number[]): [answered: boolean, words: number[]] {
  const words = new DataView(new ArrayBuffer(16));
  bytes.forEach((byte, i) => words.setUint8(i, byte));
  for (let i = 0; i < 4; i++) driver.write(FLEX_MNG, words.getUint32(4 * i, true), i);
  driver.write(HICR, driver.read(HICR) | HICR.C);
  assertEquals(driver.read(HICR) & HICR.C, HICR.C, "the first read comes too early");
  const status = driver.read(HICR);
  assertEquals(status & HICR.C, 0);
  const answer = [0, 1, 2, 3].map((i) => driver.read(FLEX_MNG, i));
  return [(status & HICR.SV) !== 0, answer];
}

function withFirmware(deviceId: number = DEVICE.X550): TestDriver {
  const driver = new TestDriver({ deviceId });
  driver.write(SW_FW_SYNC, driver.read(SW_FW_SYNC) | SW_FW_SYNC.SW_MNG_SM);
  return driver;
}

Deno.test("The firmware reads the EEPROM", () => {
  const driver = withFirmware();
  const read = (word: number, words: number) =>
    command(driver, [0x31, 0, 6, 0xff, 0, 0, word >> 7, word << 1 & 0xff, 0, 2 * words]);
  const [answered, [header, , , data]] = read(PBA_GUARD, 1);
  assert(answered);
  assertEquals([header >>> 16 & 0xff, data & 0xffff], [1, 0xfafa]);
  const pointer = read(MAC_POINTER, 1)[1][3] & 0xffff;
  assertEquals(read(pointer + 1, 2)[1][3], 0x0000_0002, "the station address begins 02 00 00 00");
  assertEquals(driver.broken(), []);
  assert(!read(8191, 2)[0]);
  assertEquals(driver.broken(), ["FLEX_MNG: a command reads at most 512 words, inside the EEPROM"]);
});

Deno.test("The firmware disables the receiver, and takes a driver's version", () => {
  const driver = withFirmware();
  driver.openReceivePath();
  const rules = driver.broken();
  assert(command(driver, [0xde, 1, 0, 0xff, 0])[0]);
  assertEquals(driver.read(RXCTRL) & RXCTRL.RXEN, 0);
  const version = [0xdd, 5, 0, 0, 0, 1, 2, 3, 4];
  version[3] = 256 - version.reduce((sum, byte) => sum + byte) & 0xff;
  const [answered, [header]] = command(driver, version);
  assertEquals([answered, header >>> 16 & 0xff], [true, 1]);
  assert(!command(driver, [0x99, 0, 0, 0xff])[0], "an unknown command");
  assertEquals(driver.broken(), rules);
});

Deno.test("The firmware's commands have rules", async (t) => {
  const cases: [rule: string, action: () => TestDriver][] = [
    ["HICR: a command comes while EN is set", () => {
      const driver = withFirmware(DEVICE.X540);
      const old = new TestDriver(); // the 82599 has no such firmware
      old.write(HICR, HICR.C);
      assertEquals([old.read(HICR), driver.read(HICR)], [0, HICR.EN]);
      return old;
    }],
    ["HICR: a command comes while SW_MNG_SM is held", () => {
      const driver = new TestDriver({ deviceId: DEVICE.X550 });
      command(driver, [0xdd, 0, 0, 0xff]);
      return driver;
    }],
    ["FLEX_MNG: a command's bytes add up to 0", () => {
      const driver = withFirmware();
      command(driver, [0xdd, 1, 0, 5, 9]);
      return driver;
    }],
    ["FLEX_MNG: the answer is read after HICR.C was seen clear", () => {
      const driver = withFirmware();
      driver.write(FLEX_MNG, 0xff0000dd);
      driver.write(HICR, HICR.C);
      driver.read(HICR);
      driver.read(FLEX_MNG);
      return driver;
    }],
  ];
  for (const [rule, action] of cases) {
    await t.step(rule, () => assertEquals(action().broken(), [rule]));
  }
});

Deno.test("X550 has ETAG_ETYPE, I2CPARAMS with an idle bus, and more bits in RDRXCTL", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X550 });
  assertEquals(driver.read(ETAG_ETYPE), 0x893f);
  driver.set(ETAG_ETYPE, ETAG_ETYPE.VALID);
  const { I2CBB_EN, CLK_OUT, CLK_OE_N, CLK_IN, DATA_OUT, DATA_OE_N, DATA_IN } = I2CPARAMS;
  const lines = (value: number) => {
    driver.write(I2CPARAMS, value);
    return driver.read(I2CPARAMS) & (CLK_IN | DATA_IN);
  };
  assertEquals(lines(CLK_OUT | DATA_OUT), 0);
  assertEquals(lines(I2CBB_EN | CLK_OUT), CLK_IN);
  assertEquals(lines(I2CBB_EN | DATA_OUT), DATA_IN);
  assertEquals(lines(I2CBB_EN | CLK_OE_N | DATA_OE_N), CLK_IN | DATA_IN);
  driver.set(RDRXCTL, 3 << 28);
  assertEquals(driver.broken(), []);
  const older = new TestDriver({ deviceId: DEVICE.X540 });
  older.set(RDRXCTL, 3 << 28);
  assertEquals(older.broken(), ["RDRXCTL: reserved bits are written as they were read"]);
});
