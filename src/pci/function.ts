/**
 * How a PCI function is reached. Three buses have this interface: sysfs (resource files, physical
 * addresses), VFIO and vfio-user (bus addresses of our choice). A driver sees nothing else.
 *
 * @module
 */

import type { Addressing, DmaMemory } from "../dma.ts";
import { UsageError } from "../errors.ts";

/** Configuration space registers that every PCI function has (PCI Local Bus 3.0, section 6.1). */
export const Config = {
  VENDOR_ID: 0x00,
  DEVICE_ID: 0x02,
  COMMAND: 0x04,
  STATUS: 0x06,
  CLASS: 0x0a,
  BAR0: 0x10,
  SUBSYSTEM_ID: 0x2e,
  CAPABILITIES: 0x34,
} as const;

/** Base class and sub-class of Ethernet controllers, as CLASS reads. */
export const ETHERNET_CONTROLLER = 0x0200;

/** A number of 16 bits in configuration space as `lspci` shows it: four hex digits. */
export function hex16(value: number): string {
  return value.toString(16).padStart(4, "0");
}

/** Bits of the COMMAND register. */
export const Command = {
  IO: 1 << 0,
  MEMORY: 1 << 1,
  BUS_MASTER: 1 << 2,
  INTX_DISABLE: 1 << 10,
} as const;

/** The bit of the STATUS register that says that there is a list of capabilities. */
const STATUS_CAPABILITIES = 1 << 4;
/** The bit of a base address register that says that it is for I/O ports, not memory. */
const BAR_IO = 1;

/** A register that is written so often that it is written through memory where the bus maps it. */
export interface Doorbell {
  /** Memory that holds the register, or a word of scratch memory where the bus cannot map it. */
  readonly words: Uint32Array;
  /** The register's index in `words`. */
  readonly index: number;
  /**
   * Sends the value to a register that the bus cannot map; undefined where storing it in `words`
   * reaches the device.
   */
  readonly write: ((value: number) => void) | undefined;
}

/** What a base address register leads to: memory or I/O ports. Offsets and sizes are in bytes. */
export interface Bar {
  /** Size of the region in bytes. */
  readonly size: number;
  /** Reads the register of 1, 2 or 4 bytes at a multiple of its size. */
  read(offset: number, bytes: 1 | 2 | 4): number;
  /** Writes the register of 1, 2 or 4 bytes at a multiple of its size. */
  write(offset: number, bytes: 1 | 2 | 4, value: number): void;
  /** The register at `offset` for writing once a batch. Its `words` are empty once the bus closes. */
  doorbell(offset: number): Doorbell;
}

/** A PCI function: configuration space, BARs and DMA. */
export interface PciFunction {
  /** The address under which the function was opened. */
  readonly address: string;
  /** What bus addresses the device uses. */
  readonly addressing: Addressing;
  /** Whether an IOMMU stands before memory that takes other addresses than these from the device. */
  readonly behindIommu: boolean;
  /** Reads 1, 2 or 4 bytes of configuration space. */
  readConfig(offset: number, bytes: 1 | 2 | 4): number;
  /** Writes 1, 2 or 4 bytes of configuration space. */
  writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void;
  /**
   * Takes the function over: a kernel driver is unbound, memory and I/O space are enabled, and INTx is
   * disabled, since nobody here would answer it. Nothing before this changes anything.
   *
   * @param force Whether to do so even though the kernel's interface is up.
   * @throws {UsageError} if the function is in use.
   */
  claim(force: boolean): void;
  /**
   * Opens a BAR; the same object for the same index. After {@linkcode PciFunction.claim}.
   *
   * @throws {DeviceError} if the function has no such BAR.
   * @throws {UsageError} if the kernel does not let this process use it.
   */
  bar(index: number): Bar;
  /**
   * Lets the device reach memory at its bus addresses until the bus closes. Again: nothing happens.
   *
   * @throws {UsageError} if the device cannot reach memory of this kind.
   */
  mapDma(memory: DmaMemory): void;
  /**
   * Has the function's first MSI-X vectors each signal an eventfd, until the bus closes and closes
   * them. Once only; it changes nothing that others see. Absent where a bus brings no interrupts:
   * drivers call {@linkcode openInterrupts}.
   *
   * @returns The eventfds, by vector; they do not block.
   * @throws {UsageError} if the function has fewer vectors.
   */
  interrupts?(vectors: number): readonly number[];
  /** Turns bus mastering, and with it all DMA, on or off. */
  setBusMaster(on: boolean): void;
  /**
   * Looks whether the device is still there. Cheap enough for every few milliseconds.
   *
   * @throws {DeviceError} if it is gone.
   */
  checkAlive(): void;
  /**
   * Gives up the function: bus mastering off where it was claimed, then everything unmapped, memory in
   * the order in which it was mapped. Again: nothing happens.
   *
   * @throws {Error} if bus mastering cannot be turned off, or the IOMMU not told: memory that the device
   * may still reach is not released then, and so stays allocated until the process ends.
   * @throws {DeviceError} if the kernel driver that is to have the function again does not take it: all
   * memory is released by then.
   */
  close(): void;
}

/**
 * Checks that a device which goes through the IOMMU, if there is one, can reach memory.
 *
 * @throws {UsageError} if not.
 */
export function checkReach(pci: PciFunction): void {
  if (!pci.behindIommu) return;
  throw new UsageError(
    `${pci.address}: an IOMMU keeps the device from memory by physical addresses: bind it to ` +
      "vfio-pci, or boot with iommu=pt",
  );
}

/**
 * Has the function's first MSI-X vectors each signal an eventfd, see {@linkcode PciFunction.interrupts}.
 *
 * @throws {UsageError} if the bus brings no interrupts, or the function has fewer vectors.
 */
export function openInterrupts(pci: PciFunction, vectors: number): readonly number[] {
  if (pci.interrupts) return pci.interrupts(vectors);
  throw new UsageError(
    `${pci.address}: interrupts reach a program through VFIO only: bind the device to vfio-pci, ` +
      "or open it without `interrupts`",
    { option: "interrupts" },
  );
}

/** Whether a BAR is for I/O ports. */
export function isPortBar(pci: PciFunction, index: number): boolean {
  return (pci.readConfig(Config.BAR0 + 4 * index, 4) & BAR_IO) !== 0;
}

/** Id and offset of each capability of a function, in the order of its list (section 6.7). */
export function* capabilities(pci: PciFunction): Generator<{ id: number; offset: number }> {
  if ((pci.readConfig(Config.STATUS, 2) & STATUS_CAPABILITIES) === 0) return;
  let offset = pci.readConfig(Config.CAPABILITIES, 1) & ~3;
  // 48 is as many as fit behind the header: a list that is longer goes round in circles.
  for (let i = 0; i < 48 && offset >= 0x40; i++) {
    yield { id: pci.readConfig(offset, 1), offset };
    offset = pci.readConfig(offset + 1, 1) & ~3;
  }
}
