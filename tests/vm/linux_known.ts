/**
 * Rules of the datasheet that Linux's driver violates: see sim/README.md. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";

/** Violated whenever it brings a card up. */
export const ALWAYS: readonly string[] = [
  "DMATXCTL: enabled after EEC.AUTO_RD was seen",
  "DMATXCTL: enabled after RDRXCTL.DMAIDONE was seen",
  "EIMC: reserved bits are written as they were read",
  "EIMS: reserved bits are written as they were read",
  "RXCTRL: enabled after EEC.AUTO_RD was seen",
  "RXCTRL: enabled after RDRXCTL.DMAIDONE was seen",
];
/** Violated once a queue's ring has wrapped. */
export const IN_TRAFFIC = "RDT: DD is 0 in a descriptor given to the device";
/** Violated whenever it takes a card down; not on X550, where firmware disables reception. */
export const TAKEN_DOWN = "RXCTRL: RXEN is cleared only after all receive queues are disabled";
/** Violated on X540 and X550, and by the self-test. */
export const RECEIVE_PATH =
  "RXCTRL: RXEN is set with SECRXCTRL.RX_DIS set and SECRXSTAT.SECRX_RDY seen";
/** Violated by its self-test, which writes patterns to registers, and sets up a loopback. */
export const SELF_TEST: readonly string[] = [
  "RDLEN: a multiple of 128 bytes, not 0",
  "RFCTL: NFSW_DIS and NFSR_DIS are set",
  "STATUS: read only: not written",
  "TDBAL: aligned to 128 bytes",
];

/** Violated by its self-test on 82599 and X540; the X550 reserves the bit. */
export const SELF_TEST_CRC = "RDRXCTL: CRCSTRIP is the same as HLREG0.RXCRCSTRP";

/** Violated on X540 and X550: its first reset comes before it knows the PHY's semaphore. */
export const FIRST_RESET = "CTRL: reset only while the port's SW_PHY_SM is held (X540, X550)";

/** Asserts that Linux violated the rules that it always violates, the given ones, and no others. */
export function assertKnown(broken: ReadonlySet<string>, ...others: readonly string[]): void {
  const found = [...broken].filter((rule) => rule !== IN_TRAFFIC);
  assertEquals(found.sort(), [...ALWAYS, ...others].sort());
}
