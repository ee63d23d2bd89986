/**
 * MAC addresses, as 6 bytes.
 *
 * @module
 */

import { UsageError } from "./errors.ts";

/**
 * Checks an address that a device is to have.
 *
 * @throws {UsageError} if it is no unicast address of 6 bytes.
 */
export function checkUnicast(device: string, mac: Uint8Array): void {
  if (mac.length === 6 && !(mac[0] & 1) && mac.some((byte) => byte !== 0)) return;
  throw new UsageError(`${device}: ${formatMac(mac)} is no unicast MAC address of 6 bytes`);
}

/**
 * Checks addresses of groups.
 *
 * @throws {UsageError} if one is no multicast address of 6 bytes.
 */
export function checkMulticast(device: string, addresses: readonly Uint8Array[]): void {
  for (const mac of addresses) {
    if (mac.length === 6 && mac[0] & 1) continue;
    throw new UsageError(`${device}: ${formatMac(mac)} is no multicast MAC address of 6 bytes`);
  }
}

/** An address as people write it: `52:54:00:12:34:56`. */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":") || "nothing";
}
