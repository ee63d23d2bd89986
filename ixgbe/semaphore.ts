/**
 * The semaphores between software and firmware (82599: section 10.5.4; X540: section 11.7.5).
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import type { Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import { STATUS, SW_FW_SYNC, SW_FW_SYNC_X550EM_A, SWSM, SWSM_X550EM_A } from "./registers.ts";

/** The semaphore registers of a MAC. Only their offsets differ, not their bits. */
const swsm = (mac: Mac) => mac === "X550EM_a" ? SWSM_X550EM_A : SWSM;
const swFwSync = (mac: Mac) => mac === "X550EM_a" ? SW_FW_SYNC_X550EM_A : SW_FW_SYNC;

/** The longest time that a semaphore may be held, in milliseconds. */
const DEADLINE_MS = 1000;
const RETRY_MS = 5;

/** The firmware's bit for a resource is this many bits above the software's. */
const FIRMWARE_SHIFT = 5;

/** Returns the software's bit in SW_FW_SYNC for the PHY of this port. */
export function phySemaphore(regs: Registers): number {
  const port = regs.read(STATUS) & STATUS.LAN_ID;
  return port === 0 ? SW_FW_SYNC.SW_PHY_SM0 : SW_FW_SYNC.SW_PHY_SM1;
}

/**
 * Runs an action while holding the semaphore of a resource.
 *
 * A semaphore that is not released within a second is taken over, as the datasheet says: a driver that
 * was killed may have left it set.
 *
 * @param resource The software's bit in SW_FW_SYNC for the resource.
 * @param refusal Creates the error to throw if firmware does not release the resource, from the value of
 * SW_FW_SYNC (default: the semaphore is taken over from firmware too).
 * @returns The result of the action.
 */
export async function withSemaphore<T>(
  regs: Registers,
  mac: Mac,
  resource: number,
  action: () => T | Promise<T>,
  refusal?: (sync: number) => Error,
): Promise<T> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    await enter(regs, mac);
    const sync = regs.read(swFwSync(mac));
    const byFirmware = (sync & resource << FIRMWARE_SHIFT) !== 0;
    const busy = byFirmware || (sync & resource) !== 0;
    const late = performance.now() >= deadline;
    const taken = !busy || (late && !(byFirmware && refusal));
    if (taken) regs.write(swFwSync(mac), sync | resource);
    leave(regs, mac);
    if (taken) break;
    if (late && refusal) throw refusal(sync);
    await delay(RETRY_MS);
  }
  try {
    return await action();
  } finally {
    await enter(regs, mac);
    regs.clear(swFwSync(mac), resource);
    leave(regs, mac);
  }
}

/** Takes the semaphores that guard SW_FW_SYNC: first against other drivers, then against firmware. */
async function enter(regs: Registers, mac: Mac): Promise<void> {
  // Reading SMBI sets it: reading 0 takes the semaphore.
  await regs.reaches(swsm(mac), SWSM.SMBI, 0, DEADLINE_MS);
  if (mac === "82599") {
    const deadline = performance.now() + DEADLINE_MS;
    do {
      regs.set(swsm(mac), SWSM.SWESMBI);
    } while (!(regs.read(swsm(mac)) & SWSM.SWESMBI) && performance.now() < deadline);
  } else {
    await regs.reaches(swFwSync(mac), SW_FW_SYNC.REGSMP, 0, DEADLINE_MS);
  }
}

/** Releases the semaphores that guard SW_FW_SYNC. */
function leave(regs: Registers, mac: Mac): void {
  if (mac === "82599") {
    regs.clear(swsm(mac), SWSM.SWESMBI | SWSM.SMBI);
  } else {
    regs.clear(swFwSync(mac), SW_FW_SYNC.REGSMP);
    regs.clear(swsm(mac), SWSM.SMBI);
  }
}
