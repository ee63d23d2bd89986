/**
 * Dumps status, features, queues and configuration of a VirtIO network card that is not bound to a
 * driver. Features and queues are read through selectors, so a driver that uses them at the same
 * time would read wrong values. Part of the program `nic.ts`, and therefore above the drivers.
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

/** Most queues that are listed. */
const MAX_QUEUES = 1024;
const LINK_UP = 1;

/** Dump of a VirtIO network card. */
export interface VirtioDump {
  /** Its address. */
  readonly address: string;
  /** The interface that was used: `legacy PCI` or `modern PCI`. */
  readonly transport: string;
  /** The device status. */
  readonly status: number;
  /** Names of the bits that are set in the device status. */
  readonly statusBits: readonly string[];
  /** The offered features, by name or by bit number. */
  readonly features: readonly string[];
  /** Descriptors of each queue. */
  readonly queueSizes: readonly number[];
  /** Its MAC address, or null if it does not have one. */
  readonly mac: string | null;
  /** Whether the link is up, or null if the card does not report it. */
  readonly linkUp: boolean | null;
  /** Link speed in Mbit/s, or null if the card does not report it. */
  readonly speed: number | null;
}

/** A function that is used without DMA, so that an IOMMU does not matter. */
class ObservedFunction extends SysfsFunction {
  override get behindIommu(): boolean {
    return false;
  }
}

/**
 * Dumps a card that is not bound to a driver.
 *
 * @param wanted The interface to use of a card that has both.
 * @throws {UsageError} if a driver has it, its registers are turned off, or the user is not root.
 */
export function dumpVirtio(
  system: System,
  { address, driver }: FunctionFiles,
  wanted?: "legacy" | "modern",
): VirtioDump {
  if (driver !== null) {
    const why = driver === "vfio-pci"
      ? "opening it through VFIO would reset it"
      : "its features and queues are read through selectors that this driver uses too";
    throw new UsageError(
      `${address}: ${driver} has the device, and ${why}: unbind it first with ` +
        `\`nic.ts bind ${address} none\``,
    );
  }
  const pci = new ObservedFunction(address, system.devices);
  try {
    const choice = chooseInterface(pci, wanted);
    checkOn(pci, choice === "legacy" ? Command.IO : Command.MEMORY);
    return dump(choice === "legacy" ? new LegacyPciTransport(pci) : new ModernPciTransport(pci));
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
    }): start a driver once, which turns them on`,
  );
}

function dump(transport: Transport): VirtioDump {
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

/** The value of an unknown speed. */
const ONES = 0xffffffff;

/** Formats a dump as lines of text. */
export function* formatVirtio(found: VirtioDump): Generator<string> {
  const { status, statusBits, speed, linkUp } = found;
  yield `${found.address}: VirtIO network card, ${found.transport}`;
  yield `status    ${status}${statusBits.length > 0 ? ` (${statusBits.join(" ")})` : " (reset)"}`;
  yield `features  ${found.features.join(" ")}`;
  yield `queues    ${found.queueSizes.map((size, i) => `${i}: ${size}`).join(", ")}`;
  yield `mac       ${found.mac ?? "none of its own"}`;
  yield `link      ${linkUp === null ? "not reported" : linkUp ? "up" : "down"}` +
    `${speed === null ? "" : `, ${speed} Mbit/s`}`;
}
