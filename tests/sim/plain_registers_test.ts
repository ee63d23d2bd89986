/** The NIC model's registers as plain memory, step by step in one thread. */

import { assertEquals } from "@std/assert";
import {
  CTRL,
  DMATXCTL,
  EERD,
  EICR,
  EICS,
  EIMC,
  EIMS,
  FCTRL,
  GPRC,
  HLREG0,
  LINKS,
  MSCA,
  MSRWD,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RDRXCTL,
  RDT,
  RXCTRL,
  RXDCTL,
  SRRCTL,
  STATUS,
  SWSM,
  SYSTIMH,
  SYSTIML,
  TDBAH,
  TDBAL,
  TDLEN,
  TDT,
  TIMINCA,
  TXDCTL,
} from "../../ixgbe/registers.ts";
import { DmaMap } from "../../sim/rings/dma_map.ts";
import { Nic } from "../../sim/nic/nic.ts";
import { PlainRegisters } from "../../sim/plain/registers.ts";
import { offsetOf, type Register } from "../../src/registers.ts";
import { until } from "../support/processes.ts";
import { BROADCAST, frameTo, TestWire } from "../support/model_driver.ts";

const IOVA = 0x1_2340_0000, MEMORY = 4 << 20;
const RX_RING = 0, OTHER_RX_RING = 0x10000, TX_RING = 0x20000, BUFFERS = 0x100000;
const ENTRIES = 64;
/** A whole frame in one advanced descriptor: EOP, IFCS, RS, data. */
const FRAME = 0x2b300000;

/** The memory that driver and model share, from the driver's side. */
class Shared {
  readonly bar = new Uint32Array(512 * 1024 / 4);
  readonly memory = new Uint32Array(MEMORY / 4);
  readonly wire = new TestWire();
  readonly nic: Nic;
  readonly registers: PlainRegisters;
  /** The model's register writes, in order. */
  readonly told: [number, number][] = [];

  constructor() {
    const dma = new DmaMap();
    dma.map(IOVA, this.memory.buffer, 0, MEMORY);
    this.nic = new Nic({ doorbells: this.bar, pollDoorbells: true, plain: true, dma });
    this.nic.wire = this.wire;
    this.nic.setBusMaster(true);
    const write = (offset: number, value: number) => {
      this.told.push([offset, value]);
      this.nic.write32(offset, value);
    };
    this.registers = new PlainRegisters(this.nic, write, this.bar);
  }

  /** Looks until there are no more changes, and applies them. */
  look(): boolean {
    while (this.registers.look());
    return this.registers.take();
  }

  read(register: Register, index = 0): number {
    return this.bar[offsetOf(register, index) / 4];
  }

  write(register: Register, value: number, index = 0): void {
    this.bar[offsetOf(register, index) / 4] = value;
  }

  set(register: Register, bits: number): void {
    this.write(register, this.read(register) | bits);
  }

  /** Writes everything that a driver needs to receive and send, at once, without reading. */
  start(rxRing = RX_RING): void {
    this.set(FCTRL, FCTRL.BAM);
    this.set(HLREG0, HLREG0.TXCRCEN | HLREG0.TXPADEN | HLREG0.RXCRCSTRP);
    this.set(RDRXCTL, RDRXCTL.CRCSTRIP);
    this.set(RXCTRL, RXCTRL.RXEN);
    this.setRings(rxRing);
    this.set(DMATXCTL, DMATXCTL.TE);
    this.write(RDT, ENTRIES - 1);
  }

  setRings(rxRing: number): void {
    for (let i = 0; i < ENTRIES; i++) {
      const address = IOVA + BUFFERS + i * 2048;
      this.memory.set([address >>> 0, Math.floor(address / 2 ** 32), 0, 0], rxRing / 4 + i * 4);
    }
    this.set(RXDCTL, RXDCTL.ENABLE);
    this.write(RDBAL, (IOVA + rxRing) >>> 0);
    this.write(RDBAH, Math.floor(IOVA / 2 ** 32));
    this.write(RDLEN, ENTRIES * 16);
    this.write(SRRCTL, SRRCTL.DESCTYPE_ADVANCED | 2);
    this.set(TXDCTL, TXDCTL.ENABLE);
    this.write(TDBAL, (IOVA + TX_RING) >>> 0);
    this.write(TDBAH, Math.floor(IOVA / 2 ** 32));
    this.write(TDLEN, ENTRIES * 16);
  }

  /** Delivers a frame; returns the status word of a descriptor afterwards. */
  arrive(rxRing: number, descriptor: number): number {
    this.wire.waiting.push(frameTo(BROADCAST, 60));
    this.nic.poll();
    return this.memory[rxRing / 4 + descriptor * 4 + 2] & 3;
  }
}

Deno.test("PlainRegisters shows the values after a reset, and the link a moment later", () => {
  const shared = new Shared();
  assertEquals(shared.read(STATUS) & STATUS.GIO_MASTER_ENABLE, STATUS.GIO_MASTER_ENABLE);
  assertEquals(shared.read(LINKS) & LINKS.UP, LINKS.UP);
  assertEquals(shared.look(), false);
  shared.nic.setLink(false);
  shared.look();
  assertEquals(shared.read(LINKS) & LINKS.UP, 0);
});

Deno.test("PlainRegisters starts queues last, in any order of writes", () => {
  const shared = new Shared();
  shared.start();
  assertEquals(shared.look(), true);
  assertEquals(shared.arrive(RX_RING, 0), 3);
  const address = IOVA + BUFFERS;
  const descriptor = [address >>> 0, Math.floor(address / 2 ** 32), FRAME | 60, 60 << 14];
  shared.memory.set(descriptor, TX_RING / 4);
  shared.write(TDT, 1);
  shared.nic.poll();
  assertEquals(shared.wire.sent, [frameTo(BROADCAST, 60)]);
  assertEquals(shared.nic.rules.violations, []);
});

Deno.test("PlainRegisters restarts a queue whose ring has changed", () => {
  const shared = new Shared();
  shared.start();
  shared.look();
  assertEquals(shared.arrive(RX_RING, 0), 3);
  shared.look();
  assertEquals(shared.read(RDH), 1);
  // The driver has disabled and enabled the queue in between: the memory holds the same value.
  shared.setRings(OTHER_RX_RING);
  shared.write(RDH, 0);
  shared.look();
  assertEquals(shared.arrive(OTHER_RX_RING, 0), 3);
  assertEquals(shared.arrive(RX_RING, 1), 0);
});

Deno.test("PlainRegisters stops before it changes settings, and changes these before it starts", () => {
  const shared = new Shared();
  shared.start();
  shared.look();
  shared.told.length = 0;
  shared.write(RXDCTL, RXDCTL.ENABLE, 1);
  shared.write(RXCTRL, 0);
  shared.write(FCTRL, 0);
  shared.write(RXDCTL, 0);
  shared.look();
  const stops = [[offsetOf(RXDCTL), 0], [offsetOf(RXCTRL), 0]];
  assertEquals(shared.told.slice(0, 3), [...stops, [offsetOf(FCTRL), 0]] as [number, number][]);
  assertEquals(shared.told.slice(3), [[offsetOf(RXDCTL, 1), RXDCTL.ENABLE]]);
});

Deno.test("PlainRegisters resets the device, and a driver can start it again", async () => {
  const shared = new Shared();
  shared.start();
  shared.look();
  shared.write(EIMC, 0x7fffffff); // before a reset: without effect
  shared.write(CTRL, CTRL.RST);
  await until("the end of the reset", () => {
    shared.look();
    return shared.read(CTRL) === 0;
  });
  assertEquals([RXDCTL, RDLEN, RDT, TDT].map((register) => shared.read(register)), [0, 0, 0, 0]);
  shared.start();
  shared.look();
  assertEquals(shared.arrive(RX_RING, 0), 3);
});

Deno.test("PlainRegisters shows the end of commands, and their results", () => {
  const shared = new Shared();
  shared.write(EERD, EERD.START);
  shared.write(MSCA, MSCA.MDI_COMMAND | MSCA.OP_ADDRESS);
  shared.write(MSRWD, 7);
  shared.look();
  assertEquals(shared.read(EERD) & EERD.DONE, EERD.DONE);
  assertEquals(shared.read(MSCA) & MSCA.MDI_COMMAND, 0);
  assertEquals(shared.read(MSRWD) & MSRWD.MDI_WRITE_DATA, 7);
});

Deno.test("PlainRegisters shows 0 in write-only registers, so that it sees a repeated command", () => {
  const shared = new Shared();
  for (let i = 0; i < 2; i++) {
    shared.write(EIMS, 3);
    shared.look();
    assertEquals([shared.read(EIMS), shared.read(EIMC)], [3, 0]);
    shared.write(EIMC, 1);
    shared.look();
    assertEquals([shared.read(EIMS), shared.read(EIMC)], [2, 0]);
  }
});

Deno.test("PlainRegisters takes no semaphore and clears no count by showing it", () => {
  const shared = new Shared();
  shared.start();
  shared.look();
  for (let frames = 1; frames <= 3; frames++) {
    shared.arrive(RX_RING, frames - 1);
    shared.look();
    assertEquals(shared.read(GPRC), frames);
  }
  shared.write(EICS, EICR.LSC);
  for (let i = 0; i < 3; i++) shared.look();
  assertEquals(shared.read(EICR) & EICR.LSC, EICR.LSC);
  assertEquals(shared.read(SWSM) & SWSM.SMBI, 0);
});

Deno.test("PlainRegisters shows the system time, which a driver can set", () => {
  const shared = new Shared();
  shared.write(TIMINCA, 1 << 24 | 0xffffff);
  shared.write(SYSTIMH, 1000);
  shared.look();
  const before = shared.read(SYSTIMH) * 2 ** 32 + shared.read(SYSTIML);
  let now = before;
  while (now === before) {
    shared.look();
    now = shared.read(SYSTIMH) * 2 ** 32 + shared.read(SYSTIML);
  }
  assertEquals(before >= 1000 * 2 ** 32 && now > before, true);
  assertEquals(shared.told.map(([offset]) => offset), [offsetOf(SYSTIMH), offsetOf(TIMINCA)]);
});

Deno.test("PlainRegisters restores a read-only register that was written", () => {
  const shared = new Shared();
  const before = shared.read(STATUS);
  shared.write(STATUS, 0x12345678);
  shared.look();
  assertEquals(shared.read(STATUS), before);
  assertEquals(shared.nic.rules.violations, []);
});

Deno.test("PlainRegisters records violations of the data path, not of order", () => {
  const shared = new Shared();
  shared.start();
  shared.look();
  shared.write(TDT, ENTRIES + 5);
  shared.nic.poll();
  const broken = shared.nic.rules.violations.map(({ register, rule }) => `${register}: ${rule}`);
  assertEquals(broken, ["TDT[0]: inside the ring"]);
});
