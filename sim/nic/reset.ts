/**
 * Resets the registers of the modelled device: to the values in the register table, and to those
 * that a real device loads from its EEPROM (datasheet section 4.2).
 *
 * @module
 */

import {
  AUTOC,
  AUTOC2,
  CTRL_EXT,
  EEC,
  ERETA,
  ESDP,
  FHFT,
  FTQF,
  FWSM,
  HICR,
  HLREG0,
  IP4AT,
  IP6AT,
  IPAV,
  MACC,
  MFLCN,
  MPSAR,
  MTA,
  PCS1GANA,
  PFUTA,
  PFVLVF,
  PFVLVFB,
  RAH,
  RAL,
  RETA,
  RXPBSIZE,
  STATUS,
  TSAUXC,
  TXPBTHRESH,
  VFTA,
  WUC,
  WUFC,
  WUS,
} from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import {
  boardAbilities,
  boardLinkMode,
  hasCage,
  isX540OrLater,
  type LinkDefault,
  receiveMemory,
  timeKind,
} from "./boards.ts";
import { SEMAPHORES } from "./control_effects.ts";
import type { DeviceState } from "./device_state.ts";
import { sizeField } from "./eeprom.ts";
import { firmwareStatus } from "./firmware.ts";
import { negotiates, train } from "./link_effects.ts";

/** Settings in the EEPROM of one port. */
export interface PortSettings {
  /** Station address, 6 bytes. */
  readonly mac: Uint8Array;
  /** Number of the port among the controller's two. */
  readonly lanId: 0 | 1;
  /** Whether the EEPROM has no valid signature. */
  readonly blank: boolean;
  /** Whether AUTOC.PB is set. */
  readonly advertisesPause: boolean;
  /** Whether AUTOC2.LINK_DISABLE is set, which a driver has to clear (82599). */
  readonly linkDisabled: boolean;
  /** The link's default on a board with a cage. */
  readonly linkDefault: LinkDefault;
}

/**
 * Resets registers, statistics, and the notes of what the driver has seen. Rings, filters and
 * causes depend on registers: the caller resets them afterwards.
 */
export function resetRegisters(
  state: DeviceState,
  { mac, lanId, blank, advertisesPause, linkDisabled, linkDefault }: PortSettings,
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
  file.set(EEC, eepromControl(state, blank));
  file.set(FWSM, firmwareStatus(state.firmware));
  file.set(TXPBTHRESH, 0x96);
  const ability = AUTOC.LMS | AUTOC.KX_SUPP | AUTOC.KR_SUPP;
  const board = boardLinkMode(deviceId, linkDefault) | boardAbilities(deviceId);
  file.set(AUTOC, AUTOC.reset & ~ability | board);
  if (hasCage(deviceId) && linkDefault === "XAUI") { // neither serial interface is SFI
    file.set(AUTOC, file.get(AUTOC) | AUTOC.PMA_PMD_1G);
    file.set(AUTOC2, AUTOC2.reset & ~AUTOC2.PMA_PMD_10G_SERIAL);
  }
  if (advertisesPause) file.set(AUTOC, (file.get(AUTOC) | AUTOC.PB) >>> 0);
  if (linkDisabled) file.set(AUTOC2, file.get(AUTOC2) | AUTOC2.LINK_DISABLE);
  if (timeKind(deviceId) === "X550") file.set(TSAUXC, TSAUXC.DISABLE_SYSTIME | 1 << 30);
  if (isX540OrLater(deviceId)) {
    for (let i = 0; i < RXPBSIZE.count; i++) file.set(RXPBSIZE, receiveMemory(deviceId) << 10, i);
    file.set(HICR, HICR.EN); // firmware with a host interface
  }
  const { timing } = state;
  timing.cancelAll((key) => key !== "link");
  state.resetAt = timing.now();
  for (const key of ["auto read", "DMA init"]) timing.after("eeprom", key, () => {});
  for (const key of ["configuration", "PHY held"]) timing.after("firmware", key, () => {});
  state.linkDelay = 0;
  state.advertised = boardAbilities(deviceId);
  state.negotiating = negotiates(file.get(AUTOC));
  state.sawAutoRead = false;
  state.sawDmaInit = false;
  state.sawReceivePathEmpty = false;
}

// 2 KB need addresses of 16 bits. The X540 and X550 have Flash, and nothing in bits 7:0 (X550
// datasheet, section 8.2.2.2.1).
function eepromControl({ deviceId, eeprom }: DeviceState, blank: boolean): number {
  const size = (blank ? 0 : EEC.EE_PRES) | sizeField(eeprom);
  if (isX540OrLater(deviceId)) return size | EEC.FLUDONE;
  return EEC.reset & EEC.FWE | EEC.EE_ADDR_SIZE | size;
}

/**
 * Memories that no reset initialises: "This table should be initialized by software before transmit
 * and receive are enabled", or "not defined following reset" (X550 datasheet, section 8.2.2.8). FTQF has
 * no reset value in the 82599's datasheet (8.2.3.7.19).
 */
const MEMORIES: readonly Register[] = [
  ...[MTA, VFTA, PFUTA, PFVLVF, PFVLVFB, MPSAR, RAL, RAH, RETA, ERETA, FTQF],
];
/**
 * Wake-up's registers: WUS "is only cleared when LAN_PWR_GOOD is de-asserted, or when cleared by the
 * driver" (X550 datasheet, section 8.2.2.18.3); of the others no reset is named, or they are not
 * defined after one.
 */
const WAKE_UP: readonly Register[] = [WUS, WUFC, IPAV, IP4AT, IP6AT, FHFT];
/** Bits of WUC that are power management's: PME_EN and PME_STATUS (section 8.2.2.18.1). */
const PME = 3 << 1;
/** Registers of the 82599's MAC, which its link reset clears (section 4.6.3.2). */
const MAC: readonly Register[] = [HLREG0, MACC, MFLCN, PCS1GANA];

/**
 * Resets the device as CTRL.RST does. It keeps the semaphores of software and firmware (10.5.4),
 * the memories, wake-up's registers, and EXTENDED_VLAN, which "should only be reset by a PCIe reset"
 * (X550 datasheet, section 8.2.2.1.3).
 *
 * @param link Whether CTRL.LRST is set, too.
 * @param reset Resets everything.
 */
export function softwareReset(
  state: DeviceState,
  link: boolean,
  reset: () => void,
): void {
  const { file, deviceId, receiver, transmitter } = state;
  const mac = link || isX540OrLater(deviceId) ? [] : MAC;
  const kept = [...SEMAPHORES, ...MEMORIES, ...WAKE_UP, ...mac].flatMap((register) =>
    Array.from({ length: register.count }, (_, i) => [register, file.get(register, i), i] as const)
  );
  const extended = file.get(CTRL_EXT) & CTRL_EXT.EXTENDED_VLAN, pme = file.get(WUC) & PME;
  reset();
  const [low, high] = [file.get(RAL), file.get(RAH)]; // the address in the EEPROM
  for (const each of kept) file.set(...each);
  for (let i = 0; i < RAH.count; i++) file.set(RAH, file.get(RAH, i) & ~RAH.AV, i);
  file.set(RAL, low);
  file.set(RAH, high);
  file.set(CTRL_EXT, file.get(CTRL_EXT) | extended);
  file.set(WUC, file.get(WUC) & ~PME | pme);
  if (link && !isX540OrLater(deviceId)) train(state);
  receiver.filters.load();
  receiver.load();
  receiver.loadOffloads();
  transmitter.load();
  state.update();
}
