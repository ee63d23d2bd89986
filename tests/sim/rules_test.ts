import { assertEquals, assertExists } from "@std/assert";
import {
  AUTOC,
  CTRL,
  DMATXCTL,
  DTXMXSZRQ,
  EERD,
  EIMC,
  FCTRL,
  GPRC,
  HLREG0,
  MRQC,
  MTQC,
  RAH,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RDRXCTL,
  RDT,
  RTRPCS,
  RTTDCS,
  RTTPCS,
  RTTPT2C,
  RXCTRL,
  RXDCTL,
  RXPBSIZE,
  SRRCTL,
  STATUS,
  SW_FW_SYNC,
  TDBAH,
  TDBAL,
  TDH,
  TDLEN,
  TDT,
  TXDCTL,
  TXPBSIZE,
  TXPBTHRESH,
} from "../../ixgbe/registers.ts";
import { nameOf, offsetOf, type Register } from "../../src/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { DmaMap } from "../../sim/rings/dma_map.ts";
import { Rules } from "../../sim/registers/rules.ts";
import {
  frameTo,
  IOVA,
  MEMORY,
  RING,
  RX_RING,
  STATION,
  TestDriver,
  TX_RING,
} from "../support/model_driver.ts";

/** The driver's state before it breaks the rule. */
const STAGES = {
  "powered on": () => new TestDriver(),
  reset: () => {
    const driver = new TestDriver();
    driver.reset();
    return driver;
  },
  configured: () => {
    const driver = new TestDriver();
    driver.reset();
    driver.configure();
    return driver;
  },
  running: () => TestDriver.ready(),
};

/** One rule: how a driver breaks it, and the recorded violation. */
interface Case {
  readonly what: string;
  readonly stage: keyof typeof STAGES;
  readonly breakIt: (driver: TestDriver) => void;
  readonly recorded: string;
  readonly section: string;
}

const send = (driver: TestDriver, tail = 1) => {
  driver.write(TDT, tail);
  driver.nic.poll();
};
const receive = (driver: TestDriver) => {
  driver.wire.waiting.push(frameTo(STATION, 60));
  driver.nic.poll();
};

const CASES: readonly Case[] = [
  {
    what: "CTRL.RST without master disable",
    stage: "powered on",
    breakIt: (d) => d.write(CTRL, CTRL.RST),
    recorded: "CTRL: CTRL.GIO_DIS set and STATUS.GIO_MASTER_ENABLE seen clear before a reset",
    section: "5.2.5.3.2",
  },
  {
    what: "CTRL.RST after GIO_DIS without waiting for its effect",
    stage: "powered on",
    breakIt: (d) => {
      d.write(CTRL, CTRL.GIO_DIS);
      d.write(CTRL, CTRL.GIO_DIS | CTRL.RST);
    },
    recorded: "CTRL: CTRL.GIO_DIS set and STATUS.GIO_MASTER_ENABLE seen clear before a reset",
    section: "5.2.5.3.2",
  },
  {
    what: "CTRL.GIO_DIS while a receive queue is enabled",
    stage: "running",
    breakIt: (d) => d.set(CTRL, CTRL.GIO_DIS),
    recorded: "CTRL: receive queues disabled before CTRL.GIO_DIS is set",
    section: "5.2.5.3.2",
  },
  {
    what: "RXEN before EEC.AUTO_RD was seen",
    stage: "powered on",
    breakIt: (d) => d.write(RXCTRL, RXCTRL.RXEN),
    recorded: "RXCTRL: enabled after EEC.AUTO_RD was seen",
    section: "4.6.3",
  },
  {
    what: "TE before RDRXCTL.DMAIDONE was seen",
    stage: "powered on",
    breakIt: (d) => d.write(DMATXCTL, DMATXCTL.reset | DMATXCTL.TE),
    recorded: "DMATXCTL: enabled after RDRXCTL.DMAIDONE was seen",
    section: "4.6.3",
  },
  {
    what: "RXEN with the receive data path open",
    stage: "configured",
    breakIt: (d) => d.write(RXCTRL, RXCTRL.RXEN),
    recorded: "RXCTRL: RXEN is set with SECRXCTRL.RX_DIS set and SECRXSTAT.SECRX_RDY seen",
    section: "4.6.7",
  },
  {
    what: "FCTRL changed while RXEN is set and no receive queue is enabled",
    stage: "running",
    breakIt: (d) => {
      d.write(RXDCTL, 0);
      d.set(FCTRL, FCTRL.UPE);
    },
    recorded: "FCTRL: changed only while RXCTRL.RXEN is 0, or a receive queue is enabled",
    section: "8.2.3.7.1",
  },
  {
    what: "RXEN cleared while a receive queue is enabled",
    stage: "running",
    breakIt: (d) => d.write(RXCTRL, 0),
    recorded: "RXCTRL: RXEN is cleared only after all receive queues are disabled",
    section: "4.6.7.1.2",
  },
  {
    what: "RXPBSIZE changed while RXEN is set",
    stage: "running",
    breakIt: (d) => d.write(RXPBSIZE, 128 << 10),
    recorded: "RXPBSIZE[0]: changed only while RXCTRL.RXEN is 0",
    section: "8.2.3.8.9",
  },
  {
    what: "receive packet buffers of more than 512 KB",
    stage: "configured",
    breakIt: (d) => {
      d.write(RXPBSIZE, 513 << 10);
      d.openReceivePath();
    },
    recorded: "RXPBSIZE: the sizes add up to 512 KB at most",
    section: "8.2.3.8.9",
  },
  {
    what: "receive packet buffers of more than 512 KB with traffic classes",
    stage: "configured",
    breakIt: (d) => {
      d.write(MRQC, 2);
      d.write(RXPBSIZE, 1 << 10, 1);
      d.openReceivePath();
    },
    recorded: "RXPBSIZE: the sizes add up to 512 KB at most",
    section: "8.2.3.8.9",
  },
  {
    what: "CRC stripping enabled in one of two registers",
    stage: "configured",
    breakIt: (d) => {
      d.write(RDRXCTL, d.read(RDRXCTL) & ~RDRXCTL.CRCSTRIP);
      d.openReceivePath();
    },
    recorded: "RDRXCTL: CRCSTRIP is the same as HLREG0.RXCRCSTRP",
    section: "8.2.3.8.8",
  },
  {
    what: "transmit packet buffers of more than 160 KB",
    stage: "configured",
    breakIt: (d) => {
      d.write(TXPBSIZE, 161 << 10);
      d.enableTransmit();
    },
    recorded: "TXPBSIZE: the sizes add up to 160 KB at most",
    section: "8.2.3.9.13",
  },
  {
    what: "transmit packet buffers of more than 160 KB with traffic classes",
    stage: "configured",
    breakIt: (d) => {
      d.write(MTQC, MTQC.RT_ENA);
      d.write(TXPBSIZE, 1 << 10, 7);
      d.enableTransmit();
    },
    recorded: "TXPBSIZE: the sizes add up to 160 KB at most",
    section: "8.2.3.9.13",
  },
  ...[[RTTDCS, RTTDCS.TDPAC], [RTTPCS, RTTPCS.TPRM], [RTTPT2C, 1]].map(
    ([register, bits]): Case => ({
      what: `${(register as Register).name} left by a driver with traffic classes`,
      stage: "configured",
      breakIt: (d) => {
        d.set(register as Register, bits as number);
        d.enableTransmit();
      },
      recorded:
        `${nameOf(register as Register, 0)}: arbitration is off without traffic classes and ` +
        "virtualization",
      section: "4.6.11.3.4",
    }),
  ),
  {
    what: "RTRPCS left by a driver with traffic classes",
    stage: "configured",
    breakIt: (d) => {
      d.set(RTRPCS, RTRPCS.RAC);
      d.openReceivePath();
    },
    recorded: "RTRPCS: arbitration is off without traffic classes and virtualization",
    section: "4.6.11.3.4",
  },
  {
    what: "a transmit threshold that leaves no room",
    stage: "running",
    breakIt: (d) => d.write(TXPBSIZE, 40 << 10),
    recorded: "TXPBTHRESH[0]: leaves room for one frame below TXPBSIZE",
    section: "8.2.3.9.16",
  },
  {
    what: "a transmit threshold beyond its buffer",
    stage: "running",
    breakIt: (d) => d.write(TXPBTHRESH, 0x3ff),
    recorded: "TXPBTHRESH[0]: leaves room for one frame below TXPBSIZE",
    section: "8.2.3.9.16",
  },
  {
    what: "MTQC changed without RTTDCS.ARBDIS",
    stage: "configured",
    breakIt: (d) => {
      d.write(RTTDCS, d.read(RTTDCS) & ~RTTDCS.ARBDIS);
      d.write(MTQC, MTQC.RT_ENA);
    },
    recorded: "MTQC: changed only while RTTDCS.ARBDIS is set",
    section: "8.2.3.9.15",
  },
  {
    what: "TXDCTL.ENABLE before DMATXCTL.TE",
    stage: "configured",
    breakIt: (d) => d.set(TXDCTL, TXDCTL.ENABLE),
    recorded: "TXDCTL[0]: DMATXCTL.TE is set before a queue is enabled",
    section: "4.6.8.1",
  },
  ...[TDBAL, TDBAH, TDLEN, TDH].map((register): Case => ({
    what: `${register.name}[0] written after DMATXCTL.TE`,
    stage: "configured",
    breakIt: (d) => {
      d.set(DMATXCTL, DMATXCTL.TE);
      d.write(register, d.read(register));
    },
    recorded: `${register.name}[0]: written only while TXDCTL.ENABLE is 0`,
    section: register.section,
  })),
  {
    what: "TXDCTL's thresholds wiped while the queue is enabled",
    stage: "running",
    breakIt: (d) => d.write(TXDCTL, TXDCTL.ENABLE),
    recorded: "TXDCTL[0]: thresholds are set before the queue is enabled",
    section: "4.6.8.1",
  },
  ...[RDBAL, RDBAH, RDLEN].map((register): Case => ({
    what: `${register.name} written while its queue is enabled`,
    stage: "running",
    breakIt: (d) => d.write(register, 0),
    recorded: `${register.name}[0]: written only while RXDCTL.ENABLE is 0`,
    section: register.section,
  })),
  {
    what: "SRRCTL's sizes written while its queue is enabled",
    stage: "running",
    breakIt: (d) => d.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED | 4),
    recorded: "SRRCTL[0]: sizes and type written only while RXDCTL.ENABLE is 0",
    section: "8.2.3.8.7",
  },
  ...[TDBAL, TDLEN, TDH].map((register): Case => ({
    what: `${register.name} written while its queue is enabled`,
    stage: "running",
    breakIt: (d) => d.write(register, 0),
    recorded: `${register.name}[0]: written only while TXDCTL.ENABLE is 0`,
    section: register.section,
  })),
  ...[0, 100, 128 * 1024 + 128].map((bytes): Case => ({
    what: `a receive ring of ${bytes} bytes`,
    stage: "configured",
    breakIt: (d) => {
      d.write(RDLEN, bytes);
      d.set(RXDCTL, RXDCTL.ENABLE);
    },
    recorded: bytes > 100
      ? "RDLEN[0]: at most 128 KB (8 K descriptors)"
      : "RDLEN[0]: a multiple of 128 bytes, not 0",
    section: "8.2.3.8.3",
  })),
  {
    what: "a transmit ring length that is not a multiple of 128 bytes",
    stage: "configured",
    breakIt: (d) => {
      d.write(TDLEN, 1000);
      d.enableTransmit();
    },
    recorded: "TDLEN[0]: a multiple of 128 bytes, not 0",
    section: "8.2.3.9.7",
  },
  {
    what: "a ring that is not aligned to 128 bytes",
    stage: "configured",
    breakIt: (d) => {
      d.write(RDBAL, d.read(RDBAL) + 64);
      d.set(RXDCTL, RXDCTL.ENABLE);
    },
    recorded: "RDBAL[0]: aligned to 128 bytes",
    section: "8.2.3.8.1",
  },
  {
    what: "a ring outside mapped memory",
    stage: "configured",
    breakIt: (d) => {
      d.write(RDBAH, 0);
      d.set(RXDCTL, RXDCTL.ENABLE);
    },
    recorded: "RDBAL[0]: a ring in memory the device may read and write",
    section: "8.2.3.8.1",
  },
  {
    what: "a ring whose memory is unmapped while it runs",
    stage: "running",
    breakIt: (d) => {
      d.nic.dma.unmap(IOVA, MEMORY);
      d.nic.poll();
    },
    recorded: "TDBAL[0]: a ring in memory the device may read and write",
    section: "8.2.3.9.5",
  },
  {
    what: "a tail that moved before its queue was enabled",
    stage: "configured",
    breakIt: (d) => {
      d.write(RDT, 5);
      d.set(RXDCTL, RXDCTL.ENABLE);
    },
    recorded: "RDT[0]: moved only after the queue is enabled",
    section: "4.6.7.1",
  },
  {
    what: "a head outside the ring",
    stage: "configured",
    breakIt: (d) => {
      d.write(RDH, RING);
      d.set(RXDCTL, RXDCTL.ENABLE);
    },
    recorded: "RDH[0]: inside the ring",
    section: "8.2.3.8.4",
  },
  {
    what: "a head outside the ring of an enabled queue",
    stage: "running",
    breakIt: (d) => d.write(RDH, RING),
    recorded: "RDH[0]: inside the ring",
    section: "8.2.3.8.4",
  },
  {
    what: "a receive buffer size of 0",
    stage: "configured",
    breakIt: (d) => {
      d.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED);
      d.set(RXDCTL, RXDCTL.ENABLE);
    },
    recorded: "SRRCTL[0]: BSIZEPACKET is 1 to 16 KB",
    section: "8.2.3.8.7",
  },
  {
    what: "a descriptor type that is reserved",
    stage: "configured",
    breakIt: (d) => {
      d.write(SRRCTL, 3 << 25 | 2);
      d.set(RXDCTL, RXDCTL.ENABLE);
    },
    recorded: "SRRCTL[0]: a descriptor type that exists",
    section: "8.2.3.8.7",
  },
  {
    what: "a tail beyond the ring",
    stage: "running",
    breakIt: (d) => send(d, RING),
    recorded: "TDT[0]: inside the ring",
    section: "8.2.3.9.9",
  },
  {
    what: "a tail moved past the head",
    stage: "running",
    breakIt: (d) => {
      d.write(RDT, 2);
      d.nic.poll();
    },
    recorded: "RDT[0]: not moved past the head",
    section: "8.2.3.8.5",
  },
  {
    what: "a receive buffer outside mapped memory",
    stage: "running",
    breakIt: (d) => {
      d.words[RX_RING / 4 + 1] = 0;
      receive(d);
    },
    recorded: "RDBAL[0]: buffers of BSIZEPACKET bytes in memory the device may write",
    section: "7.1.6.1",
  },
  {
    what: "a receive buffer with unmapped last bytes",
    stage: "running",
    breakIt: (d) => {
      d.words[RX_RING / 4] = (IOVA + MEMORY - 1984) >>> 0;
      receive(d);
    },
    recorded: "RDBAL[0]: buffers of BSIZEPACKET bytes in memory the device may write",
    section: "7.1.6.1",
  },
  {
    what: "a receive descriptor given with DD set",
    stage: "running",
    breakIt: (d) => {
      d.words[RX_RING / 4 + 2] = 3;
      receive(d);
    },
    recorded: "RDT[0]: DD is 0 in a descriptor given to the device",
    section: "7.1.6.1",
  },
  {
    what: "a transmit buffer outside mapped memory",
    stage: "running",
    breakIt: (d) => {
      d.fillTransmit(0, 60);
      d.words[TX_RING / 4 + 1] = 0;
      send(d);
    },
    recorded: "TDT[0]: buffers in memory the device may read",
    section: "7.2.3.2",
  },
  {
    what: "DMA while bus master is off",
    stage: "running",
    breakIt: (d) => {
      d.nic.setBusMaster(false);
      d.fillTransmit(0, 60);
      send(d);
    },
    recorded: "TDT[0]: bus master is on before DMA is requested",
    section: "9.3.3.3",
  },
  {
    what: "a frame without RS while WTHRESH is not 0",
    stage: "configured",
    breakIt: (d) => {
      d.write(TXDCTL, 4 << 16 | 36);
      d.enableTransmit();
      d.fillTransmit(0, 60, 0x23300000);
      send(d);
    },
    recorded: "TDT[0]: RS is set in every frame's last descriptor while TXDCTL.WTHRESH is not 0",
    section: "8.2.3.9.10",
  },
  {
    what: "a frame without IFCS",
    stage: "running",
    breakIt: (d) => {
      d.fillTransmit(0, 64, 0x29300000);
      send(d);
    },
    recorded: "TDT[0]: IFCS is set: the device appends the CRC",
    section: "7.2.3.2.4",
  },
  {
    what: "a frame while HLREG0.TXCRCEN is 0",
    stage: "running",
    breakIt: (d) => {
      d.write(HLREG0, d.read(HLREG0) & ~HLREG0.TXCRCEN);
      d.fillTransmit(0, 64);
      send(d);
    },
    recorded: "HLREG0: TXCRCEN is set for frames without CRC",
    section: "8.2.3.22.8",
  },
  {
    what: "a short frame while HLREG0.TXPADEN is 0",
    stage: "running",
    breakIt: (d) => {
      d.write(HLREG0, d.read(HLREG0) & ~HLREG0.TXPADEN);
      d.fillTransmit(0, 42);
      send(d);
    },
    recorded: "TDT[0]: a frame has 60 bytes or more, or TXPADEN is set",
    section: "8.2.3.22.8",
  },
  {
    what: "a descriptor type that does not exist",
    stage: "running",
    breakIt: (d) => {
      d.fillTransmit(0, 60, 0x2b100000);
      send(d);
    },
    recorded: "TDT[0]: DTYP is 2 (context) or 3 (data)",
    section: "7.2.3.2.4",
  },
  {
    what: "a PAYLEN that is not the frame's length",
    stage: "running",
    breakIt: (d) => {
      d.fillTransmit(0, 60, undefined, 61);
      send(d);
    },
    recorded: "TDT[0]: PAYLEN is the frame's length",
    section: "7.2.3.2.4",
  },
  {
    what: "a descriptor of 0 bytes",
    stage: "running",
    breakIt: (d) => {
      d.fillTransmit(0, 0);
      send(d);
    },
    recorded: "TDT[0]: a descriptor's length is not 0",
    section: "7.2.3.2",
  },
  {
    what: "a frame that is too long",
    stage: "running",
    breakIt: (d) => {
      d.fillTransmit(0, 15_900);
      send(d);
    },
    recorded: "TDT[0]: a frame is at most 15.5 KB",
    section: "7.2.3.2.2",
  },
  {
    what: "a tail in the middle of a frame",
    stage: "running",
    breakIt: (d) => {
      d.fillTransmit(0, 30, 0x22300000, 60);
      send(d);
    },
    recorded: "TDT[0]: the tail is moved by whole frames",
    section: "7.2.3.3",
  },
  ...([[RDRXCTL, 1 << 16], [DTXMXSZRQ, 0xf000], [CTRL, 1 << 4], [EIMC, 0x80000000]] as const).map(
    ([register, bits]): Case => ({
      what: `reserved bits of ${register.name} changed`,
      stage: "reset",
      breakIt: (d) => d.write(register, (d.read(register) | bits) ^ (bits & d.read(register))),
      recorded: `${register.name}: reserved bits are written as they were read`,
      section: register.section,
    }),
  ),
  ...[STATUS, GPRC].map((register): Case => ({
    what: `${register.name} written`,
    stage: "reset",
    breakIt: (d) => d.write(register, 0),
    recorded: `${register.name}: read only: not written`,
    section: register.section,
  })),
  {
    what: "an offset without register written",
    stage: "reset",
    breakIt: (d) => d.nic.write32(0x1fff0, 1),
    recorded: "0x0001fff0: only registers that exist are written",
    section: "8.2.2",
  },
  {
    what: "SW_FW_SYNC written without SWSM.SWESMBI",
    stage: "reset",
    breakIt: (d) => d.write(SW_FW_SYNC, SW_FW_SYNC.SW_EEP_SM),
    recorded: "SW_FW_SYNC: written only while SWSM.SWESMBI is held",
    section: "10.5.4",
  },
  {
    what: "EERD of a word that does not exist",
    stage: "reset",
    breakIt: (d) => d.write(EERD, 0x3fff << 2 | EERD.START),
    recorded: "EERD: ADDR is inside the EEPROM",
    section: "8.2.3.2.2",
  },
];

for (const { what, stage, breakIt, recorded, section } of CASES) {
  Deno.test(`Nic records ${what}`, () => {
    const driver = STAGES[stage]();
    assertEquals(driver.broken(), []);
    breakIt(driver);
    const found = driver.nic.rules.violations.find(({ register, rule }) =>
      `${register}: ${rule}` === recorded
    );
    assertExists(found, `recorded: ${driver.broken().join("; ")}`);
    assertEquals(found?.section, section);
  });
}

Deno.test("Nic records a changed AUTOC.LMS, and more than 384 KB of receive memory, on an X540", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X540 });
  driver.reset();
  assertEquals(driver.read(RXPBSIZE) >>> 10, 384);
  driver.write(AUTOC, driver.read(AUTOC) ^ AUTOC.LMS);
  driver.configure();
  driver.write(RXPBSIZE, 512 << 10);
  driver.openReceivePath();
  assertEquals(driver.broken(), [
    "AUTOC: LMS is not changed: the PHY sets the link mode (X540, X550)",
    "RXPBSIZE: the sizes add up to 384 KB at most",
  ]);
});

Deno.test("Nic accepts RDRXCTL without CRCSTRIP on an X550, which reserves the bit", () => {
  const driver = new TestDriver({ deviceId: DEVICE.X550 });
  driver.reset();
  driver.configure();
  driver.write(RDRXCTL, driver.read(RDRXCTL) & ~RDRXCTL.CRCSTRIP);
  driver.openReceivePath();
  assertEquals(driver.broken(), []);
});

Deno.test("Nic records writes through the doorbell mapping to registers other than tails", () => {
  const doorbells = new Uint32Array(0x20000 / 4);
  const driver = TestDriver.ready({ doorbells, pollDoorbells: true });
  doorbells[offsetOf(RDLEN) / 4] = 77;
  driver.write(RAH, 0, 9);
  assertEquals(driver.broken(), ["RDLEN[0]: only tails are written through the doorbell mapping"]);
  assertEquals(doorbells[offsetOf(RDLEN) / 4], RING * 16);
});

Deno.test("Rules.violate() lists a rule once for each register, with a count", () => {
  const rules = new Rules();
  for (let i = 0; i < 3; i++) rules.violate("FCTRL", "8.2.3.7.1", "a rule", `detail ${i}`);
  rules.violate("MTQC", "8.2.3.9.15", "a rule", "");
  assertEquals(rules.violations.map(({ register, count }) => [register, count]), [
    ["FCTRL", 3],
    ["MTQC", 1],
  ]);
  assertEquals(rules.violations[0].detail, "detail 0");
  for (let i = 0; i < 1000; i++) rules.violate(`R${i}`, "", "another", "");
  assertEquals(rules.violations.length, Rules.MAX);
});

Deno.test("DmaMap.resolve() finds a range only inside one mapping", () => {
  const map = new DmaMap();
  const memory = new ArrayBuffer(0x4000);
  map.map(0x5_0000_0000, memory, 0x1000, 0x1000);
  map.map(0x5_0000_1000, memory, 0x3000, 0x1000, false);
  assertEquals(map.resolve(0x10, 5, 0x20), true);
  assertEquals([map.base, map.writable, map.bytes.byteOffset], [0x10, true, 0x1000]);
  assertEquals(map.resolve(0x1ffc, 5, 4), true);
  assertEquals([map.base, map.writable, map.readable], [0xffc, false, true]);
  assertEquals(map.resolve(0xffc, 5, 8), false);
  assertEquals(map.resolve(0x10, 0, 4), false);
  map.unmap(0x5_0000_0000, 0x800);
  assertEquals(map.resolve(0x10, 5, 0x20), true);
  map.unmap(0x5_0000_0000, 0x2000);
  assertEquals(map.resolve(0x10, 5, 0x20), false);
  assertEquals(map.words.length, 0);
});
