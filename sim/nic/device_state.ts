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
import type { Phy } from "./phy.ts";
import type { QueueMemories } from "./queue_memories.ts";

/** State that effects of register accesses read and change. */
export interface DeviceState extends DeviceCore {
  /** PCI device ID. */
  readonly deviceId: number;
  readonly receiver: Receiver;
  readonly transmitter: Transmitter;
  readonly phy: Phy;
  readonly queueMemories: QueueMemories;
  /** Words of the EEPROM. */
  readonly eeprom: Uint16Array;
  /** Whether there is a link partner. */
  linkPartner: boolean;
  /** Remaining reads of LINKS that show no link after auto-negotiation was restarted. */
  linkDelay: number;
  /** Whether backplane auto-negotiation has begun since the reset. */
  negotiating: boolean;
  /** Time of the last reset, in milliseconds of `performance.now()`. */
  resetAt: number;
  /** Whether the driver has seen EEC.AUTO_RD since the reset. */
  sawAutoRead: boolean;
  /** Whether the driver has seen RDRXCTL.DMAIDONE since the reset. */
  sawDmaInit: boolean;
  /** Whether the driver has seen STATUS.GIO_MASTER_ENABLE clear since it set CTRL.GIO_DIS. */
  sawMasterDisabled: boolean;
  /** Whether the driver has seen SECRXSTAT.SECRX_RDY since it set SECRXCTRL.RX_DIS. */
  sawReceivePathEmpty: boolean;
  /**
   * Resets the device as CTRL.RST does (section 4.2.1.6.1).
   *
   * @param link Whether to reset the link too, as CTRL.LRST does.
   */
  softwareReset(link: boolean): void;
  /** Derives from the registers whether receiving, sending and DMA are on. */
  update(): void;
}

/** The first receive queue that is enabled; -1 if none is. */
export function enabledReceiveQueue({ file }: DeviceState): number {
  for (let index = 0; index < RXDCTL.count; index++) {
    if (file.get(RXDCTL, index) & RXDCTL.ENABLE) return index;
  }
  return -1;
}
