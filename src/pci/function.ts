/**
 * The interface through which drivers access a PCI function. It has three implementations: sysfs
 * (resource files and physical addresses), VFIO and vfio-user (both with I/O virtual addresses).
 *
 * @module
 */

import type { Addressing, DmaMemory } from "../dma.ts";
import { UsageError } from "../errors.ts";
import type { Peer } from "../peer.ts";

/** Offsets of the registers in configuration space that drivers use (PCI Local Bus 3.0, section 6.1). */
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

/** Value of CLASS for Ethernet controllers: base class and sub-class. */
export const ETHERNET_CONTROLLER = 0x0200;

/** Formats a 16-bit number as `lspci` does: four hex digits. */
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

/** STATUS: the function has a list of capabilities. */
const STATUS_CAPABILITIES = 1 << 4;
/** A base address register: the BAR is for I/O ports, not memory. */
const BAR_IO = 1;

/**
 * A register that the hot path writes. Store the value in `words`; if `write` is defined, call it as
 * well.
 */
export interface Doorbell {
  /** Memory that contains the register; a single word of scratch memory if it cannot be mapped. */
  readonly words: Uint32Array;
  /** The register's index in `words`. */
  readonly index: number;
  /**
   * Sends the value to a register that cannot be mapped; undefined if storing it in `words` reaches the
   * device.
   */
  readonly write: ((value: number) => void) | undefined;
}

/** The region behind a base address register: memory or I/O ports. Offsets and sizes are in bytes. */
export interface Bar {
  /** Size of the region in bytes. */
  readonly size: number;
  /** Reads a register of 1, 2 or 4 bytes; `offset` is a multiple of its size. */
  read(offset: number, bytes: 1 | 2 | 4): number;
  /** Writes a register of 1, 2 or 4 bytes; `offset` is a multiple of its size. */
  write(offset: number, bytes: 1 | 2 | 4, value: number): void;
  /** Returns the 4-byte register at `offset` as a doorbell. Closing the function empties mapped `words`. */
  doorbell(offset: number): Doorbell;
}

/** A PCI function: configuration space, BARs and DMA. */
export interface PciFunction {
  /** The address under which the function was opened. */
  readonly address: string;
  /** The kind of bus addresses that the device uses. */
  readonly addressing: Addressing;
  /** Whether an IOMMU translates the device's DMA and has no mappings for its bus addresses. */
  readonly behindIommu: boolean;
  /**
   * The process that serves the function; undefined for hardware. Once the function is closed, it decides
   * when buffers return to their pools.
   */
  readonly peer?: Peer | undefined;
  /** Reads 1, 2 or 4 bytes of configuration space. */
  readConfig(offset: number, bytes: 1 | 2 | 4): number;
  /** Writes 1, 2 or 4 bytes of configuration space. */
  writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void;
  /**
   * Takes the function over: unbinds the kernel driver, enables memory and I/O space, and disables INTx,
   * which no driver here handles. Before this call the function is unchanged, except that opening it
   * through VFIO resets it.
   *
   * @param force Whether to take over a function whose kernel interface is up.
   * @throws {UsageError} if the function is in use.
   */
  claim(force: boolean): void;
  /**
   * Opens a BAR, and returns the same object for the same index. Call {@linkcode PciFunction.claim} first.
   *
   * @throws {DeviceError} if the function has no such BAR.
   * @throws {UsageError} if the kernel refuses access to it.
   */
  bar(index: number): Bar;
  /**
   * Maps memory for DMA: the device can reach it at its bus addresses until the function is closed.
   * Idempotent.
   *
   * @throws {UsageError} if the device cannot reach memory of this kind.
   */
  mapDma(memory: DmaMemory): void;
  /**
   * Connects each of the function's first MSI-X vectors to an eventfd. Closing the function closes them.
   * Can be called once. Undefined if interrupts are not supported; drivers therefore call
   * {@linkcode openInterrupts}.
   *
   * @returns The nonblocking eventfds, by vector.
   * @throws {UsageError} if the function has fewer vectors.
   * @throws {Error} if it was called before.
   */
  interrupts?(vectors: number): readonly number[];
  /** Turns bus mastering, and with it all DMA, on or off. */
  setBusMaster(on: boolean): void;
  /**
   * Checks that the device is still there. Cheap enough to call every few milliseconds.
   *
   * @throws {DeviceError} if the device is gone.
   */
  checkAlive(): void;
  /**
   * Closes the function: turns bus mastering off if the function was claimed, then unmaps everything, DMA
   * memory in the order in which it was mapped. Idempotent.
   *
   * @throws {Error} if bus mastering cannot be turned off, or memory cannot be unmapped from the IOMMU. The
   * memory that the device may still reach then stays allocated and pinned until the process ends.
   * @throws {DeviceError} if the kernel driver does not take the function back. All memory is unpinned by
   * then.
   */
  close(): void;
}

/**
 * Checks that no IOMMU keeps the device from its bus addresses, see {@linkcode PciFunction.behindIommu}.
 *
 * @throws {UsageError} if one does.
 */
export function checkReach(pci: PciFunction): void {
  if (!pci.behindIommu) return;
  throw new UsageError(
    `${pci.address}: an IOMMU blocks access to memory by physical addresses: bind the device to ` +
      "vfio-pci, or boot with iommu=pt",
  );
}

/**
 * Connects each of the function's first MSI-X vectors to an eventfd, see
 * {@linkcode PciFunction.interrupts}.
 *
 * @returns The nonblocking eventfds, by vector.
 * @throws {UsageError} if interrupts are not supported, or the function has fewer vectors.
 */
export function openInterrupts(pci: PciFunction, vectors: number): readonly number[] {
  if (pci.interrupts) return pci.interrupts(vectors);
  throw new UsageError(
    `${pci.address}: interrupts are supported only through VFIO: bind the device to vfio-pci, ` +
      "or open it without `interrupts`",
    { option: "interrupts" },
  );
}

/** Returns whether a BAR is for I/O ports. */
export function isPortBar(pci: PciFunction, index: number): boolean {
  return (pci.readConfig(Config.BAR0 + 4 * index, 4) & BAR_IO) !== 0;
}

/** Yields the ID and offset of each capability of a function, in the order of its list (section 6.7). */
export function* capabilities(pci: PciFunction): Generator<{ id: number; offset: number }> {
  if ((pci.readConfig(Config.STATUS, 2) & STATUS_CAPABILITIES) === 0) return;
  let offset = pci.readConfig(Config.CAPABILITIES, 1) & ~3;
  // At most 48 capabilities fit behind the header: a longer list is circular.
  for (let i = 0; i < 48 && offset >= 0x40; i++) {
    yield { id: pci.readConfig(offset, 1), offset };
    offset = pci.readConfig(offset + 1, 1) & ~3;
  }
}
