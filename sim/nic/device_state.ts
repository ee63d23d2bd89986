/**
 * What the effects of register accesses share: the parts of the modelled device, and the few facts that
 * are in no register.
 *
 * @module
 */

import type { DeviceCore } from "../rings/ring.ts";
import type { Receiver } from "../rx/receiver.ts";
import type { Transmitter } from "../tx/transmitter.ts";
import type { Firmware } from "./firmware.ts";
import type { Rest } from "./master_disable.ts";
import type { Phy } from "./phy.ts";

/** State that effects of register accesses read and change. */
export interface DeviceState extends DeviceCore {
  /** PCI device ID. */
  readonly deviceId: number;
  readonly receiver: Receiver;
  readonly transmitter: Transmitter;
  readonly phy: Phy;
  /** How firmware behaves. */
  readonly firmware: Firmware;
  /** The EEPROM's words. */
  readonly eeprom: Uint16Array;
  /** Whether the device is at rest, and what keeps it from that. */
  readonly rest: Rest;
  /** Whether the device was pulled out: it answers no access and reaches no memory. */
  removed: boolean;
  /** Whether a link partner is there. */
  linkPartner: boolean;
  /** Reads of LINKS that still show no link after auto-negotiation was restarted. */
  linkDelay: number;
  /** Whether backplane auto-negotiation has begun since the reset. */
  negotiating: boolean;
  /** When the last reset was, in milliseconds of `performance.now()`. */
  resetAt: number;
  /** When the last reset by CTRL was, likewise. */
  softwareResetAt: number;
  /** Whether the driver has seen EEC.AUTO_RD since the reset. */
  sawAutoRead: boolean;
  /** Whether the driver has seen RDRXCTL.DMAIDONE since the reset. */
  sawDmaInit: boolean;
  /** Whether the driver has seen SECRXSTAT.SECRX_RDY since it set SECRXCTRL.RX_DIS. */
  sawReceivePathEmpty: boolean;
  /** Does a software reset (section 4.2.1.6.1). */
  softwareReset(): void;
  /** Derives from the registers what may move: receiving, sending, DMA. */
  update(): void;
}
