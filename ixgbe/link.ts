/**
 * The link: the part of its set-up that is up to software, and its state (82599: sections 3.7, 4.6.4).
 *
 * @module
 */

import type { LinkStatus } from "../src/device.ts";
import type { Registers } from "../src/registers.ts";
import type { Model } from "./models.ts";
import { powerUpPhy } from "./phy.ts";
import { AUTOC, AUTOC2, LINKS, SW_FW_SYNC } from "./registers.ts";
import { isVetoed, withSemaphore } from "./semaphore.ts";
import { SfpLink } from "./sfp_link.ts";

/**
 * Sets the link up, as far as software has to.
 *
 * 82599: link mode and PMA stay as the EEPROM sets them, and auto-negotiation is restarted, unless a
 * management controller has forbidden it (MMNGC.MNG_VETO), whose session would be lost. A board with a cage
 * for an SFP+ module is set up by {@linkcode SfpLink} instead. X540 and X550: firmware controls the PHY, and
 * AUTOC has no link mode; the PHY is only taken out of low power mode, in which other drivers leave it.
 *
 * @returns Why the link may stay down, and what to do; undefined if nothing stands in its way.
 */
export async function setUpLink(regs: Registers, model: Model): Promise<string | undefined> {
  if (model.mac === "X540" || model.mac === "X550") return await powerUpPhy(regs, model.mac);
  if (SfpLink.fits(model)) return undefined;
  if (isVetoed(regs)) {
    return "a management controller uses the link (MMNGC.MNG_VETO), so negotiation was not restarted: " +
      "check the cable, and the management controller's settings";
  }
  await withSemaphore(regs, model.mac, SW_FW_SYNC.SW_MAC_CSR_SM, () => {
    if (regs.read(AUTOC2) & AUTOC2.LINK_DISABLE) regs.clear(AUTOC2, AUTOC2.LINK_DISABLE);
    regs.set(AUTOC, AUTOC.RESTART_AN);
  });
}

/** Returns the state of the link (LINKS; the X550's LINKS adds 2.5 and 5 Gbit/s). */
export function linkStatus(regs: Registers, model: Model): LinkStatus {
  const links = regs.read(LINKS);
  if ((links & LINKS.UP) === 0) return { up: false, megabits: 0 };
  const nonStandard = model.mac === "X550" && (links & LINKS.SPEED_NON_STD) !== 0;
  switch ((links & LINKS.SPEED) >>> 28) {
    case 3:
      return { up: true, megabits: nonStandard ? 2500 : 10000 };
    case 2:
      return { up: true, megabits: 1000 };
    case 1:
      return { up: true, megabits: nonStandard ? 5000 : 100 };
    default:
      return { up: true, megabits: 0 };
  }
}
