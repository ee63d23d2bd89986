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
import { withSemaphore } from "./semaphore.ts";
import { SfpLink } from "./sfp_link.ts";

/**
 * Sets the link up, as far as software has to.
 *
 * 82599: link mode and PMA stay as the EEPROM sets them, and auto-negotiation is restarted; a board with
 * a cage for an SFP+ module is set up by {@linkcode SfpLink} instead. X540 and X550: firmware controls the PHY, and AUTOC has no link mode; the PHY is only taken
 * out of low power mode, in which other drivers leave it. X550EM: nothing is changed.
 *
 * @param device The device's address, for messages.
 * @throws {DeviceError} if the PHY of an X540 or X550 cannot be accessed.
 */
export async function setUpLink(regs: Registers, device: string, model: Model): Promise<void> {
  if (model.mac === "X540" || model.mac === "X550") await powerUpPhy(regs, device, model.mac);
  if (model.mac !== "82599" || SfpLink.fits(model)) return;
  await withSemaphore(regs, model.mac, SW_FW_SYNC.SW_MAC_CSR_SM, () => {
    if (regs.read(AUTOC2) & AUTOC2.LINK_DISABLE) regs.clear(AUTOC2, AUTOC2.LINK_DISABLE);
    regs.set(AUTOC, AUTOC.RESTART_AN);
  });
}

/** Returns the state of the link (LINKS; the X550's LINKS adds 2.5 and 5 Gbit/s). */
export function linkStatus(regs: Registers, model: Model): LinkStatus {
  const links = regs.read(LINKS);
  if ((links & LINKS.UP) === 0) return { up: false, megabits: 0 };
  const nonStandard = model.mac.startsWith("X550") && (links & LINKS.SPEED_NON_STD) !== 0;
  switch ((links & LINKS.SPEED) >>> 28) {
    case 3:
      return { up: true, megabits: nonStandard ? 2500 : 10000 };
    case 2:
      return { up: true, megabits: 1000 };
    case 1:
      return { up: true, megabits: nonStandard ? 5000 : 100 };
    default:
      return { up: true, megabits: model.mac === "X550EM_a" ? 10 : 0 };
  }
}
