/**
 * Takes the link down, so that the partner loses it too.
 *
 * @module
 */

import { DeviceError } from "../src/errors.ts";
import type { Registers } from "../src/registers.ts";
import { LOW_POWER } from "./copper_link.ts";
import { CONTROL, FrameTimeout, GLOBAL, Mdio } from "./mdio.ts";
import type { Mac } from "./models.ts";
import { AUTOC, SW_FW_SYNC } from "./registers.ts";
import { phySemaphore, withSemaphore } from "./semaphore.ts";

/**
 * Takes the link down. 82599: sets a link mode that the partner cannot have, for a backplane instead of a
 * cable, or the reverse. The pin that turns lasers off would not do, because passive cables ignore it. X540
 * and X550: puts the PHY into low power mode.
 *
 * @param device Its address, for messages.
 * @returns A function to call before the link is set up again.
 * @throws {DeviceError} if the PHY cannot be accessed.
 */
export async function takeLinkDown(
  regs: Registers,
  device: string,
  mac: Mac,
): Promise<() => Promise<void>> {
  if (mac !== "82599") {
    if (!await putToSleep(regs, mac)) throw new DeviceError(device, "its PHY cannot be accessed");
    return () => Promise.resolve(); // setting the link up wakes the PHY
  }
  const before = regs.read(AUTOC);
  const write = (autoc: number) =>
    withSemaphore(regs, mac, SW_FW_SYNC.SW_MAC_CSR_SM, () => regs.write(AUTOC, autoc));
  await write(before ^ AUTOC.LMS_KX4_KX_KR | AUTOC.RESTART_AN);
  return () => write(before);
}

/** Puts a PHY into low power mode; returns whether it could be accessed. */
function putToSleep(regs: Registers, mac: Mac): Promise<boolean> {
  const sleep = async () => {
    try {
      const phy = await Mdio.find(regs, mac);
      await phy?.write(GLOBAL, CONTROL, await phy.read(GLOBAL, CONTROL) | LOW_POWER);
      return phy !== undefined;
    } catch (error) {
      if (error instanceof FrameTimeout) return false;
      throw error;
    }
  };
  return withSemaphore(regs, mac, phySemaphore(regs), sleep, () => false);
}
