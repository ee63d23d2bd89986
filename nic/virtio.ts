/**
 * What a VirtIO network card says of itself: status, features, queues, configuration. Only of a card
 * that no driver has: features and queues are seen through selectors, which the driver uses too, and
 * would find changed under it. Part of the program `nic.ts`, and so above the drivers.
 *
 * @module
 */

import { Command, Config, hex16, type PciFunction } from "../src/pci/function.ts";
import { SysfsFunction } from "../src/pci/sysfs.ts";
import { UsageError } from "../src/errors.ts";
import { formatMac } from "../src/driver.ts";
import { Feature, featureNames } from "../virtio/features.ts";
import { LegacyPciTransport } from "../virtio/legacy_pci.ts";
import { ModernPciTransport } from "../virtio/modern_pci.ts";
import { chooseInterface } from "../virtio/pci.ts";
import { NetConfig } from "../virtio/registers.ts";
import { Status, type Transport } from "../virtio/transport.ts";
import type { FunctionFiles, System } from "./system.ts";

/** More queues than any card has that is listed here. */
const MAX_QUEUES = 1024;
const LINK_UP = 1;

/** What a card says of itself. */
export interface VirtioDump {
  /** Its address. */
  readonly address: string;
  /** The interface that was asked: `legacy PCI` or `modern PCI`. */
  readonly transport: string;
  /** The device status, and the names of its bits. */
  readonly status: number;
  readonly statusBits: readonly string[];
  /** The features that it offers, by name or by bit number. */
  readonly features: readonly string[];
  /** Descriptors of each queue. */
  readonly queueSizes: readonly number[];
  /** Its MAC address, or null if it has none of its own. */
  readonly mac: string | null;
  /** Whether the link is up, or null if it does not tell. */
  readonly linkUp: boolean | null;
  /** Link speed in Mbit/s, or null if it does not tell. */
  readonly speed: number | null;
}

/** No DMA is asked for here, so that an IOMMU is no obstacle. */
class ObservedFunction extends SysfsFunction {
  override get behindIommu(): boolean {
    return false;
  }
}

/**
 * Asks a card that no driver has.
 *
 * @param wanted The interface to ask, of a card that has both.
 * @throws {UsageError} if a driver has it, its registers are turned off, or this is not root.
 */
export function dumpVirtio(
  system: System,
  { address, driver }: FunctionFiles,
  wanted?: "legacy" | "modern",
): VirtioDump {
  if (driver !== null) {
    const why = driver === "vfio-pci"
      ? "opening it by VFIO would reset it"
      : "its features and queues are seen through selectors that this driver uses too";
    throw new UsageError(
      `${address}: ${driver} has the device, and ${why}: unbind it first with ` +
        `\`nic.ts bind ${address} none\``,
    );
  }
  const pci = new ObservedFunction(address, system.devices);
  try {
    const choice = chooseInterface(pci, wanted);
    checkOn(pci, choice === "legacy" ? Command.IO : Command.MEMORY);
    return ask(choice === "legacy" ? new LegacyPciTransport(pci) : new ModernPciTransport(pci));
  } finally {
    pci.close();
  }
}

function checkOn(pci: PciFunction, space: number): void {
  const command = pci.readConfig(Config.COMMAND, 2);
  if ((command & space) !== 0) return;
  throw new UsageError(
    `${pci.address}: its registers are turned off (COMMAND ${
      hex16(command)
    }): run a driver on it ` +
      "once, which turns them on",
  );
}

function ask(transport: Transport): VirtioDump {
  const status = transport.status();
  const features = transport.features();
  const has = (feature: bigint) => (features & feature) !== 0n;
  const queueSizes: number[] = [];
  for (let i = 0; i < MAX_QUEUES; i++) {
    const size = transport.queueSize(i, 0);
    if (size === 0) break;
    queueSizes.push(size);
  }
  const view = (offset: number, bytes: number) => {
    return new DataView(transport.readConfig(offset, bytes).slice().buffer);
  };
  const speed = has(Feature.SPEED_DUPLEX) ? view(NetConfig.SPEED, 4).getUint32(0, true) : ONES;
  return {
    address: transport.address,
    transport: transport.name,
    status,
    statusBits: Object.entries(Status).filter(([, bit]) => status & bit).map(([name]) => name),
    features: featureNames(features),
    queueSizes,
    mac: has(Feature.MAC) ? formatMac(transport.readConfig(NetConfig.MAC, 6)) : null,
    linkUp: has(Feature.STATUS)
      ? (view(NetConfig.STATUS, 2).getUint16(0, true) & LINK_UP) !== 0
      : null,
    speed: speed === ONES ? null : speed,
  };
}

/** A speed that is not known. */
const ONES = 0xffffffff;

/** Lines for people. */
export function* formatVirtio(found: VirtioDump): Generator<string> {
  const { status, statusBits, speed, linkUp } = found;
  yield `${found.address}: VirtIO network card, ${found.transport}`;
  yield `status    ${status}${statusBits.length > 0 ? ` (${statusBits.join(" ")})` : " (reset)"}`;
  yield `features  ${found.features.join(" ")}`;
  yield `queues    ${found.queueSizes.map((size, i) => `${i}: ${size}`).join(", ")}`;
  yield `mac       ${found.mac ?? "none of its own"}`;
  yield `link      ${linkUp === null ? "not told" : linkUp ? "up" : "down"}` +
    `${speed === null ? "" : `, ${speed} Mbit/s`}`;
}
