/**
 * Resets the registers of the modelled device: to the values in the register table, and to those
 * that a real device loads from its EEPROM (datasheet section 4.2).
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
import { boardLinkMode, isX540OrLater, receiveMemory } from "./boards.ts";
import { SEMAPHORES } from "./control_effects.ts";
import type { DeviceState } from "./device_state.ts";
import { negotiates } from "./link_effects.ts";

/** Settings in the EEPROM of one port. */
export interface PortSettings {
  /** Station address, 6 bytes. */
  readonly mac: Uint8Array;
  /** Number of the port among the controller's two. */
  readonly lanId: 0 | 1;
  /** Whether AUTOC2.LINK_DISABLE is set, which a driver has to clear (82599). */
  readonly linkDisabled: boolean;
}

/**
 * Resets registers, statistics, and the notes of what the driver has seen. Rings, filters and
 * causes depend on registers: the caller resets them afterwards.
 */
export function resetRegisters(
  state: DeviceState,
  { mac, lanId, linkDisabled }: PortSettings,
): void {
  const { file, deviceId } = state;
  state.receiver.settle();
  state.transmitter.settle();
  state.statistics.reset();
  const pins = file.get(ESDP); // only power-on resets it (8.2.3.1.4)
  file.reset();
  file.set(ESDP, pins);
  file.set(STATUS, STATUS.GIO_MASTER_ENABLE | lanId << 2);
  file.set(RAL, mac[0] | mac[1] << 8 | mac[2] << 16 | mac[3] << 24);
  file.set(RAH, RAH.AV | mac[4] | mac[5] << 8);
  file.set(FWSM, FWSM.FW_VAL_BIT); // firmware runs, and manages nothing
  file.set(TXPBTHRESH, 0x96);
  file.set(AUTOC, AUTOC.reset & ~AUTOC.LMS | boardLinkMode(deviceId));
  if (linkDisabled) file.set(AUTOC2, AUTOC2.reset | AUTOC2.LINK_DISABLE);
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

/** Calls `reset`, and keeps the semaphores of software and firmware (10.5.4). */
export function keepSemaphores({ file }: DeviceState, reset: () => void): void {
  const kept = SEMAPHORES.map((register) => file.get(register));
  reset();
  SEMAPHORES.forEach((register, i) => file.set(register, kept[i]));
}
