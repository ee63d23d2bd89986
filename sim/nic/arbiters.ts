/**
 * Arbiters between traffic classes, which have to be off and cleared without DCB and virtualization
 * (X550 datasheet, section 4.6.11.3.4). The model does not arbitrate: it only checks these registers.
 *
 * @module
 */

import {
  MRQC,
  MTQC,
  PFVTCTL,
  RTRPCS,
  RTRPT4C,
  RTRUP2TC,
  RTTDCS,
  RTTDT2C,
  RTTPCS,
  RTTPT2C,
  RTTUP2TC,
} from "../../ixgbe/registers.ts";
import { hex, nameOf, type Register } from "../../src/registers.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";

/** MRQC.MRQE: the modes with traffic classes, each with a packet buffer (8.2.3.7.12; X550: 8.2.2.8.23). */
const DCB_MODES = [2, 3, 4, 5, 12, 13, 14];
const ALL = 0xffff_ffff;
/** Registers, and their bits that have to be 0. */
const TRANSMIT: readonly (readonly [Register, number])[] = [
  [RTTDCS, RTTDCS.TDPAC | RTTDCS.VMPAC | RTTDCS.TDRM],
  [RTTPCS, RTTPCS.TPPAC | RTTPCS.TPRM],
  ...[RTTDT2C, RTTPT2C, RTTUP2TC].map((register) => [register, ALL] as const),
];
const RECEIVE: typeof TRANSMIT = [
  [RTRPCS, RTRPCS.RAC | RTRPCS.RRM],
  ...[RTRPT4C, RTRUP2TC].map((register) => [register, ALL] as const),
];

/** Whether received packets are divided into traffic classes. */
export function receivesByClass(file: RegisterFile): boolean {
  return DCB_MODES.includes(file.get(MRQC) & MRQC.MRQE);
}

/** Whether packets to send are divided into traffic classes. */
export function sendsByClass(file: RegisterFile): boolean {
  return (file.get(MTQC) & MTQC.RT_ENA) !== 0;
}

/** Checks the arbiters of the receive side, before it is enabled. */
export function checkReceiveArbiters(file: RegisterFile, rules: Rules): void {
  if (receivesByClass(file) || file.get(PFVTCTL) & PFVTCTL.VT_ENA) return;
  check(file, rules, RECEIVE);
}

/** Checks the arbiters of the transmit side, before it is enabled. */
export function checkTransmitArbiters(file: RegisterFile, rules: Rules): void {
  if (!sendsByClass(file) && !(file.get(MTQC) & MTQC.VT_ENA)) check(file, rules, TRANSMIT);
}

function check(file: RegisterFile, rules: Rules, registers: typeof TRANSMIT): void {
  for (const [register, bits] of registers) {
    for (let index = 0; index < register.count; index++) {
      const value = file.get(register, index);
      if ((value & bits) === 0) continue;
      const rule = "arbitration is off without traffic classes and virtualization";
      rules.violate(nameOf(register, index), "4.6.11.3.4", rule, hex(value));
    }
  }
}
