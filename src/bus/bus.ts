/**
 * How a PCI function is reached. Three buses have this interface: sysfs (resource files, physical
 * addresses), VFIO and vfio-user (bus addresses of our choice). A driver sees nothing else.
 *
 * @module
 */

import type { Addressing, DmaMemory } from "../dma.ts";

/** Configuration space registers that every PCI function has (PCI Local Bus 3.0, section 6.1). */
export const Config = {
  VENDOR_ID: 0x00,
  DEVICE_ID: 0x02,
  COMMAND: 0x04,
  CLASS: 0x0a,
} as const;

/** Bits of the COMMAND register. */
export const Command = { MEMORY: 1 << 1, BUS_MASTER: 1 << 2 } as const;

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
  readonly ring: ((value: number) => void) | undefined;
}

/** A base address register's memory. Offsets and sizes are in bytes. */
export interface Bar {
  /** Size of the region in bytes. */
  readonly size: number;
  /** Reads the 32-bit register at a multiple of 4. */
  read32(offset: number): number;
  /** Writes the 32-bit register at a multiple of 4. */
  write32(offset: number, value: number): void;
  /** The register at `offset` for writing once a batch. Its `words` are empty once the bus closes. */
  doorbell(offset: number): Doorbell;
}

/** A PCI function: configuration space, BARs and DMA. */
export interface Bus {
  /** The address under which the function was opened. */
  readonly address: string;
  /** What bus addresses the device uses. */
  readonly addressing: Addressing;
  /** Reads 1, 2 or 4 bytes of configuration space. */
  readConfig(offset: number, bytes: 1 | 2 | 4): number;
  /** Writes 1, 2 or 4 bytes of configuration space. */
  writeConfig(offset: number, bytes: 1 | 2 | 4, value: number): void;
  /**
   * Takes the function over: a kernel driver is unbound, memory space is enabled. Nothing before
   * this changes anything.
   *
   * @param force Whether to do so even though the kernel's interface is up.
   * @throws {UsageError} if the function is in use.
   */
  claim(force: boolean): void;
  /**
   * Opens a memory BAR; the same object for the same index. After {@linkcode Bus.claim}.
   *
   * @throws {DeviceError} if the function has no such BAR.
   */
  bar(index: number): Bar;
  /**
   * Lets the device reach memory at its bus addresses until the bus closes. Again: nothing happens.
   *
   * @throws {UsageError} if the device cannot reach memory of this kind.
   */
  mapDma(memory: DmaMemory): void;
  /** Turns bus mastering, and with it all DMA, on or off. */
  setBusMaster(on: boolean): void;
  /**
   * Looks whether the device is still there. Cheap enough for every few milliseconds.
   *
   * @throws {DeviceError} if it is gone.
   */
  check(): void;
  /**
   * Gives up the function: bus mastering off where it was claimed, then everything unmapped. Again:
   * nothing happens.
   *
   * @throws {Error} if bus mastering cannot be turned off; the memory stays out of reach of `free`.
   */
  close(): void;
}

/** Sets or clears the bus master bit and leaves the rest of COMMAND as it is. */
export function writeBusMaster(bus: Bus, on: boolean): void {
  const command = bus.readConfig(Config.COMMAND, 2);
  const next = on ? command | Command.BUS_MASTER : command & ~Command.BUS_MASTER;
  if (next !== command) bus.writeConfig(Config.COMMAND, 2, next);
}
