/**
 * What the two PCI transports have in common, and how a function is looked at to find out which of
 * them it has.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import {
  type Bar,
  capabilities,
  Config,
  isPortBar,
  type PciFunction,
} from "../src/pci/function.ts";
import type { Addressing, DmaMemory } from "../src/dma.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import { Feature } from "./features.ts";
import { NetConfig } from "./registers.ts";
import { Status } from "./transport.ts";

/** Vendor id of VirtIO devices. */
export const RED_HAT = 0x1af4;
/** Device ids: transitional or legacy, and modern only (VirtIO 1.3, sections 4.1.2 and 5.1.1). */
export const TRANSITIONAL_NET = 0x1000, MODERN_NET = 0x1041;
/** Subsystem id of a legacy network device: its VirtIO device id. */
const NETWORK_CARD = 1;
/** Capability ids of PCI: vendor specific, MSI-X. */
const VENDOR_SPECIFIC = 0x09;
/** Types of VirtIO's vendor-specific capabilities (section 4.1.4). */
export const CapabilityType = { COMMON: 1, NOTIFY: 2, DEVICE: 4 } as const;
/** How long a device may take to reset itself. */
const RESET_MS = 1000;
/** Several pairs of queues need a control queue, which says how many of them are used. */
const MULTIQUEUE = Feature.MQ | Feature.CTRL_VQ;

/** A structure of the modern interface: where in which BAR it is. */
export interface Structure {
  readonly type: number;
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
  /** Where the capability itself is in configuration space. */
  readonly capability: number;
}

/** The structures that a function's capabilities point to; of each type, the preferred one first. */
export function structures(pci: PciFunction): Structure[] {
  return [...capabilities(pci)].filter(({ id }) => id === VENDOR_SPECIFIC).map((
    { offset: at },
  ) => ({
    type: pci.readConfig(at + 3, 1),
    bar: pci.readConfig(at + 4, 1),
    offset: pci.readConfig(at + 8, 4),
    length: pci.readConfig(at + 12, 4),
    capability: at,
  })).filter(({ bar }) => bar <= 5); // other values are reserved, to be ignored (section 4.1.4)
}

/**
 * Which interface of a function to use; legacy where there is one and the bus can serve it, unless
 * told otherwise. Changes nothing.
 *
 * @throws {UsageError} if it is no network device, or has no such interface.
 */
export function chooseInterface(
  pci: PciFunction,
  wanted?: "legacy" | "modern",
): "legacy" | "modern" {
  const id = pci.readConfig(Config.DEVICE_ID, 2);
  const isLegacy = id === TRANSITIONAL_NET;
  if (id !== MODERN_NET && !isLegacy) {
    throw new UsageError(
      `${pci.address}: VirtIO device 1af4:${id.toString(16)} is no network card (1000 or 1041)`,
    );
  }
  if (isLegacy && pci.readConfig(Config.SUBSYSTEM_ID, 2) !== NETWORK_CARD) {
    throw new UsageError(`${pci.address}: this VirtIO device is no network card`);
  }
  const legacy = isLegacy && isPortBar(pci, 0);
  const modern = structures(pci).some(({ type }) => type === CapabilityType.COMMON);
  if (!legacy && !modern) {
    throw new UsageError(
      `${pci.address}: this VirtIO device has neither the legacy interface (I/O ports in BAR 0) nor ` +
        `the modern one (capabilities): set it up with one of them`,
    );
  }
  if (wanted === "modern" && !modern) {
    throw new UsageError(
      `${pci.address}: a legacy device only: leave out \`virtio\`, or set it to "legacy"`,
      { option: "virtio" },
    );
  }
  if (wanted === "legacy" && !legacy) {
    throw new UsageError(
      `${pci.address}: a modern device only: leave out \`virtio\`, or set it to "modern"`,
      { option: "virtio" },
    );
  }
  const choice = wanted ??
    (legacy && (pci.addressing === "physical" || !modern) ? "legacy" : "modern");
  if (choice === "legacy" && pci.addressing !== "physical") {
    throw new UsageError(
      `${pci.address}: a legacy device bypasses the IOMMU and wants physical addresses: unbind it ` +
        `from vfio-pci${modern ? ', or set `virtio` to "modern"' : ""}`,
      modern ? { option: "virtio" } : {},
    );
  }
  return choice;
}

/**
 * Bytes of a BAR as a field of the configuration space is to be read: fields of 2 and 4 bytes at once
 * (VirtIO 1.3, section 4.1.3.1), others byte by byte.
 */
export function readField(bar: Bar, offset: number, bytes: number): Uint8Array {
  const field = new Uint8Array(bytes);
  if (bytes === 2 || bytes === 4) {
    const value = bar.read(offset, bytes);
    for (let i = 0; i < bytes; i++) field[i] = value >>> 8 * i;
  } else {
    for (let i = 0; i < bytes; i++) field[i] = bar.read(offset + i, 1);
  }
  return field;
}

/** The base of the PCI transports. */
export abstract class PciTransport {
  readonly address: string;
  readonly addressing: Addressing;
  protected readonly pci: PciFunction;

  /** @param pci The function, claimed. */
  constructor(pci: PciFunction) {
    this.address = pci.address;
    this.addressing = pci.addressing;
    this.pci = pci;
  }

  /** The device status. */
  abstract status(): number;
  /** Writes the device status. */
  abstract setStatus(status: number): void;
  /** The features that the device offers. */
  abstract features(): bigint;
  /** Bytes of the device's configuration space. */
  abstract readConfig(offset: number, bytes: number): Uint8Array;

  /** As the configuration space says, whose fields can be read once their feature is offered. */
  queuePairs(): number {
    if ((this.features() & MULTIQUEUE) !== MULTIQUEUE) return 1;
    const [low, high] = this.readConfig(NetConfig.MAX_VIRTQUEUE_PAIRS, 2);
    return low | high << 8;
  }

  /** Resets the device; only then may it reach memory. */
  async reset(): Promise<void> {
    this.setStatus(0);
    const deadline = performance.now() + RESET_MS;
    while (this.status() !== 0) {
      if (performance.now() > deadline) throw this.#notReset();
      await delay(1);
    }
    this.pci.setBusMaster(true);
  }

  mapDma(memory: DmaMemory): void {
    this.pci.mapDma(memory);
  }

  checkAlive(): void {
    this.pci.checkAlive();
    const status = this.status();
    if (status === 0xff) throw new DeviceError(this.address, "registers read as ones: it is gone");
    if ((status & Status.DEVICE_NEEDS_RESET) !== 0) {
      throw new DeviceError(
        this.address,
        "the device has met an error that it cannot recover from (DEVICE_NEEDS_RESET): start again",
      );
    }
    if ((status & Status.FAILED) !== 0 || (status & Status.DRIVER_OK) === 0) {
      throw new DeviceError(
        this.address,
        `the device was reset or given up by somebody else (status ${status}): start again`,
      );
    }
  }

  /** A reset ends all DMA (section 2.4); bus mastering goes off too, should it not. */
  stop(): boolean {
    this.setStatus(0);
    const deadline = performance.now() + RESET_MS;
    while (this.status() !== 0) if (performance.now() > deadline) throw this.#notReset();
    return true;
  }

  close(): void {
    this.pci.close();
  }

  #notReset(): DeviceError {
    return new DeviceError(
      this.address,
      `no reset within ${RESET_MS} ms: the device status still reads ${this.status()}`,
    );
  }
}
