/**
 * The link: its kind, and its state.
 *
 * @module
 */

import type { LinkStatus } from "../src/device.ts";
import { UsageError } from "../src/errors.ts";
import type { Registers } from "../src/registers.ts";
import { CopperLink } from "./copper_link.ts";
import type { Model } from "./models.ts";
import type { PortLink } from "./port_link.ts";
import { FCCFG, LINKS, MFLCN } from "./registers.ts";
import { isVetoed } from "./semaphore.ts";
import { SerdesLink } from "./serdes_link.ts";
import { SfpLink } from "./sfp_link.ts";

/**
 * Returns the link of a device. Accesses nothing.
 *
 * @param speeds The speeds in Mbit/s that the program has set (default: those that the driver uses
 * by itself).
 */
export function linkOf(
  regs: Registers,
  address: string,
  model: Model,
  speeds: readonly number[] | undefined,
): PortLink {
  if (model.mac !== "82599") return new CopperLink(regs, model, speeds);
  if (SfpLink.fits(model)) return new SfpLink(regs, address, speeds);
  return new SerdesLink(regs, address, speeds);
}

/**
 * Checks that the link can have the speeds that the program has set. Changes nothing.
 *
 * @throws {UsageError} if it cannot, or a management controller forbids changes of the link.
 */
export async function checkLink(
  regs: Registers,
  address: string,
  link: PortLink,
  speeds: readonly number[] | undefined,
): Promise<void> {
  if (speeds === undefined) return;
  if (isVetoed(regs)) {
    const problem =
      "a management controller uses the link (MMNGC.MNG_VETO), so its speeds cannot be " +
      "set: leave out `speeds`, or change the management controller's settings";
    throw new UsageError(`${address}: ${problem}`, { option: "speeds" });
  }
  await link.check();
}

/**
 * Returns the state of the link (LINKS; the X550's LINKS adds 2.5 and 5 Gbit/s). These MACs do not support
 * half duplex.
 */
export function linkStatus(regs: Registers, model: Model): LinkStatus {
  const links = regs.read(LINKS);
  if ((links & LINKS.UP) === 0) return { up: false, megabits: 0 };
  const nonStandard = model.mac === "X550" && (links & LINKS.SPEED_NON_STD) !== 0;
  const speeds = nonStandard ? [0, 5000, 0, 2500] : [0, 100, 1000, 10000];
  const megabits = speeds[(links & LINKS.SPEED) >>> 28];
  return { up: true, megabits, duplex: "full", flowControl: flowControl(regs) };
}

/** Returns which pause frames are in force: those of IEEE 802.3x, and those by priority. */
function flowControl(regs: Registers): NonNullable<LinkStatus["flowControl"]> {
  const obeys = (regs.read(MFLCN) & (MFLCN.RFCE | MFLCN.RPFCE)) !== 0;
  const sends = (regs.read(FCCFG) & FCCFG.TFCE) !== 0;
  if (obeys) return sends ? "both" : "receive";
  return sends ? "transmit" : "none";
}
