/**
 * The semaphores that software and firmware share (82599: section 10.5.4; X540: section 11.7.5).
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import type { Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import { STATUS, SW_FW_SYNC, SW_FW_SYNC_X550EM_A, SWSM, SWSM_X550EM_A } from "./registers.ts";

/** Where a MAC has its semaphores; the bits are the same. */
const swsm = (mac: Mac) => mac === "X550EM_a" ? SWSM_X550EM_A : SWSM;
const swFwSync = (mac: Mac) => mac === "X550EM_a" ? SW_FW_SYNC_X550EM_A : SW_FW_SYNC;

/** Longest that firmware may hold a semaphore, in milliseconds. */
const DEADLINE_MS = 1000;
const RETRY_MS = 5;

/** The firmware's bit for a resource is this much above software's. */
const FIRMWARE_SHIFT = 5;

/** Software's bit of SW_FW_SYNC for the PHY of this port. */
export function phySemaphore(regs: Registers): number {
  const port = regs.read(STATUS) & STATUS.LAN_ID;
  return port === 0 ? SW_FW_SYNC.SW_PHY_SM0 : SW_FW_SYNC.SW_PHY_SM1;
}

/**
 * Does something while firmware keeps its hands off a resource.
 *
 * A holder that does not let go within a second is taken for dead, as the datasheet says: a driver
 * that was killed may have left its bits behind.
 *
 * @param resource Software's bit of SW_FW_SYNC for the resource.
 * @param refusal What to throw where it is firmware that does not let go, of what SW_FW_SYNC then is;
 * unless given, firmware is taken for dead too.
 * @returns What the action returns.
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

/** Takes the semaphores that guard SW_FW_SYNC: among drivers, then against firmware. */
async function enter(regs: Registers, mac: Mac): Promise<void> {
  // Reading SMBI sets it: who reads 0 has it.
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

function leave(regs: Registers, mac: Mac): void {
  if (mac === "82599") {
    regs.clear(swsm(mac), SWSM.SWESMBI | SWSM.SMBI);
  } else {
    regs.clear(swFwSync(mac), SW_FW_SYNC.REGSMP);
    regs.clear(swsm(mac), SWSM.SMBI);
  }
}
