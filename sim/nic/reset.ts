/**
 * What the modelled device's registers hold after a reset: the table's values, and those that a real
 * one takes from its EEPROM (datasheet section 4.2).
 *
 * @module
 */

import {
  AUTOC,
  AUTOC2,
  ESDP,
  FWSM,
  HICR,
  RAH,
  RAL,
  RXPBSIZE,
  STATUS,
  TXPBTHRESH,
} from "../../ixgbe/registers.ts";
import {
  boardLinkMode,
  hasCage,
  isX540OrLater,
  type LinkDefault,
  receiveMemory,
} from "./boards.ts";
import { SEMAPHORES } from "./control_effects.ts";
import type { DeviceState } from "./device_state.ts";
import { negotiates } from "./link_effects.ts";

/** What one port's EEPROM says. */
export interface PortSettings {
  /** Station address, 6 bytes. */
  readonly mac: Uint8Array;
  /** Which of the controller's two ports it is. */
  readonly lanId: 0 | 1;
  /** Whether the link is disabled until a driver clears AUTOC2.LINK_DISABLE (82599). */
  readonly linkDisabled: boolean;
  /** The link's default on a board with a cage. */
  readonly linkDefault: LinkDefault;
}

/**
 * Resets registers, statistics, and what the driver was seen to do. Rings, filters and causes follow
 * the registers: they are to be reset after it.
 */
export function resetRegisters(
  state: DeviceState,
  { mac, lanId, linkDisabled, linkDefault }: PortSettings,
): void {
  const { file, deviceId } = state;
  state.receiver.settle();
  state.transmitter.settle();
  state.statistics.reset();
  const pins = file.get(ESDP); // of power-on (8.2.3.1.4)
  file.reset();
  file.set(ESDP, pins);
  file.set(STATUS, STATUS.GIO_MASTER_ENABLE | lanId << 2);
  file.set(RAL, mac[0] | mac[1] << 8 | mac[2] << 16 | mac[3] << 24);
  file.set(RAH, RAH.AV | mac[4] | mac[5] << 8);
  file.set(FWSM, FWSM.FW_VAL_BIT); // firmware runs, and manages nothing
  file.set(TXPBTHRESH, 0x96);
  file.set(AUTOC, AUTOC.reset & ~AUTOC.LMS | boardLinkMode(deviceId, linkDefault));
  if (hasCage(deviceId) && linkDefault === "XAUI") { // neither serial interface is SFI
    file.set(AUTOC, file.get(AUTOC) | AUTOC.PMA_PMD_1G);
    file.set(AUTOC2, AUTOC2.reset & ~AUTOC2.PMA_PMD_10G_SERIAL);
  }
  if (linkDisabled) file.set(AUTOC2, file.get(AUTOC2) | AUTOC2.LINK_DISABLE);
  if (isX540OrLater(deviceId)) {
    for (let i = 0; i < RXPBSIZE.count; i++) file.set(RXPBSIZE, receiveMemory(deviceId) << 10, i);
    file.set(HICR, HICR.EN); // firmware with a host interface
  }
  state.resetAt = performance.now();
  state.linkDelay = 0;
  state.negotiating = negotiates(file.get(AUTOC));
  state.sawAutoRead = false;
  state.sawDmaInit = false;
  state.sawMasterDisabled = false;
  state.sawReceivePathEmpty = false;
}

/** Resets by `reset`, and keeps what software and firmware agree on by semaphores (10.5.4). */
export function keepSemaphores({ file }: DeviceState, reset: () => void): void {
  const kept = SEMAPHORES.map((register) => file.get(register));
  reset();
  SEMAPHORES.forEach((register, i) => file.set(register, kept[i]));
}
