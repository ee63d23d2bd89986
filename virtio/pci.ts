/**
 * What the two PCI transports have in common, and the choice between them.
 *
 * @module
 */

import { spinUntil, waitUntil } from "../native/clock.ts";
import {
  type Bar,
  capabilities,
  Config,
  isPortBar,
  type PciFunction,
} from "../src/pci/function.ts";
import type { Addressing, DmaMemory } from "../src/dma.ts";
import { DeviceError, UsageError } from "../src/errors.ts";
import type { Peer } from "../src/peer.ts";
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
/** Longest that a device may take to reset itself. */
const RESET_MS = 1000;
/** Several pairs of queues need a control queue, for the command that selects how many are used. */
const MULTIQUEUE = Feature.MQ | Feature.CTRL_VQ;

/** Location of a structure of the modern interface. */
export interface Structure {
  readonly type: number;
  readonly bar: number;
  readonly offset: number;
  readonly length: number;
  /** Offset of the capability in configuration space. */
  readonly capability: number;
}

/**
 * Returns the structures that a function's capabilities locate; of each type, the preferred first.
 */
export function structures(pci: PciFunction): Structure[] {
  return [...capabilities(pci)].filter(({ id }) => id === VENDOR_SPECIFIC).map((
    { offset: at },
  ) => ({
    type: pci.readConfig(at + 3, 1),
    bar: pci.readConfig(at + 4, 1),
    offset: pci.readConfig(at + 8, 4),
    length: pci.readConfig(at + 12, 4),
    capability: at,
  })).filter(({ bar }) => bar <= 5); // drivers must ignore reserved values (section 4.1.4)
}

/**
 * Returns which interface of a function to use. Default: legacy if the function has it and is
 * reached by physical addresses, else modern. Changes nothing.
 *
 * @throws {UsageError} if the function is not a network device, lacks the interface, or would
 * bypass the IOMMU with it.
 */
export function chooseInterface(
  pci: PciFunction,
  wanted?: "legacy" | "modern",
): "legacy" | "modern" {
  const id = pci.readConfig(Config.DEVICE_ID, 2);
  const isLegacy = id === TRANSITIONAL_NET;
  if (id !== MODERN_NET && !isLegacy) {
    throw new UsageError(
      `${pci.address}: VirtIO device 1af4:${id.toString(16)} is not a network card (1000 or 1041)`,
    );
  }
  if (isLegacy && pci.readConfig(Config.SUBSYSTEM_ID, 2) !== NETWORK_CARD) {
    throw new UsageError(`${pci.address}: this VirtIO device is not a network card`);
  }
  const legacy = isLegacy && isPortBar(pci, 0);
  const modern = structures(pci).some(({ type }) => type === CapabilityType.COMMON);
  if (!legacy && !modern) {
    throw new UsageError(
      `${pci.address}: this VirtIO device has neither the legacy interface (I/O ports in BAR 0) ` +
        `nor the modern one (capabilities): configure it with one of them`,
    );
  }
  if (wanted === "modern" && !modern) {
    throw new UsageError(
      `${pci.address}: the device lacks the modern interface: omit \`virtio\`, or set it to ` +
        `"legacy"`,
      { option: "virtio" },
    );
  }
  if (wanted === "legacy" && !legacy) {
    throw new UsageError(
      `${pci.address}: the device lacks the legacy interface: omit \`virtio\`, or set it to ` +
        `"modern"`,
      { option: "virtio" },
    );
  }
  const choice = wanted ??
    (legacy && (pci.addressing === "physical" || !modern) ? "legacy" : "modern");
  if (choice === "legacy" && pci.addressing !== "physical") {
    throw new UsageError(
      `${pci.address}: the legacy interface bypasses the IOMMU and needs physical addresses: ` +
        `unbind the device from vfio-pci${modern ? ', or set `virtio` to "modern"' : ""}`,
      modern ? { option: "virtio" } : {},
    );
  }
  return choice;
}

/**
 * Reads a field of the configuration space in a BAR: of 2 or 4 bytes in one access (VirtIO 1.3,
 * section 4.1.3.1), of another length byte by byte.
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

  /**
   * Creates a transport.
   *
   * @param pci The function, claimed.
   */
  constructor(pci: PciFunction) {
    this.address = pci.address;
    this.addressing = pci.addressing;
    this.pci = pci;
  }

  get peer(): Peer | undefined {
    return this.pci.peer;
  }

  /** Reads the device status. */
  abstract status(): number;
  /** Writes the device status. */
  abstract setStatus(status: number): void;
  /** Reads the features that the device offers. */
  abstract features(): bigint;
  /** Reads bytes of the device's configuration space. */
  abstract readConfig(offset: number, bytes: number): Uint8Array;

  /** Reads the number from the configuration space; a field is valid if its feature is offered. */
  queuePairs(): number {
    if ((this.features() & MULTIQUEUE) !== MULTIQUEUE) return 1;
    const [low, high] = this.readConfig(NetConfig.MAX_VIRTQUEUE_PAIRS, 2);
    return low | high << 8;
  }

  /** Resets the device, then turns bus mastering on. */
  async reset(): Promise<void> {
    this.setStatus(0);
    if (!await waitUntil(RESET_MS, () => this.status() === 0)) throw this.#notReset();
    this.pci.setBusMaster(true);
  }

  mapDma(memory: DmaMemory): void {
    this.pci.mapDma(memory);
  }

  checkAlive(): void {
    this.pci.checkAlive();
    const status = this.status();
    if (status === 0xff) {
      throw new DeviceError(this.address, "registers read as ones: the device is gone, see dmesg");
    }
    if ((status & Status.DEVICE_NEEDS_RESET) !== 0) {
      throw new DeviceError(
        this.address,
        "the device reports an error that it cannot recover from (DEVICE_NEEDS_RESET): open it " +
          "again",
      );
    }
    if ((status & Status.FAILED) !== 0 || (status & Status.DRIVER_OK) === 0) {
      throw new DeviceError(
        this.address,
        `another program has reset the device or marked it as failed (status ${status}): open it ` +
          `again`,
      );
    }
  }

  /** Resets the device, which ends all DMA (section 2.4). `close` also turns bus mastering off. */
  stop(): boolean {
    this.setStatus(0);
    if (!spinUntil(RESET_MS, () => this.status() === 0)) throw this.#notReset();
    return true;
  }

  close(): void {
    this.pci.close();
  }

  #notReset(): DeviceError {
    return new DeviceError(
      this.address,
      `no reset within ${RESET_MS} ms: the device status still reads ${this.status()}, see dmesg`,
    );
  }
}
