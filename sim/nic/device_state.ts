/**
 * What the effects of register accesses share: the parts of the modelled device, and the few facts that
 * are in no register.
 *
 * @module
 */

import type { DeviceCore } from "../rings/ring.ts";
import type { Receiver } from "../rx/receiver.ts";
import type { Transmitter } from "../tx/transmitter.ts";
import type { Phy } from "./phy.ts";
import type { Serdes } from "./serdes.ts";
import type { SfpModule } from "./sfp_module.ts";

/** State that effects of register accesses read and change. */
export interface DeviceState extends DeviceCore {
  /** PCI device ID. */
  readonly deviceId: number;
  readonly receiver: Receiver;
  readonly transmitter: Transmitter;
  readonly phy: Phy;
  /** The module in the cage, or undefined: no cage, or an empty one. */
  readonly module: SfpModule | undefined;
  readonly serdes: Serdes;
  /** Whether the link partner negotiates at 1 Gb/s (clause 37 of IEEE 802.3). */
  readonly partnerNegotiates: boolean;
  /** The EEPROM's words. */
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
