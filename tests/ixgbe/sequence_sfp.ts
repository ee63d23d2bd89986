/**
 * Rules on how a driver sets up the link of an 82599's board with an SFP+ cage: semaphores, and
 * the restart of the link. Not a test itself.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import { DEVICE } from "../../sim/nic/boards.ts";
import { type Passes, reads, type Sequence, writes } from "../support/register_sequence.ts";
import { type Board, opened, receiving, type Rule } from "./sequence_rules.ts";

/** The bit that differs between link modes for a cage and those for a backplane. */
const BACKPLANE = R.AUTOC.LMS_KX4_KX_KR;
const RESTART = writes(R.AUTOC, 0, R.AUTOC.RESTART_AN | R.AUTOC.LMS_10G_SERIAL, BACKPLANE);
const TOGGLED = writes(R.AUTOC, 0, R.AUTOC.RESTART_AN | BACKPLANE);

const hasCage = ({ deviceId }: Board) => deviceId === DEVICE.SFP;
const leftFirstState: Passes = (access) =>
  reads(R.ANLP1)(access) &&
  (access.value & R.ANLP1.AN_STATE) !== 0;

/** Returns whether the I2C bus is driven, and only while the semaphore that guards it is held. */
function holdsBus(record: Sequence): boolean {
  const drives = writes(R.I2CCTL);
  let sync = 0, driven = false;
  for (const access of record.accesses) {
    if (access.name === R.SW_FW_SYNC.name) sync = access.value;
    if (!drives(access)) continue;
    if ((sync & R.SW_FW_SYNC.SW_PHY_SM0) === 0) return false;
    driven = true;
  }
  return driven;
}

/** The rules of a cage for an SFP+ module. */
export const SFP: readonly Rule[] = [
  {
    section: "10.5.4",
    rule: "I2CCTL is written only while SW_FW_SYNC.SW_PHY_SM0 is held",
    sentence:
      "SW_PHY_SM0: set by software when it owns the PHY of port 0. In Intel's drivers, its I2C bus too.",
    boards: hasCage,
    kept: holdsBus,
    broken: (r) => r.inserted(receiving(r), "write", R.I2CCTL, 0),
  },
  {
    section: "3.7",
    rule: "the link is restarted in a backplane's mode before it is in that of the cage",
    sentence: "No sentence demands it: Intel's drivers reset the data pipeline by toggling LMS[2].",
    boards: hasCage,
    kept: (r) => {
      const last = r.findLast(RESTART, receiving(r)), toggled = r.findLast(TOGGLED, last);
      return toggled > opened(r) && toggled === r.findLast(writes(R.AUTOC), last);
    },
    broken: (r) => r.without(r.findLast(TOGGLED, receiving(r))),
  },
  {
    section: "8.2.3.22.24",
    rule: "ANLP1.AN_STATE is read as not 0 between the two restarts",
    sentence: "No sentence demands it: Intel's drivers wait for it between the restarts.",
    boards: hasCage,
    kept: (r) => {
      const last = r.findLast(RESTART, receiving(r));
      return r.find(leftFirstState, r.findLast(TOGGLED, receiving(r)), last) >= 0;
    },
    broken: (r) => r.changed(r.findLast(leftFirstState, receiving(r)), () => 0),
  },
];
