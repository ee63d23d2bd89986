/**
 * Which packets the NIC takes, by receive address, multicast and promiscuous mode (82599: section
 * 7.1.1), and which queue they go to: receive side scaling spreads them by a hash of their addresses
 * and ports, so that each flow stays in one queue (section 7.1.2.8).
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { checkMulticast, checkUnicast } from "../src/driver.ts";
import type { Registers } from "../src/registers.ts";
import { RSS_KEY_BYTES } from "../src/toeplitz.ts";
import { enableReceiver } from "./init.ts";
import type { Model } from "./models.ts";
import {
  ERETA,
  FCTRL,
  MCSTCTRL,
  MRQC,
  MTA,
  RAH,
  RAL,
  RETA,
  RSSRK,
  RXCSUM,
  RXCTRL,
} from "./registers.ts";

/** The most receive queues: an entry of the redirection table has four bits. */
export const RSS_QUEUES = 16;

/** MRQC.MRQE: receive side scaling, no virtualization, one traffic class. */
const MRQE_RSS = 1;
/** Ports are hashed where there are any, else addresses alone. */
const HASHED = MRQC.RSS_IPV4 | MRQC.RSS_TCP_IPV4 | MRQC.RSS_UDP_IPV4 |
  MRQC.RSS_IPV6 | MRQC.RSS_TCP_IPV6 | MRQC.RSS_UDP_IPV6;

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

/**
 * Checks a hash key.
 *
 * @throws {UsageError} if it has not 40 bytes.
 */
export function checkRssKey(device: string, key: Uint8Array): void {
  if (key.length === RSS_KEY_BYTES) return;
  throw new UsageError(
    `${device}: an RSS key has ${RSS_KEY_BYTES} bytes, not ${key.length}`,
    { option: "rssKey" },
  );
}

/** Spreads packets over the first `queues` queues, their hash in the descriptor. RXEN is off. */
export function initRss(regs: Registers, model: Model, queues: number, key: Uint8Array): void {
  for (let i = 0; i < RSSRK.count; i++) {
    const [a, b, c, d] = key.subarray(4 * i);
    regs.write(RSSRK, a | b << 8 | c << 16 | d << 24, i);
  }
  // Hash values take turns. X550 has 512 of them, the others 128.
  const tables = model.mac.startsWith("X550") ? [RETA, ERETA] : [RETA];
  let next = 0;
  for (const table of tables) {
    for (let i = 0; i < table.count; i++) {
      let entries = 0;
      for (let n = 0; n < 4; n++) entries |= (next++ % queues) << 8 * n;
      regs.write(table, entries, i);
    }
  }
  // The hash and the checksum of a fragment share a place in the descriptor (section 8.2.3.7.5).
  regs.set(RXCSUM, RXCSUM.PCSD);
  regs.write(MRQC, MRQE_RSS | HASHED);
}
