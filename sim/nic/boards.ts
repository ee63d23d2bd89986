/**
 * The boards that the model supports: controller, PHY, cage, memory and link, by PCI device ID.
 *
 * @module
 */

import { AUTOC, ESDP } from "../../ixgbe/registers.ts";
import type { TimeKind } from "../registers/system_time.ts";
import { ALL_SPEEDS, type PhyKind } from "./phy.ts";

/** PCI device IDs with which tests and programs choose a board. */
export const DEVICE = {
  ...{ SFP: 0x10fb, KX4: 0x10f7, KR: 0x1517, X540: 0x1528, X550: 0x1563 },
} as const;

/** Controllers whose registers differ. */
type Family = "82599" | "X540" | "X550";

const X540_IDS = [0x1528, 0x1560];
const X550_IDS = [0x1563, 0x15d1];
/** Boards with a cage for an SFP+ module. That of 0x1558 is for QSFP+, which has another bus and pins. */
const CAGE_IDS: readonly number[] = [
  ...[DEVICE.SFP, 0x1507, 0x1529, 0x154a, 0x154d, 0x1557],
];

/** Returns the controller with a PCI device ID; the 82599 for unknown IDs. */
export function familyOf(deviceId: number): Family {
  if (X540_IDS.includes(deviceId)) return "X540";
  return X550_IDS.includes(deviceId) ? "X550" : "82599";
}

/** Whether the controller is an X540 or X550, not an 82599. */
export function isX540OrLater(deviceId: number): boolean {
  return familyOf(deviceId) !== "82599";
}

/** Whether the controller is an X550. */
export function isX550(deviceId: number): boolean {
  return familyOf(deviceId) === "X550";
}

/** Whether the redirection table of receive side scaling is the X550's. */
export function hasLargeRedirectionTable(deviceId: number): boolean {
  return isX550(deviceId);
}

/** Returns how the controller counts the system time. */
export function timeKind(deviceId: number): TimeKind {
  return familyOf(deviceId);
}

/** Whether RDRXCTL has CRCSTRIP (8.2.3.8.8); the X550 reserves its bit (X550: 8.2.2.9.10). */
export function hasCrcStripForDma(deviceId: number): boolean {
  return familyOf(deviceId) !== "X550";
}

/** Returns the KB of receive packet memory, for packet buffers and flow director (8.2.3.8.9). */
export function receiveMemory(deviceId: number): number {
  return isX540OrLater(deviceId) ? 384 : 512;
}

/** Returns the words of the EEPROM; on X540 and X550, of the shadow RAM (X550: 8.2.2.2.1). */
export function eepromWords(deviceId: number): number {
  return isX540OrLater(deviceId) ? 8192 : 1024;
}

/** Boards whose backplane negotiates KX4, KX and KR (clause 73 of IEEE 802.3), and those with KR. */
const BACKPLANE_IDS: readonly number[] = [DEVICE.KX4, 0x10f8, 0x1514, DEVICE.KR, 0x152a];
const KR_IDS: readonly number[] = [0x10f8, DEVICE.KR, 0x152a];
/** Boards for CX4 and XAUI: 10 Gb/s over four lanes, without negotiation. */
const PARALLEL_IDS = [0x10f9, 0x10fc];

/** Whether a driver reaches a PHY by MDIO, which firmware uses too. */
export function hasPhy(deviceId: number): boolean {
  return isX540OrLater(deviceId);
}

/**
 * Returns the board's PHY that a driver reaches by MDIO. The X550's has "the port number as reflected
 * in the STATUS.LAN_ID field" for its address (X550 datasheet, section 8.2.2.16.4).
 */
export function phyOf(deviceId: number, lanId: number): PhyKind {
  switch (familyOf(deviceId)) {
    case "X540":
      return { identifier: 0x01540200, address: 0, speeds: [100, 1000, 10000] };
    case "X550":
      return { identifier: 0x01540223, address: lanId, speeds: ALL_SPEEDS };
    default:
      return { identifier: 0, address: 0, speeds: [] };
  }
}

/** Returns whether the board has a cage with an SFP+ module. */
export function hasCage(deviceId: number): boolean {
  return CAGE_IDS.includes(deviceId);
}

/** Returns ESDP at power-on: the EEPROM sets it, resets keep it (8.2.3.1.4), and a laser is on. */
export function boardPins(deviceId: number): number {
  return hasCage(deviceId) ? ESDP.SDP3_DIR : 0;
}

/** Returns the bits of AUTOC that advertise what the board's backplane has, as the EEPROM sets them. */
export function boardAbilities(deviceId: number): number {
  if (deviceId === DEVICE.KR) return AUTOC.KX_SUPP_KX | AUTOC.KR_SUPP;
  return AUTOC.KX_SUPP | (KR_IDS.includes(deviceId) ? AUTOC.KR_SUPP : 0);
}

/** What an EEPROM sets the link of a board with a cage to: SFI at 10 or 1 Gb/s, or XAUI. */
export type LinkDefault = "10G" | "1G" | "XAUI";

/** Returns the link mode (AUTOC.LMS) that the EEPROM sets. */
export function boardLinkMode(deviceId: number, link: LinkDefault = "10G"): number {
  if (BACKPLANE_IDS.includes(deviceId)) return AUTOC.LMS_KX4_KX_KR;
  if (PARALLEL_IDS.includes(deviceId)) return AUTOC.LMS_10G_PARALLEL;
  if (!hasCage(deviceId) || link === "10G") return AUTOC.LMS_10G_SERIAL;
  return link === "1G" ? AUTOC.LMS_1G_AN : AUTOC.LMS_10G_PARALLEL;
}
