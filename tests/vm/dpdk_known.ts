/**
 * Rules of the datasheet that DPDK's driver violates: see sim/README.md. Not a test itself.
 *
 * @module
 */

import { assertEquals } from "@std/assert";

/** Violated by each start of a port, on all boards. */
const ALWAYS: readonly string[] = [
  "DMATXCTL: enabled after EEC.AUTO_RD was seen",
  "DMATXCTL: enabled after RDRXCTL.DMAIDONE was seen",
  "EIMC: reserved bits are written as they were read",
  "RXCTRL: enabled after EEC.AUTO_RD was seen",
  "RXCTRL: enabled after RDRXCTL.DMAIDONE was seen",
  "TDH: written only while TXDCTL.ENABLE is 0",
];
/** Violated when double VLAN and, by a filter, flow director are enabled while the port runs. */
const RUNNING: readonly string[] = [
  "CTRL_EXT: EXTENDED_VLAN is changed only while reception and transmission are disabled",
  "RXPBSIZE: changed only while RXCTRL.RXEN is 0",
];
/** Violated by each end of a port; not on X550, where firmware disables reception. */
const STOPPED = "RXCTRL: RXEN is cleared only after all receive queues are disabled";
/** Violated on X540 and X550. */
const COPPER: readonly string[] = [
  "CTRL: reset only while the port's SW_PHY_SM is held (X540, X550)",
  "RXCTRL: RXEN is set with SECRXCTRL.RX_DIS set and SECRXSTAT.SECRX_RDY seen",
];

const BOARDS: Readonly<Record<string, readonly string[]>> = {
  "82599": [STOPPED],
  X540: [STOPPED, ...COPPER],
  X550: COPPER,
};

/** Asserts that DPDK violated exactly the known rules on a board. */
export function assertKnown(board: string, broken: ReadonlySet<string>): void {
  assertEquals([...broken].sort(), [...ALWAYS, ...RUNNING, ...BOARDS[board]].sort(), board);
}
