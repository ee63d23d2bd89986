/**
 * Receive side scaling: the NIC spreads packets over receive queues by a hash of their addresses and
 * ports, so that each flow stays in one queue (82599: section 7.1.2.8).
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import type { Registers } from "../src/registers.ts";
import { RSS_KEY_BYTES } from "../src/toeplitz.ts";
import type { Model } from "./models.ts";
import { ERETA, MRQC, RETA, RSSRK, RXCSUM } from "./registers.ts";

/** The most receive queues: an entry of the redirection table has four bits. */
export const RSS_QUEUES = 16;

/** MRQC.MRQE: receive side scaling, no virtualization, one traffic class. */
const MRQE_RSS = 1;
/** Ports are hashed where there are any, else addresses alone. */
const HASHED = MRQC.RSS_IPV4 | MRQC.RSS_TCP_IPV4 | MRQC.RSS_UDP_IPV4 |
  MRQC.RSS_IPV6 | MRQC.RSS_TCP_IPV6 | MRQC.RSS_UDP_IPV6;

/**
 * Checks a hash key.
 *
 * @throws {UsageError} if it has not 40 bytes.
 */
export function checkRssKey(device: string, key: Uint8Array): void {
  if (key.length === RSS_KEY_BYTES) return;
  throw new UsageError(`${device}: an RSS key has ${RSS_KEY_BYTES} bytes, not ${key.length}`);
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
