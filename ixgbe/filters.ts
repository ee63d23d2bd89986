/**
 * Which packets the NIC takes: receive address, multicast, promiscuous mode (82599: section 7.1.1).
 *
 * @module
 */

import { checkMulticast, checkUnicast } from "../src/mac.ts";
import type { Registers } from "../src/registers.ts";
import { enableReceiver } from "./init.ts";
import { FCTRL, MCSTCTRL, MTA, RAH, RAL, RXCTRL } from "./registers.ts";

/** The receive address: RAL and RAH 0. */
export function getMac(regs: Registers): Uint8Array {
  const low = regs.read(RAL), high = regs.read(RAH);
  return Uint8Array.of(low, low >>> 8, low >>> 16, low >>> 24, high, high >>> 8);
}

/**
 * Changes the receive address. RAH comes last and with AV, without which the NIC takes no packet for
 * the address at all (section 8.2.3.7.9).
 *
 * @throws {UsageError} if it is no unicast address of 6 bytes.
 */
export function setMac(regs: Registers, device: string, mac: Uint8Array): void {
  checkUnicast(device, mac);
  regs.clear(RAH, RAH.AV);
  regs.write(RAL, mac[0] | mac[1] << 8 | mac[2] << 16 | mac[3] << 24);
  regs.write(RAH, RAH.AV | mac[4] | mac[5] << 8);
}

/**
 * Takes packets for these multicast addresses, and for others with the same 12 bits 47:36, which is
 * all that the NIC looks at (MCSTCTRL.MO 0, section 8.2.3.7.7).
 *
 * @throws {UsageError} if one is no multicast address of 6 bytes.
 */
export function setMulticast(
  regs: Registers,
  device: string,
  addresses: readonly Uint8Array[],
): void {
  checkMulticast(device, addresses);
  const table = new Uint32Array(MTA.count);
  for (const mac of addresses) {
    const bit = (mac[4] >>> 4) | mac[5] << 4;
    table[bit >>> 5] |= 1 << (bit & 31);
  }
  table.forEach((word, i) => regs.write(MTA, word, i));
  regs.update(
    MCSTCTRL,
    MCSTCTRL.MO | MCSTCTRL.MFE,
    addresses.length > 0 ? MCSTCTRL.MFE : 0,
  );
}

/**
 * Takes every packet, or only those that the filters let through and broadcasts. FCTRL may be changed
 * with the receiver off only (section 8.2.3.7.1).
 */
export function setPromiscuous(regs: Registers, on: boolean): void {
  const receiving = (regs.read(RXCTRL) & RXCTRL.RXEN) !== 0;
  if (receiving) regs.clear(RXCTRL, RXCTRL.RXEN);
  const every = FCTRL.MPE | FCTRL.UPE;
  regs.update(FCTRL, every | FCTRL.BAM, (on ? every : 0) | FCTRL.BAM);
  if (receiving) enableReceiver(regs);
}
