/**
 * Names in the VirtIO specification, for titles of steps.
 *
 * @module
 */

import { featureNames } from "../../../virtio/features.ts";
import { NetConfig } from "../../../virtio/registers.ts";
import { Status } from "../../../virtio/transport.ts";
import { DESC_NEXT, DESC_WRITE } from "../../../virtio/virtqueue.ts";
import type { RingName } from "../../recording/layout.ts";
import { OTHER_FEATURES } from "./device/net_device.ts";

/** Commands by class and command (VirtIO 1.3, section 5.1.6.5). */
const COMMANDS: Readonly<Record<string, string>> = {
  "0.0": "VIRTIO_NET_CTRL_RX_PROMISC",
  "0.1": "VIRTIO_NET_CTRL_RX_ALLMULTI",
  "1.0": "VIRTIO_NET_CTRL_MAC_TABLE_SET",
  "1.1": "VIRTIO_NET_CTRL_MAC_ADDR_SET",
  "4.0": "VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET",
};

/** Fields of the configuration space by offset (section 5.1.4). */
const FIELDS: Readonly<Record<number, string>> = {
  [NetConfig.MAC]: "mac",
  [NetConfig.STATUS]: "status",
  [NetConfig.MAX_VIRTQUEUE_PAIRS]: "max_virtqueue_pairs",
  [NetConfig.SPEED]: "speed",
};

/** Returns the name of a receive or transmit queue (section 5.1.2): they are numbered from 1. */
export function queueName(ring: RingName["ring"], queue: number): string {
  return `${ring === "rx" ? "receiveq" : "transmitq"}${queue + 1}`;
}

/** Returns the bits of the device status by name. */
export function statusText(status: number): string {
  const names = Object.entries(Status).filter(([, bit]) => status & bit).map(([name]) => name);
  return names.join(" | ") || "0";
}

/** Returns the names of features, also of those that the driver does not know. */
export function featuresText(features: bigint): string {
  const others = Object.values(OTHER_FEATURES).reduce((sum, bit) => sum | bit, 0n);
  const names = Object.entries(OTHER_FEATURES).filter(([, bit]) => features & bit);
  return [...names.map(([name]) => name), ...featureNames(features & ~others)].join(", ") || "none";
}

/** Returns a number of bytes in words. */
export function bytesText(bytes: number): string {
  return bytes === 1 ? "1 byte" : `${bytes} bytes`;
}

/** Returns a descriptor's length, flags and next in words. */
export function descriptorText([, , length, flags]: readonly number[]): string {
  const bits = [
    ...(flags & DESC_NEXT ? [`NEXT: ${flags >>> 16}`] : []),
    ...(flags & DESC_WRITE ? ["WRITE"] : []),
  ];
  return [bytesText(length), ...bits].join(", ");
}

/** Returns the name of a command. */
export function commandText(group: number, number: number): string {
  return COMMANDS[`${group}.${number}`] ?? `command ${group}.${number}`;
}

/** Returns the name of the field at an offset of the configuration space. */
export function fieldText(offset: number): string {
  return FIELDS[offset] ?? `byte ${offset} of the configuration space`;
}
