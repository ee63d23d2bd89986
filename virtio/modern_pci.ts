/**
 * The modern PCI transport: structures in BARs, located by the function's vendor-specific
 * capabilities (VirtIO 1.3, section 4.1.4).
 *
 * @module
 */

import { type Bar, checkReach, type PciFunction } from "../src/pci/function.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import { Feature } from "./features.ts";
import { CapabilityType, PciTransport, readField, type Structure, structures } from "./pci.ts";
import { COMMON, COMMON_BYTES, type PciRegister } from "./registers.ts";
import type { QueueAreas, Transport } from "./transport.ts";

/** Offset of the multiplier in the notification capability. */
const MULTIPLIER = 16;
/** Most readings of a configuration that keeps changing; then the device has failed. */
const READINGS = 16;

/** Part of a BAR. */
interface Window {
  readonly bar: Bar;
  readonly offset: number;
  readonly length: number;
}

/** The modern PCI interface of a VirtIO device. */
export class ModernPciTransport extends PciTransport implements Transport {
  readonly name = "modern PCI";
  readonly legacy = false;
  readonly #common: Window;
  readonly #notify: Window;
  readonly #config: Window;
  readonly #multiplier: number;
  /** Offset of each started queue's notification address in the BAR. */
  readonly #doorbells: number[] = [];

  /**
   * Creates a transport.
   *
   * @param pci The function, claimed.
   * @throws {DeviceError} if a structure is missing, or is outside its BAR.
   */
  constructor(pci: PciFunction) {
    super(pci);
    const all = structures(pci);
    const find = (type: number, what: string, least: number, alignment: number) => {
      const found = all.find((structure) => structure.type === type);
      if (!found) {
        throw new DeviceError(
          pci.address,
          `the device lacks the capability of its ${what} structure: use another device`,
        );
      }
      return { found, window: this.#window(found, what, least, alignment) };
    };
    // Alignments: sections 4.1.4.3.1, 4.1.4.6 and 4.1.4.4.
    this.#common = find(CapabilityType.COMMON, "common configuration", COMMON_BYTES, 4).window;
    this.#config = find(CapabilityType.DEVICE, "device configuration", 8, 4).window;
    const notify = find(CapabilityType.NOTIFY, "notification", 2, 2);
    this.#notify = notify.window;
    this.#multiplier = pci.readConfig(notify.found.capability + MULTIPLIER, 4);
  }

  #window(structure: Structure, what: string, least: number, alignment: number): Window {
    const { offset, length } = structure;
    const bar = this.pci.bar(structure.bar);
    if (offset % alignment !== 0) {
      throw new DeviceError(
        this.address,
        `its ${what} structure begins at ${offset} of BAR ${structure.bar}, which is not a multiple of ` +
          `${alignment}: use another device`,
      );
    }
    if (length < least || offset + length > bar.size) {
      throw new DeviceError(
        this.address,
        `its ${what} structure has ${length} bytes at ${offset} of BAR ${structure.bar}, which ` +
          `has ${bar.size}: use another device`,
      );
    }
    return { bar, offset, length };
  }

  status(): number {
    return this.#read(COMMON.DEVICE_STATUS);
  }

  setStatus(status: number): void {
    this.#write(COMMON.DEVICE_STATUS, status);
  }

  features(): bigint {
    const half = (select: number) => {
      this.#write(COMMON.DEVICE_FEATURE_SELECT, select);
      return BigInt(this.#read(COMMON.DEVICE_FEATURE));
    };
    const offered = half(0) | half(1) << 32n;
    // Such a device uses the IOVAs that it is given as physical addresses (section 6.1).
    if (this.addressing === "iova" && (offered & Feature.ACCESS_PLATFORM) === 0n) {
      throw new UsageError(
        `${this.address}: the device bypasses the IOMMU (no ACCESS_PLATFORM; in QEMU, ` +
          `iommu_platform=on): unbind it from vfio-pci`,
      );
    }
    if ((offered & Feature.ACCESS_PLATFORM) !== 0n) checkReach(this.pci);
    return offered;
  }

  setFeatures(features: bigint): void {
    [features & 0xffffffffn, features >> 32n].forEach((half, select) => {
      this.#write(COMMON.DRIVER_FEATURE_SELECT, select);
      this.#write(COMMON.DRIVER_FEATURE, Number(half));
    });
  }

  readConfig(offset: number, bytes: number): Uint8Array {
    const { bar, offset: base, length } = this.#config;
    if (offset + bytes > length) {
      throw new DeviceError(
        this.address,
        `its configuration ends before byte ${offset + bytes}: use another device`,
      );
    }
    for (let i = 0; i < READINGS; i++) {
      const generation = this.#read(COMMON.CONFIG_GENERATION);
      const read = readField(bar, base + offset, bytes);
      if (this.#read(COMMON.CONFIG_GENERATION) === generation) return read;
    }
    throw new DeviceError(
      this.address,
      "its configuration changes faster than it can be read: open the device again",
    );
  }

  writeConfig(offset: number, value: number): void {
    this.#config.bar.write(this.#config.offset + offset, 1, value);
  }

  queueSize(index: number): number {
    if (index >= this.#read(COMMON.NUM_QUEUES)) return 0;
    this.#write(COMMON.QUEUE_SELECT, index);
    return this.#read(COMMON.QUEUE_SIZE);
  }

  startQueue(index: number, areas: QueueAreas): void {
    const { memory } = areas;
    this.#write(COMMON.QUEUE_SELECT, index);
    const doorbell = this.#read(COMMON.QUEUE_NOTIFY_OFF) * this.#multiplier;
    if (doorbell + 2 > this.#notify.length || doorbell % 2 !== 0) {
      throw new DeviceError(
        this.address,
        `the notification address of queue ${index}, ${doorbell}, is odd or outside its structure of ` +
          `${this.#notify.length} bytes: use another device`,
      );
    }
    this.#doorbells[index] = this.#notify.offset + doorbell;
    const put = (low: PciRegister, high: PciRegister, offset: number) => {
      const address = memory.busAddress(offset, this.addressing);
      this.#write(low, address % 2 ** 32);
      this.#write(high, Math.floor(address / 2 ** 32));
    };
    put(COMMON.QUEUE_DESC_LO, COMMON.QUEUE_DESC_HI, areas.descriptors);
    put(COMMON.QUEUE_DRIVER_LO, COMMON.QUEUE_DRIVER_HI, areas.available);
    put(COMMON.QUEUE_DEVICE_LO, COMMON.QUEUE_DEVICE_HI, areas.used);
    this.#write(COMMON.QUEUE_ENABLE, 1);
  }

  notify(index: number): void {
    this.#notify.bar.write(this.#doorbells[index], 2, index);
  }

  #read({ offset, bytes }: PciRegister): number {
    return this.#common.bar.read(this.#common.offset + offset, bytes);
  }

  #write({ offset, bytes }: PciRegister, value: number): void {
    this.#common.bar.write(this.#common.offset + offset, bytes, value);
  }
}
