/**
 * The configuration space of one PCI Express function. A driver or QEMU reads it to identify the
 * device, and writes it to let the device reach memory.
 *
 * @module
 */

/** Identity of the device, and callbacks for writes. */
export interface ConfigSpaceOptions {
  /** PCI device id, 0x10fb (82599 SFP+) for example. */
  readonly deviceId: number;
  /** MAC address, 6 bytes: the source of the PCI Express serial number. */
  readonly mac: Uint8Array;
  /** Called when the function may reach memory from now on, or may no longer. */
  readonly onBusMaster: (on: boolean) => void;
  /** Called on a function level reset: by PCI Express Device Control, or by waking from D3hot. */
  readonly onReset: () => void;
}

/** Bytes of the configuration space. */
export const CONFIG_BYTES = 4096;
/** Bytes of BAR0, the registers. */
export const BAR0_BYTES = 512 * 1024;
/** Bytes of BAR4, the MSI-X table and its pending bits. */
export const BAR4_BYTES = 16 * 1024;
/** Offset of the MSI-X table in BAR4, in bytes. */
export const MSIX_TABLE = 0;
/** Entries of the MSI-X table. */
export const MSIX_VECTORS = 64;

const MSIX_PENDING = 0x2000;

// Offsets by the names of the PCI Local Bus and PCI Express base specifications.
const COMMAND = 0x04;
const STATUS = 0x06;
const BAR0 = 0x10;
const BAR4 = 0x20;
const PM = 0x40;
const MSI = 0x50;
const MSIX = 0x70;
const PCIE = 0xa0;
const AER = 0x100;
const SERIAL = 0x140;

const PMCSR = PM + 0x04;
const DEVICE_CONTROL = PCIE + 0x08;
const COMMAND_BUS_MASTER = 0x0004;
const DEVICE_CONTROL_FLR = 0x8000;
const POWER_STATE = 0x3;
const D3_HOT = 0x3;

/** The configuration space of one function. */
export class ConfigSpace {
  readonly #options: ConfigSpaceOptions;
  readonly #bytes = new Uint8Array(CONFIG_BYTES);
  /** Bits that take the value written. */
  readonly #writable = new Uint8Array(CONFIG_BYTES);
  /** Bits that a written 1 clears. */
  readonly #clearable = new Uint8Array(CONFIG_BYTES);
  readonly #view = new DataView(this.#bytes.buffer);
  #busMaster = false;

  /** Creates the space in its state after power-on. */
  constructor(options: ConfigSpaceOptions) {
    this.#options = options;
    this.reset();
  }

  /** Whether the function may reach memory: bus master enabled, and not in D3hot. */
  get busMaster(): boolean {
    return this.#busMaster;
  }

  /** Resets every field to its value at power-on; calls `onBusMaster` if that disables it. */
  reset(): void {
    this.#bytes.fill(0);
    this.#writable.fill(0);
    this.#clearable.fill(0);
    this.#header();
    this.#capabilities();
    this.#pcieCapability();
    this.#extendedCapabilities();
    this.#tellBusMaster();
  }

  /**
   * Reads bytes.
   *
   * @param offset First byte; the range must be inside the 4,096 bytes.
   * @param to Takes the bytes.
   */
  read(offset: number, to: Uint8Array): void {
    for (let i = 0; i < to.length; i++) to[i] = this.#bytes[offset + i];
  }

  /**
   * Writes bytes as one access: read-only bits keep their values, write-1-to-clear bits clear.
   *
   * @param offset First byte; the range must be inside the 4,096 bytes.
   * @param from The bytes.
   */
  write(offset: number, from: Uint8Array): void {
    const powerBefore = this.#bytes[PMCSR] & POWER_STATE;
    for (let i = 0; i < from.length; i++) {
      const at = offset + i;
      const kept = this.#bytes[at] & ~this.#writable[at] & ~(from[i] & this.#clearable[at]);
      this.#bytes[at] = kept | (from[i] & this.#writable[at]);
    }
    const flr = (this.#view.getUint16(DEVICE_CONTROL, true) & DEVICE_CONTROL_FLR) !== 0;
    // PMCSR.No_Soft_Reset is 0: the transition from D3hot to D0 resets the function.
    const woke = powerBefore === D3_HOT && (this.#bytes[PMCSR] & POWER_STATE) === 0;
    if (flr || woke) {
      this.reset();
      this.#options.onReset();
    } else {
      this.#tellBusMaster();
    }
  }

  #tellBusMaster(): void {
    const on = (this.#bytes[COMMAND] & COMMAND_BUS_MASTER) !== 0 &&
      (this.#bytes[PMCSR] & POWER_STATE) !== D3_HOT;
    if (on === this.#busMaster) return;
    this.#busMaster = on;
    this.#options.onBusMaster(on);
  }

  #field16(offset: number, value: number, writable = 0, clearable = 0): void {
    this.#view.setUint16(offset, value, true);
    new DataView(this.#writable.buffer).setUint16(offset, writable, true);
    new DataView(this.#clearable.buffer).setUint16(offset, clearable, true);
  }

  #field32(offset: number, value: number, writable = 0, clearable = 0): void {
    this.#field16(offset, value & 0xffff, writable & 0xffff, clearable & 0xffff);
    this.#field16(offset + 2, value >>> 16, writable >>> 16, clearable >>> 16);
  }

  /** Header type 0. */
  #header(): void {
    this.#field16(0x00, 0x8086); // Vendor
    this.#field16(0x02, this.#options.deviceId);
    this.#field16(COMMAND, 0, 0x0546); // memory, master, parity, SERR, INTx disable; no I/O BAR
    this.#field16(STATUS, 0x0010, 0, 0xf900); // capabilities list; error bits clear on writing 1
    this.#field32(0x08, 0x02000001); // class Ethernet, revision 1
    this.#field32(0x0c, 0, 0xff); // cache line size; header type 0, one function
    // After a write of all ones, a BAR reads as its size: the bits below are not writable.
    this.#field32(BAR0, 0xc, ~(BAR0_BYTES - 1)); // 64 bits, prefetchable
    this.#field32(BAR0 + 4, 0, ~0);
    this.#field32(BAR4, 0x4, ~(BAR4_BYTES - 1)); // 64 bits
    this.#field32(BAR4 + 4, 0, ~0);
    this.#field16(0x2c, 0x8086); // subsystem vendor
    this.#field16(0x2e, 0x0003); // subsystem: X520-2
    this.#field32(0x34, PM);
    this.#field16(0x3c, 0x0100, 0x00ff); // interrupt line writable, pin INTA
  }

  /** Power management, MSI and MSI-X. */
  #capabilities(): void {
    this.#field16(PM, 0x01 | MSI << 8);
    this.#field16(PM + 2, 0x4823); // version 3, device specific initialization, PME from D0, D3hot
    this.#field16(PMCSR, 0x2000, 0x0103, 0x8000);

    this.#field16(MSI, 0x05 | MSIX << 8);
    this.#field16(MSI + 0x02, 0x0180, 0x0071); // 64-bit addresses, masks, one vector
    this.#field32(MSI + 0x04, 0, ~3);
    this.#field32(MSI + 0x08, 0, ~0);
    this.#field16(MSI + 0x0c, 0, 0xffff);
    this.#field32(MSI + 0x10, 0, 1);

    this.#field16(MSIX, 0x11 | PCIE << 8);
    this.#field16(MSIX + 2, MSIX_VECTORS - 1, 0xc000);
    this.#field32(MSIX + 4, MSIX_TABLE | 4);
    this.#field32(MSIX + 8, MSIX_PENDING | 4);
  }

  /** PCI Express: endpoint, version 2, eight lanes at 5 GT/s. */
  #pcieCapability(): void {
    this.#field16(PCIE, 0x10);
    this.#field16(PCIE + 0x02, 0x0002);
    this.#field32(PCIE + 0x04, 0x10008002); // payload to 512 bytes, role-based errors, FLR
    this.#field16(DEVICE_CONTROL, 0x2810, 0xffff);
    this.#field16(DEVICE_CONTROL + 2, 0, 0, 0x000f);
    this.#field32(PCIE + 0x0c, 0x00000482);
    this.#field16(PCIE + 0x10, 0, 0x00c3);
    this.#field16(PCIE + 0x12, 0x1082);
    this.#field32(PCIE + 0x24, 0x0000001f); // completion timeout: ranges and disable
    this.#field16(PCIE + 0x28, 0, 0x001f);
    this.#field16(PCIE + 0x30, 0x0002, 0x000f);
  }

  /** Advanced error reporting, and the serial number: the MAC address as EUI-64. */
  #extendedCapabilities(): void {
    this.#field32(AER, 0x0001 | 1 << 16 | SERIAL << 20);
    this.#field32(AER + 0x04, 0, 0, 0x001ff010);
    this.#field32(AER + 0x08, 0, 0x001ff010);
    this.#field32(AER + 0x0c, 0x00062010, 0x001ff010);
    this.#field32(AER + 0x10, 0, 0, 0x000031c1);
    this.#field32(AER + 0x14, 0x00002000, 0x000031c1);

    const mac = this.#options.mac;
    this.#field32(SERIAL, 0x0003 | 1 << 16);
    const number = [mac[5], mac[4], mac[3], 0xff, 0xff, mac[2], mac[1], mac[0]];
    this.#bytes.set(number, SERIAL + 4);
  }
}
