/**
 * The smallest driver that breaks no rule of the datasheet, for tests and measurements of the model
 * without the driver of this project: one queue in each direction, and memory laid out by hand.
 *
 * @module
 */

import {
  CTRL,
  DMATXCTL,
  EEC,
  FCTRL,
  HLREG0,
  MAXFRS,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RDRXCTL,
  RDT,
  RFCTL,
  RTTDCS,
  RXCTRL,
  RXDCTL,
  RXPBSIZE,
  SECRXCTRL,
  SECRXSTAT,
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
} from "../ixgbe/registers.ts";
import { offsetOf, type Register } from "../src/registers.ts";
import { DEVICE, hasPhy } from "./nic/boards.ts";
import { Nic, type NicOptions } from "./nic/nic.ts";

/** Bus address of the memory. Not 0: an address that was never set must not be mapped. */
export const IOVA = 0x1_2340_0000;
/** Bytes of memory. */
export const MEMORY = 4 << 20;
/** Offsets in the memory, in bytes. */
export const RX_RING = 0;
export const TX_RING = 0x20000;
export const RX_BUFFERS = 0x100000;
export const TX_BUFFERS = 0x200000;
/** Descriptors in each ring. */
export const RING = 256;

const EOP_IFCS_RS_DEXT_DATA = 0x2b300000;

/** A NIC, its memory, and the steps of a driver. */
export class MinimalDriver {
  readonly nic: Nic;
  readonly memory = new ArrayBuffer(MEMORY);
  readonly words = new Uint32Array(this.memory);
  readonly bytes = new Uint8Array(this.memory);

  readonly #hasPhy: boolean;

  constructor(options: NicOptions = {}) {
    this.#hasPhy = hasPhy(options.deviceId ?? DEVICE.SFP);
    this.nic = new Nic(options);
    this.nic.dma.map(IOVA, this.memory, 0, MEMORY);
    this.nic.setBusMaster(true);
  }

  /** Creates a driver that has reset and configured the device, and enabled both directions. */
  static ready<Driver extends MinimalDriver>(
    this: new (options: NicOptions) => Driver,
    options: NicOptions = {},
  ): Driver {
    const driver = new this(options);
    driver.reset();
    driver.configure();
    driver.enableTransmit();
    driver.enableReceive();
    return driver;
  }

  read(register: Register, index = 0): number {
    return this.nic.read32(offsetOf(register, index));
  }

  write(register: Register, value: number, index = 0): void {
    this.nic.write32(offsetOf(register, index), value);
  }

  set(register: Register, bits: number, index = 0): void {
    this.write(register, this.read(register, index) | bits, index);
  }

  /** Returns the rules broken so far, as `register: rule`. */
  broken(): string[] {
    return this.nic.rules.violations.map(({ register, rule }) => `${register}: ${rule}`);
  }

  /** Disables the master, resets, and waits for the device (5.2.5.3.2, 4.6.3). */
  reset(): void {
    this.set(CTRL, CTRL.GIO_DIS);
    this.#until(() => (this.read(STATUS) & STATUS.GIO_MASTER_ENABLE) === 0);
    // X540 and X550: the PHY's semaphore is held meanwhile.
    const semaphores = SW_FW_SYNC.SW_PHY_SM0 | SW_FW_SYNC.SW_PHY_SM1;
    if (this.#hasPhy) this.write(SW_FW_SYNC, semaphores);
    this.set(CTRL, CTRL.RST);
    if (this.#hasPhy) this.write(SW_FW_SYNC, 0);
    this.#until(() => (this.read(CTRL) & CTRL.RST) === 0);
    this.#until(() => (this.read(EEC) & EEC.AUTO_RD) !== 0);
    this.#until(() => (this.read(RDRXCTL) & RDRXCTL.DMAIDONE) !== 0);
  }

  /** Configures the device and ring 0 of both directions; queues stay disabled. */
  configure(): void {
    this.set(FCTRL, FCTRL.BAM);
    this.set(RDRXCTL, RDRXCTL.CRCSTRIP);
    this.set(RFCTL, RFCTL.NFSW_DIS | RFCTL.NFSR_DIS);
    this.write(MAXFRS, 9018 << 16);
    this.set(HLREG0, HLREG0.JUMBOEN);
    this.set(RTTDCS, RTTDCS.ARBDIS);
    for (let i = 1; i < 8; i++) {
      this.write(RXPBSIZE, 0, i);
      this.write(TXPBSIZE, 0, i);
    }
    const high = Math.floor(IOVA / 2 ** 32);
    this.write(RDBAL, (IOVA + RX_RING) >>> 0);
    this.write(RDBAH, high);
    this.write(RDLEN, RING * 16);
    this.write(RDH, 0);
    this.write(RDT, 0);
    this.write(SRRCTL, SRRCTL.DROP_EN | SRRCTL.DESCTYPE_ADVANCED | 2);
    this.write(TDBAL, (IOVA + TX_RING) >>> 0);
    this.write(TDBAH, high);
    this.write(TDLEN, RING * 16);
    this.write(TDH, 0);
    this.write(TDT, 0);
    this.write(TXDCTL, 8 << 8 | 36);
    for (let i = 0; i < RING; i++) this.fillReceive(i);
  }

  enableTransmit(): void {
    this.set(DMATXCTL, DMATXCTL.TE);
    this.set(TXDCTL, TXDCTL.ENABLE);
  }

  enableReceive(): void {
    this.openReceivePath();
    this.set(RXDCTL, RXDCTL.ENABLE);
    this.write(RDT, RING - 1);
  }

  /** Halts the receive data path, sets RXEN, and releases the path (4.6.7). */
  openReceivePath(): void {
    this.set(SECRXCTRL, SECRXCTRL.RX_DIS);
    this.#until(() => (this.read(SECRXSTAT) & SECRXSTAT.SECRX_RDY) !== 0);
    this.set(RXCTRL, RXCTRL.RXEN);
    this.write(SECRXCTRL, this.read(SECRXCTRL) & ~SECRXCTRL.RX_DIS);
  }

  /** Points a receive descriptor at its buffer of 2 KB. */
  fillReceive(index: number): void {
    const at = RX_RING / 4 + index * 4;
    const address = IOVA + RX_BUFFERS + index * 2048;
    this.words[at] = address >>> 0;
    this.words[at + 1] = Math.floor(address / 2 ** 32);
    this.words[at + 2] = 0;
    this.words[at + 3] = 0;
  }

  /** Points a transmit descriptor at its buffer of 2 KB; by default with a whole frame's flags. */
  fillTransmit(
    index: number,
    length: number,
    command = EOP_IFCS_RS_DEXT_DATA,
    total = length,
  ): void {
    const at = TX_RING / 4 + index * 4;
    const address = IOVA + TX_BUFFERS + index * 2048;
    this.words[at] = address >>> 0;
    this.words[at + 1] = Math.floor(address / 2 ** 32);
    this.words[at + 2] = command | length;
    this.words[at + 3] = total << 14;
  }

  /** Returns the status word of a receive descriptor: DD is bit 0, EOP bit 1. */
  receiveStatus(index: number): number {
    return this.words[RX_RING / 4 + index * 4 + 2];
  }

  /** Returns the length that a receive descriptor holds, in bytes. */
  receiveLength(index: number): number {
    return this.words[RX_RING / 4 + index * 4 + 3] & 0xffff;
  }

  #until(done: () => boolean): void {
    for (let i = 0; i < 1000; i++) if (done()) return;
    throw new Error("the model never became ready");
  }
}
