/**
 * What the modelled device's firmware does with the link and the PHY that it shares with drivers
 * (datasheet sections 4.6.3, 8.2.3.2.4, 8.2.3.4.10 and 10.5.4).
 *
 * @module
 */

import { AUTOC, CTRL, EEMNGCTL, FWSM, MMNGC, STATUS, SW_FW_SYNC } from "../../ixgbe/registers.ts";
import { hex } from "../../src/registers.ts";
import { hasPhy, isX550 } from "./boards.ts";
import type { DeviceState, Firmware } from "./device_state.ts";

/** Milliseconds after a software reset in which Intel's drivers leave the PHY of X540 and X550 alone. */
const PHY_REST = 100;
/** Share of the attempts to take a semaphore at which firmware has it. */
const FIRMWARE_SHARE = 0.25;

/** Says what firmware shows in registers. Semaphores are in `control_effects.ts`. */
export function installFirmware(state: DeviceState): void {
  const { file, timing, firmware: { configDone = 0, veto = false } } = state;
  file.onRead(EEMNGCTL, (value) => {
    const done = timing.now() >= state.resetAt + configDone && !timing.isPending("configuration");
    return done ? value | EEMNGCTL.CFG_DONE0 | EEMNGCTL.CFG_DONE1 : value;
  });
  file.onRead(MMNGC, (value) => veto ? value | MMNGC.MNG_VETO : value);
}

/** What FWSM holds after a reset: firmware runs, and manages nothing. */
export function firmwareStatus({ error = 0, recovery = false }: Firmware): number {
  return FWSM.FW_VAL_BIT | error << 19 | (recovery ? FWSM.NVM_RECOVERY_MODE : 0);
}

/** SW_FW_SYNC as a driver reads it: with what firmware holds now. */
export function withHeld(state: DeviceState, sync: number): number {
  const { timing, firmware: { holdsPhy = 0, holdsEeprom = false, stuck } } = state;
  if (holdsEeprom) sync |= SW_FW_SYNC.FW_EEP_SM;
  if (stuck === "REGSMP") sync |= SW_FW_SYNC.REGSMP;
  if (holdsPhy === 0 && !timing.takes("firmware")) return sync;
  const held = timing.now() < state.resetAt + holdsPhy || timing.isPending("PHY held");
  return held ? sync | firmwarePhy(state) : sync & ~firmwarePhy(state);
}

/** Whether firmware holds the semaphore that guards SW_FW_SYNC: now and then, for a moment. */
export function firmwareHolds({ timing }: DeviceState): boolean {
  if (timing.isPending("semaphore")) return true;
  if (!timing.happens("semaphore", FIRMWARE_SHARE)) return false;
  timing.after("semaphore", "semaphore", () => {});
  return true;
}

function isFirstPort({ file }: DeviceState): boolean {
  return (file.get(STATUS) & STATUS.LAN_ID) === 0;
}

function firmwarePhy(state: DeviceState): number {
  return isFirstPort(state) ? SW_FW_SYNC.FW_PHY_SM0 : SW_FW_SYNC.FW_PHY_SM1;
}

/** Checks that the driver holds what it shares with firmware, and leaves the link of firmware alone. */
export function checkReset(state: DeviceState, ctrl: number): void {
  const { deviceId, rules } = state;
  if (hasPhy(deviceId) && !holdsPhy(state)) {
    const rule = "reset only while the port's SW_PHY_SM is held (X540, X550)";
    rules.violate("CTRL", "10.5.4", rule, `SW_FW_SYNC ${hex(state.file.get(SW_FW_SYNC))}`);
  }
  if (ctrl & CTRL.LRST) checkVeto(state, "CTRL", "no link reset");
}

/** Checks a write of AUTOC. */
export function checkNegotiation(state: DeviceState, autoc: number): void {
  if (autoc & AUTOC.RESTART_AN) checkVeto(state, "AUTOC", "negotiation is not restarted");
}

function checkVeto({ firmware, rules }: DeviceState, register: string, what: string): void {
  if (!firmware.veto) return;
  const rule = `${what} while MMNGC.MNG_VETO is set`;
  rules.violate(register, MMNGC.section, rule, "MNG_VETO is set");
}

/** Checks that a driver may ask the PHY. That of X540 and X550 has firmware, which uses the same bus. */
export function checkPhyAccess(state: DeviceState, address: number): void {
  const { deviceId, file, rules } = state;
  if (!hasPhy(deviceId)) return;
  if (isX550(deviceId) && address !== (file.get(STATUS) & STATUS.LAN_ID) >>> 2) {
    const rule = "PHY_ADD is set to the port number as in STATUS.LAN_ID (X550)";
    rules.violate("MSCA", "8.2.2.16.4 (X550)", rule, `${address}`);
  }
  if (!holdsPhy(state)) {
    const rule = "a command comes while the port's SW_PHY_SM is held (X540, X550)";
    rules.violate("MSCA", "10.5.4", rule, `SW_FW_SYNC ${hex(file.get(SW_FW_SYNC))}`);
  }
  const since = state.timing.now() - state.softwareResetAt;
  if (since >= PHY_REST) return;
  const rule = `no command for ${PHY_REST} ms after CTRL.RST (X540, X550)`;
  rules.violate("MSCA", "Intel's drivers", rule, `after ${since.toFixed(1)} ms`);
}

function holdsPhy(state: DeviceState): boolean {
  const semaphore = isFirstPort(state) ? SW_FW_SYNC.SW_PHY_SM0 : SW_FW_SYNC.SW_PHY_SM1;
  return (state.file.get(SW_FW_SYNC) & semaphore) !== 0;
}
