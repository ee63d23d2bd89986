/**
 * What the effects of register accesses share: the parts of the modelled device, and state outside
 * its registers.
 *
 * @module
 */

import { RXDCTL } from "../../ixgbe/registers.ts";
import type { DeviceCore } from "../rings/ring.ts";
import type { Receiver } from "../rx/receiver.ts";
import type { Transmitter } from "../tx/transmitter.ts";
import type { Rest } from "./master_disable.ts";
import type { Phy } from "./phy.ts";
import type { QueueMemories } from "./queue_memories.ts";
import type { Serdes } from "./serdes.ts";
import type { SfpModule } from "./sfp_module.ts";
import type { Timing } from "./timing.ts";

/** How firmware behaves. Times are in milliseconds after a reset; `Infinity` is never. */
export interface Firmware {
  /** When its configuration is done (EEMNGCTL.CFG_DONE0 and CFG_DONE1); default 0. */
  readonly configDone?: number;
  /** Until when it holds the port's PHY (SW_FW_SYNC.FW_PHY_SM); default 0. */
  readonly holdsPhy?: number;
  /** Whether a management controller uses the link (MMNGC.MNG_VETO); default false. */
  readonly veto?: boolean;
  /** The error that it reports (FWSM.EXT_ERR_IND), 0 to 63; default 0. */
  readonly error?: number;
  /** Whether it is in recovery mode (X550: FWSM.NVM_RECOVERY_MODE); default false. */
  readonly recovery?: boolean;
  /** Whether it never releases the EEPROM (SW_FW_SYNC.FW_EEP_SM); default false. */
  readonly holdsEeprom?: boolean;
  /** A semaphore that is never free: SWSM.SMBI, SWSM.SWESMBI or SW_FW_SYNC.REGSMP; default none. */
  readonly stuck?: "SMBI" | "SWESMBI" | "REGSMP";
}

/** State that effects of register accesses read and change. */
export interface DeviceState extends DeviceCore {
  /** PCI device ID. */
  readonly deviceId: number;
  /** What takes time, and how long. */
  readonly timing: Timing;
  readonly receiver: Receiver;
  readonly transmitter: Transmitter;
  readonly phy: Phy;
  /** The module in the cage, or undefined: no cage, or an empty one. */
  readonly module: SfpModule | undefined;
  readonly serdes: Serdes;
  /** Whether the link partner negotiates at 1 Gb/s (clause 37 of IEEE 802.3). */
  readonly partnerNegotiates: boolean;
  readonly queueMemories: QueueMemories;
  /** How firmware behaves. */
  readonly firmware: Firmware;
  /** Words of the EEPROM. */
  readonly eeprom: Uint16Array;
  /** Whether the device is at rest, and what keeps it from that. */
  readonly rest: Rest;
  /** Whether the device was removed: it answers no access and reaches no memory. */
  removed: boolean;
  /** Whether there is a link partner. */
  linkPartner: boolean;
  /** Negotiations that bring no link before one does; not on boards with a cage. */
  linkFailures: number;
  /** The speeds that it has, in Mb/s. */
  partnerSpeeds: readonly number[];
  /** Whether it has given up, until it sees the laser go off. */
  partnerGaveUp: boolean;
  /** Whether LINKS shows a link while the cage is empty. */
  readonly crosstalk: boolean;
  /** What a board's backplane advertises since negotiation was restarted: bits of AUTOC. */
  advertised: number;
  /** Remaining reads of LINKS that show no link after auto-negotiation was restarted. */
  linkDelay: number;
  /** Whether backplane auto-negotiation has begun since the reset. */
  negotiating: boolean;
  /** Time of the last reset, in milliseconds of {@linkcode Timing.prototype.now}. */
  resetAt: number;
  /** When the last reset by CTRL was, likewise. */
  softwareResetAt: number;
  /** Whether the driver has seen EEC.AUTO_RD since the reset. */
  sawAutoRead: boolean;
  /** Whether the driver has seen RDRXCTL.DMAIDONE since the reset. */
  sawDmaInit: boolean;
  /** Whether the driver has seen SECRXSTAT.SECRX_RDY since it set SECRXCTRL.RX_DIS. */
  sawReceivePathEmpty: boolean;
  /**
   * Resets the device as CTRL.RST does (section 4.2.1.6.1).
   *
   * @param link Whether to reset the link, too, as CTRL.LRST does.
   */
  softwareReset(link: boolean): void;
  /** Derives from the registers whether receiving, sending and DMA are on. */
  update(): void;
}

/** Returns the first enabled receive queue; -1 if none is enabled. */
export function enabledReceiveQueue({ file }: DeviceState): number {
  for (let index = 0; index < RXDCTL.count; index++) {
    if (file.get(RXDCTL, index) & RXDCTL.ENABLE) return index;
  }
  return -1;
}
