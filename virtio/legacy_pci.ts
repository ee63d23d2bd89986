/**
 * The legacy PCI transport: a few I/O ports. For devices older than VirtIO 1.0, and for
 * transitional ones (VirtIO 1.3, section 4.1.4.10).
 *
 * @module
 */

import { type Bar, capabilities, type PciFunction } from "../src/pci/function.ts";
import { UsageError } from "../src/errors.ts";
import { PciTransport, readField } from "./pci.ts";
import { LEGACY, LEGACY_CONFIG, LEGACY_CONFIG_MSIX, type PciRegister } from "./registers.ts";
import type { QueueAreas, Transport } from "./transport.ts";

const MSIX = 0x11;
/** Bit of MSI-X's message control, which follows the capability's header. */
const MSIX_ENABLE = 1 << 15;
/** Queues are addressed by page number; size of a page in bytes. */
const PAGE = 4096;
/** Most readings of a configuration that keeps changing; the last one is used. */
const READINGS = 16;

/** The legacy PCI interface of a VirtIO device. */
export class LegacyPciTransport extends PciTransport implements Transport {
  readonly name = "legacy PCI";
  readonly legacy = true;
  readonly #bar: Bar;
  readonly #config: number;

  /** @param pci The function, claimed. */
  constructor(pci: PciFunction) {
    super(pci);
    this.#bar = pci.bar(0);
    const msix = [...capabilities(pci)].find(({ id }) => id === MSIX);
    const enabled = msix && (pci.readConfig(msix.offset + 2, 2) & MSIX_ENABLE) !== 0;
    this.#config = enabled ? LEGACY_CONFIG_MSIX : LEGACY_CONFIG;
  }

  status(): number {
    return this.#read(LEGACY.DEVICE_STATUS);
  }

  setStatus(status: number): void {
    this.#write(LEGACY.DEVICE_STATUS, status);
  }

  features(): bigint {
    return BigInt(this.#read(LEGACY.DEVICE_FEATURES));
  }

  setFeatures(features: bigint): void {
    this.#write(LEGACY.DRIVER_FEATURES, Number(features & 0xffffffffn));
  }

  /**
   * Reads until two readings agree: the legacy interface has no generation counter (section 2.5.4).
   */
  readConfig(offset: number, bytes: number): Uint8Array {
    let before = readField(this.#bar, this.#config + offset, bytes);
    for (let i = 0; i < READINGS; i++) {
      const now = readField(this.#bar, this.#config + offset, bytes);
      if (now.every((byte, at) => byte === before[at])) break;
      before = now;
    }
    return before;
  }

  writeConfig(offset: number, value: number): void {
    this.#bar.write(this.#config + offset, 1, value);
  }

  queueSize(index: number): number {
    this.#write(LEGACY.QUEUE_SELECT, index);
    return this.#read(LEGACY.QUEUE_SIZE);
  }

  startQueue(index: number, areas: QueueAreas): void {
    const page = areas.memory.busAddress(areas.descriptors, this.addressing) / PAGE;
    if (page >= 2 ** 32) {
      throw new UsageError(
        `${this.address}: queue ${index} is above the 16 TiB that a legacy device can address: ` +
          `use the modern interface`,
      );
    }
    this.#write(LEGACY.QUEUE_SELECT, index);
    this.#write(LEGACY.QUEUE_ADDRESS, page);
  }

  notify(index: number): void {
    this.#write(LEGACY.QUEUE_NOTIFY, index);
  }

  #read({ offset, bytes }: PciRegister): number {
    return this.#bar.read(offset, bytes);
  }

  #write({ offset, bytes }: PciRegister, value: number): void {
    this.#bar.write(offset, bytes, value);
  }
}
