/**
 * Which packets the NIC receives: receive address, multicast and promiscuous mode (82599: section 7.1.1).
 * And to which queue they go: receive side scaling spreads them by a hash of their addresses and ports,
 * so that each flow stays in one queue (section 7.1.2.8).
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { checkMulticast, checkUnicast } from "../src/driver.ts";
import type { Registers } from "../src/registers.ts";
import { RSS_KEY_BYTES } from "../src/toeplitz.ts";
import type { Model } from "./models.ts";
import { ERETA, FCTRL, MCSTCTRL, MRQC, MTA, RAH, RAL, RETA, RSSRK, RXCSUM } from "./registers.ts";

/** The most receive queues: an entry of the redirection table has 4 bits. */
export const RSS_QUEUES = 16;

/** MRQC.MRQE: receive side scaling, no virtualization, one traffic class. */
const MRQE_RSS = 1;
/** The hash covers addresses, and ports for TCP and UDP. */
const HASHED = MRQC.RSS_IPV4 | MRQC.RSS_TCP_IPV4 | MRQC.RSS_UDP_IPV4 |
  MRQC.RSS_IPV6 | MRQC.RSS_TCP_IPV6 | MRQC.RSS_UDP_IPV6;

/** Returns the receive address: RAL[0] and RAH[0]. */
export function getMac(regs: Registers): Uint8Array {
  const low = regs.read(RAL), high = regs.read(RAH);
  return Uint8Array.of(low, low >>> 8, low >>> 16, low >>> 24, high, high >>> 8);
}

/**
 * Changes the receive address. RAH is written last, with AV: without AV the NIC ignores the address
 * (section 8.2.3.7.9).
 *
 * @throws {UsageError} if it is not a unicast address of 6 bytes.
 */
export function setMac(regs: Registers, device: string, mac: Uint8Array): void {
  checkUnicast(device, mac);
  regs.clear(RAH, RAH.AV);
  regs.write(RAL, mac[0] | mac[1] << 8 | mac[2] << 16 | mac[3] << 24);
  regs.write(RAH, RAH.AV | mac[4] | mac[5] << 8);
}

/**
 * Sets the multicast addresses to receive. The NIC compares only bits 47:36 (MCSTCTRL.MO 0, section
 * 8.2.3.7.7), so packets for other addresses with the same bits pass too.
 *
 * @throws {UsageError} if an address is not a multicast address of 6 bytes.
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
 * Turns promiscuous mode on, or off: then only broadcasts and packets that pass the filters are received.
 *
 * Section 8.2.3.7.1 says that RXEN "should be set to 0b" while filters are changed, but the receive path
 * "can be disabled only after all the receive queues are disabled" (X550: section 4.6.7.1.1). The first
 * rule gives way: to disable the path would lose the frames that arrive meanwhile, and Intel's own drivers
 * change FCTRL alone. A frame that arrives meanwhile passes either the old or the new filter.
 */
export function setPromiscuous(regs: Registers, on: boolean): void {
  const every = FCTRL.MPE | FCTRL.UPE;
  regs.update(FCTRL, every | FCTRL.BAM, (on ? every : 0) | FCTRL.BAM);
}

/**
 * Checks the length of an RSS key.
 *
 * @throws {UsageError} if it does not have 40 bytes.
 */
export function checkRssKey(device: string, key: Uint8Array): void {
  if (key.length === RSS_KEY_BYTES) return;
  throw new UsageError(
    `${device}: an RSS key has ${RSS_KEY_BYTES} bytes, not ${key.length}`,
    { option: "rssKey" },
  );
}

/**
 * Turns receive side scaling on: the NIC spreads packets over the first `queues` queues and writes the
 * hash to the descriptor. RXEN must be off.
 */
export function initRss(regs: Registers, model: Model, queues: number, key: Uint8Array): void {
  for (let i = 0; i < RSSRK.count; i++) {
    const [a, b, c, d] = key.subarray(4 * i);
    regs.write(RSSRK, a | b << 8 | c << 16 | d << 24, i);
  }
  // Hash values are assigned to queues in turns. The X550 has 512 table entries, the others have 128.
  const tables = model.mac.startsWith("X550") ? [RETA, ERETA] : [RETA];
  let next = 0;
  for (const table of tables) {
    for (let i = 0; i < table.count; i++) {
      let entries = 0;
      for (let n = 0; n < 4; n++) entries |= (next++ % queues) << 8 * n;
      regs.write(table, entries, i);
    }
  }
  // PCSD: the hash and the fragment checksum share a descriptor field (section 8.2.3.7.5).
  regs.set(RXCSUM, RXCSUM.PCSD);
  regs.write(MRQC, MRQE_RSS | HASHED);
}
