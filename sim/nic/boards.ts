/**
 * The boards that the model supports: controller, PHY, cage, memory and link, by PCI device ID.
 *
 * @module
 */

import { AUTOC, ESDP } from "../../ixgbe/registers.ts";

/** PCI device IDs with which tests and programs choose a board. */
export const DEVICE = { SFP: 0x10fb, KX4: 0x10f7, X540: 0x1528, X550: 0x1563 } as const;

/** Controllers whose registers differ. */
type Family = "82599" | "X540" | "X550";

const X540_IDS = [0x1528, 0x1560];
const X550_IDS = [0x1563, 0x15d1];
/** Boards with a cage for an SFP+ module. That of 0x1558 is for QSFP+, which has another bus and pins. */
const CAGE_IDS: readonly number[] = [
  ...[DEVICE.SFP, 0x1507, 0x1529, 0x154a, 0x154d, 0x1557],
];

/** Returns the controller with a PCI device ID; the 82599 for unknown IDs. */
function familyOf(deviceId: number): Family {
  if (X540_IDS.includes(deviceId)) return "X540";
  return X550_IDS.includes(deviceId) ? "X550" : "82599";
}

/** Whether the controller is an X540 or X550, not an 82599. */
export function isX540OrLater(deviceId: number): boolean {
  return familyOf(deviceId) !== "82599";
}

/** Whether the redirection table of receive side scaling is the X550's. */
export function hasLargeRedirectionTable(deviceId: number): boolean {
  return familyOf(deviceId) === "X550";
}

/** Returns the KB of receive packet memory, for packet buffers and flow director (8.2.3.8.9). */
export function receiveMemory(deviceId: number): number {
  return isX540OrLater(deviceId) ? 384 : 512;
}

/** Returns the words of the EEPROM; on X540 and X550, of the shadow RAM (X550: 8.2.2.2.1). */
export function eepromWords(deviceId: number): number {
  return isX540OrLater(deviceId) ? 8192 : 1024;
}

/** Returns the identifier of the board's PHY that a driver reaches by MDIO; 0 without one. */
export function phyOf(deviceId: number): number {
  if (X540_IDS.includes(deviceId)) return 0x01540200;
  return X550_IDS.includes(deviceId) ? 0x01540223 : 0;
}

/** Returns whether the board has a cage with an SFP+ module. */
export function hasCage(deviceId: number): boolean {
  return CAGE_IDS.includes(deviceId);
}

/** Returns ESDP at power-on: the EEPROM sets it, resets keep it (8.2.3.1.4), and a laser is on. */
export function boardPins(deviceId: number): number {
  return hasCage(deviceId) ? ESDP.SDP3_DIR : 0;
}

/** What an EEPROM sets the link of a board with a cage to: SFI at 10 or 1 Gb/s, or XAUI. */
export type LinkDefault = "10G" | "1G" | "XAUI";

/** Returns the link mode (AUTOC.LMS) that the EEPROM sets. */
export function boardLinkMode(deviceId: number, link: LinkDefault = "10G"): number {
  if (deviceId === DEVICE.KX4) return AUTOC.LMS_KX4_KX_KR;
  if (!hasCage(deviceId) || link === "10G") return AUTOC.LMS_10G_SERIAL;
  return link === "1G" ? AUTOC.LMS_1G_AN : AUTOC.LMS_10G_PARALLEL;
}
