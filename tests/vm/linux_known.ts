/**
 * What Linux's driver does although the datasheet forbids it, or does not wait for: see sim/README.md.
 * Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";

/** Whenever it brings a card up. */
export const ALWAYS: readonly string[] = [
  "DMATXCTL: enabled after EEC.AUTO_RD was seen",
  "DMATXCTL: enabled after RDRXCTL.DMAIDONE was seen",
  "EIMC: reserved bits are written as they were read",
  "EIMS: reserved bits are written as they were read",
  "RXCTRL: enabled after EEC.AUTO_RD was seen",
  "RXCTRL: enabled after RDRXCTL.DMAIDONE was seen",
];
/** Only once a queue's ring has gone round. */
export const IN_TRAFFIC = "RDT: the DD bit of a descriptor that is handed over is 0";
/** Whenever it takes a card down; not on X550, where firmware disables reception. */
export const TAKEN_DOWN = "RXCTRL: RXEN is cleared only after all receive queues are disabled";
/** On X540 and X550. */
export const RECEIVE_PATH =
  "RXCTRL: RXEN is set with SECRXCTRL.RX_DIS set and SECRXSTAT.SECRX_RDY seen";

/** Asserts that Linux broke the rules that it always breaks, some others, and no more. */
export function assertKnown(broken: ReadonlySet<string>, ...others: readonly string[]): void {
  const found = [...broken].filter((rule) => rule !== IN_TRAFFIC);
  assertEquals(found.sort(), [...ALWAYS, ...others].sort());
}
