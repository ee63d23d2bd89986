/**
 * Rules of the datasheets on what the NIC shares with firmware and with the link's other end: coming to
 * rest, resets, the PHY. Not a test itself.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { between, type Board, closed, opened, type Rule } from "./sequence_rules.ts";
import { type Passes, reads, type Sequence, writes } from "../support/register_sequence.ts";

const GIO_DIS = writes(R.CTRL, 0, R.CTRL.GIO_DIS, R.CTRL.RST);
const STATUS: Passes = reads(R.STATUS);

/** Returns the indices from which on, and before which, CTRL has to be read. */
function readBack(record: Sequence): [from: number, to: number][] {
  return record.all(GIO_DIS).map((at) => [at, record.find(STATUS, at)]);
}

/** The driver sets up the link: it tells the MAC to negotiate, or asks the PHY. */
const LINK_SET_UP: Passes = (access) => writes(R.AUTOC)(access) || writes(R.MSCA)(access);
const CONFIGURED = reads(R.EEMNGCTL, 0, R.EEMNGCTL.CFG_DONE0);

/** Returns whether the port has a PHY that firmware uses too. */
function hasPhy({ deviceId }: Board): boolean {
  return deviceId === DEVICE.X540 || deviceId === DEVICE.X550;
}

/** The rules. */
export const LINK: readonly Rule[] = [
  {
    section: "8.2.2.1.1 (X550)",
    rule: "CTRL.GIO_DIS is read as 1 after it is set, before STATUS is read",
    sentence: "GIO_DIS: CTRL is read back before STATUS shows whether master requests are pending.",
    kept: (r) =>
      readBack(r).every(([from, to]) => between(r, reads(R.CTRL, 0, R.CTRL.GIO_DIS), from, to)),
    broken: (r) => {
      const [from, to] = readBack(r).at(-1)!;
      return r.without(r.find(reads(R.CTRL), from, to));
    },
  },
  {
    section: "4.6.3",
    rule: "EEMNGCTL.CFG_DONE0 is read as 1 before the link is set up",
    sentence: "4. Wait for manageability configuration done indication (EEMNGCTL.CFG_DONE0/1).",
    kept: (r) => between(r, CONFIGURED, opened(r), r.find(LINK_SET_UP, opened(r))),
    broken: (r) => r.changed(r.find(CONFIGURED, opened(r)), (v) => v & ~R.EEMNGCTL.CFG_DONE0),
  },
  {
    section: "8.2.3.22",
    rule: "MMNGC.MNG_VETO is read as 0 before negotiation is restarted",
    sentence: "No sentence demands it: Intel's drivers leave a link alone that the bit protects.",
    boards: (board) => !hasPhy(board),
    kept: (r) => {
      const to = r.find(writes(R.AUTOC, 0, R.AUTOC.RESTART_AN));
      return between(r, reads(R.MMNGC, 0, 0, R.MMNGC.MNG_VETO), opened(r), to);
    },
    broken: (r) => r.changed(r.find(reads(R.MMNGC), opened(r)), (v) => v | R.MMNGC.MNG_VETO),
  },
  {
    section: "8.2.2.16.4 (X550)",
    rule: "MSCA.PHY_ADD is the port number",
    sentence: "PORTADD: must be set to the port number as reflected in the STATUS.LAN_ID field.",
    boards: ({ deviceId }) => deviceId === DEVICE.X550,
    kept: (r) => {
      const commands = r.all(writes(R.MSCA)).map((at) => r.accesses[at].value);
      return commands.length > 0 && commands.every((value) => (value & R.MSCA.PHY_ADD) === 0);
    },
    broken: (r) => r.changed(r.find(writes(R.MSCA)), (value) => value | 1 << 21),
  },
  {
    section: "10.5.4",
    rule: "the reset of closing occurs only while SW_PHY_SM0 is held",
    sentence: "SW_PHY_SM0: set by software when it owns the PHY of port 0, which a reset reaches.",
    boards: hasPhy,
    kept: (r) => (r.valueAt(closed(r), R.SW_FW_SYNC) & R.SW_FW_SYNC.SW_PHY_SM0) !== 0,
    broken: (r) => {
      const at = r.findLast(({ name }) => name === R.SW_FW_SYNC.name, closed(r));
      return r.changed(at, (value) => value & ~R.SW_FW_SYNC.SW_PHY_SM0);
    },
  },
];
