/**
 * What the parts of the modelled device share: registers, rules, memory, and the few facts that are
 * in no register.
 *
 * @module
 */

import type { DmaMap } from "../rings/dma_map.ts";
import type { InterruptCauses } from "../registers/interrupt_causes.ts";
import type { Phy } from "./phy.ts";
import type { Receiver } from "../rx/receiver.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";
import type { Transmitter } from "../tx/transmitter.ts";

/** PCI device IDs by which tests and programs ask for a board. */
export const DEVICE = { SFP: 0x10fb, KX4: 0x10f7, X540: 0x1528, X550: 0x1563 } as const;

/** Controllers, as far as their registers differ. */
export type Family = "82599" | "X540" | "X550" | "X550EM_a";

const X540_IDS = [0x1528, 0x1560];
const X550_IDS = [0x1563, 0x15d1];
const FIRST_X550EM_X = 0x15aa;
const FIRST_X550EM_A = 0x15c2;

/** The controller that has a PCI device ID; the 82599 for IDs of no other. */
export function familyOf(deviceId: number): Family {
  if (X540_IDS.includes(deviceId)) return "X540";
  if (X550_IDS.includes(deviceId)) return "X550";
  if (deviceId >= FIRST_X550EM_A) return "X550EM_a";
  return deviceId >= FIRST_X550EM_X ? "X550" : "82599";
}

/** Identifier of the PHY that a board has and the driver can ask, or 0. */
export function phyOf(deviceId: number): number {
  if (X540_IDS.includes(deviceId)) return 0x01540200;
  return X550_IDS.includes(deviceId) ? 0x01540223 : 0;
}

/** State that effects of register accesses read and change. */
export interface DeviceState {
  readonly deviceId: number;
  readonly file: RegisterFile;
  readonly rules: Rules;
  readonly dma: DmaMap;
  readonly receiver: Receiver;
  readonly transmitter: Transmitter;
  readonly causes: InterruptCauses;
  readonly phy: Phy;
  readonly eeprom: Uint16Array;
  /** Whether a link partner is there. */
  linkPartner: boolean;
  /** Reads of LINKS that still show no link after auto-negotiation was restarted. */
  linkDelay: number;
  /** Whether backplane auto-negotiation has begun since the reset. */
  negotiating: boolean;
  /** When the last reset was, in milliseconds of `performance.now()`. */
  resetAt: number;
  /** Whether the driver has seen EEC.AUTO_RD since the reset. */
  sawAutoRead: boolean;
  /** Whether the driver has seen RDRXCTL.DMAIDONE since the reset. */
  sawDmaInit: boolean;
  /** Whether the driver has seen STATUS.GIO_MASTER_ENABLE clear since it set CTRL.GIO_DIS. */
  sawMasterDisabled: boolean;
  /** Whether the driver has seen SECRXSTAT.SECRX_RDY since it set SECRXCTRL.RX_DIS. */
  sawReceivePathEmpty: boolean;
  /** Does a software reset (section 4.2.1.6.1). */
  softwareReset(): void;
  /** Derives from the registers what may move: receiving, sending, DMA. */
  update(): void;
}

/** Whether the device is an X540 or X550 rather than an 82599. */
export function isX540OrLater(state: DeviceState): boolean {
  return familyOf(state.deviceId) !== "82599";
}

/** Whether the link is up: the PHY has one, or a partner is there and AUTOC fits the board. */
export function linkUp(state: DeviceState, linkMode: number, boardLinkMode: number): boolean {
  if (isX540OrLater(state)) return state.phy.linkUp;
  return state.linkPartner && linkMode === boardLinkMode;
}
