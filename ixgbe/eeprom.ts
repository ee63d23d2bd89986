/**
 * What the NIC has from its EEPROM, and whether that can be used: validity, the receive address, what
 * firmware reports (82599: chapter 6, sections 8.2.3.2.1 and 8.2.3.4.10).
 *
 * @module
 */

import { formatMac, isUnicast } from "../src/driver.ts";
import { UsageError } from "../src/errors.ts";
import { hex, offsetOf, type Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import { EEC, FWSM, RAH, RAL } from "./registers.ts";

/**
 * Checks that the EEPROM is valid: without it the NIC has neither an address nor its settings, but reports
 * all the same that it has read them (X550: section 8.2.2.2.1, EE_PRES and AUTO_RD). Changes nothing.
 *
 * @throws {UsageError} if the firmware of an X550 is in recovery mode, the EEPROM is missing or has no valid
 * signature, or its MAC address is not a unicast address.
 */
export function checkEeprom(regs: Registers, device: string, mac: Mac): void {
  if (mac === "X550") checkRecovery(regs, device);
  const eec = regs.read(EEC);
  if ((eec & EEC.EE_PRES) === 0) {
    throw new UsageError(
      `${device}: it has no EEPROM with a valid signature (EEC, ${hex(offsetOf(EEC))}, is ${
        hex(eec)
      }): restore its EEPROM with the manufacturer's tool`,
    );
  }
  checkMac(regs, device);
}

/**
 * Checks that firmware is not in recovery mode. It enters that mode when the Flash memory is damaged, and
 * then only lets the memory be rewritten. Intel's drivers do not start then either.
 */
function checkRecovery(regs: Registers, device: string): void {
  const fwsm = regs.read(FWSM);
  if ((fwsm & FWSM.NVM_RECOVERY_MODE) === 0) return;
  throw new UsageError(
    `${device}: its firmware is in recovery mode (FWSM, ${hex(offsetOf(FWSM))}, is ${
      hex(fwsm)
    }): restore its Flash memory with the manufacturer's tool`,
  );
}

/** Returns the receive address: RAL[0] and RAH[0]. */
export function getMac(regs: Registers): Uint8Array {
  const low = regs.read(RAL), high = regs.read(RAH);
  return Uint8Array.of(low, low >>> 8, low >>> 16, low >>> 24, high, high >>> 8);
}

/**
 * Checks the receive address, which the NIC loads from its EEPROM.
 *
 * @throws {UsageError} if it is not a unicast address.
 */
export function checkMac(regs: Registers, device: string): void {
  const mac = getMac(regs);
  if (isUnicast(mac)) return;
  throw new UsageError(
    `${device}: its MAC address ${
      formatMac(mac)
    } (RAL, RAH) is not a unicast address: restore its EEPROM ` +
      "with the manufacturer's tool, or power-cycle it if another driver may have set the address",
  );
}

/** Returns the error that firmware reports, and what to do; undefined if there is none. */
export function firmwareError(regs: Registers): string | undefined {
  const fwsm = regs.read(FWSM);
  if ((fwsm & FWSM.EXT_ERR_IND) === 0) return undefined;
  return `firmware reports an error (FWSM, ${hex(offsetOf(FWSM))}, is ${hex(fwsm)}): ` +
    "update it with the manufacturer's tool";
}
