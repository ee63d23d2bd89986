/**
 * The semaphores between software and firmware (82599: section 10.5.4; X540: section 11.7.5), and the veto
 * of a management controller (MMNGC).
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import { checkStop, unstoppable } from "../native/stop.ts";
import { UsageError } from "../src/errors.ts";
import { hex, offsetOf, type Register, type Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import { MMNGC, STATUS, SW_FW_SYNC, SWSM } from "./registers.ts";

/** The longest time that a semaphore may be held, in milliseconds. */
const DEADLINE_MS = 1000;
const RETRY_MS = 5;
/**
 * Minimum number of attempts to take a semaphore. In a single attempt, or in the first one after this
 * thread was stopped for a while, firmware may hold it by chance.
 */
const MIN_LOOKS = 100;

/** The firmware's bit for a resource is this many bits above the software's. */
const FIRMWARE_SHIFT = 5;

/** Returns the software's bit in SW_FW_SYNC for the PHY of this port. */
export function phySemaphore(regs: Registers): number {
  const port = regs.read(STATUS) & STATUS.LAN_ID;
  return port === 0 ? SW_FW_SYNC.SW_PHY_SM0 : SW_FW_SYNC.SW_PHY_SM1;
}

/** Yields before each further attempt: the milliseconds to wait. */
type Attempts<T> = Generator<number, T, void>;

/** A semaphore that guards SW_FW_SYNC: its bit and its register. */
type Guard = readonly [name: string, register: Register];

/** The result of taking a semaphore: the value of SW_FW_SYNC, and whether the semaphore was taken. */
interface Outcome {
  readonly sync: number;
  readonly taken: boolean;
}

/**
 * Runs an action while holding the semaphore of a resource.
 *
 * A semaphore that is not released within a second is taken over, as the datasheet says: a driver that
 * was killed may have left it set.
 *
 * @param resource The software's bit in SW_FW_SYNC for the resource.
 * @param held Runs instead of the action if firmware does not release the resource, with the value of
 * SW_FW_SYNC (default: the semaphore is taken over from firmware too).
 * @returns The result of the action, or of `held`.
 */
export async function withSemaphore<T>(
  regs: Registers,
  mac: Mac,
  resource: number,
  action: () => T | Promise<T>,
  held?: (sync: number) => T,
): Promise<T> {
  const { sync, taken } = await waiting(take(regs, mac, resource, held !== undefined));
  if (!taken) return held!(sync);
  try {
    return await action();
  } finally {
    give(regs, mac, resource);
  }
}

/** As {@linkcode withSemaphore}, but polls without awaiting: for closing. */
export function spinWithSemaphore<T>(
  regs: Registers,
  mac: Mac,
  resource: number,
  action: () => T,
): T {
  spinning(take(regs, mac, resource, false));
  try {
    return action();
  } finally {
    give(regs, mac, resource);
  }
}

/**
 * Checks that the semaphores that guard SW_FW_SYNC can be taken. The first attempt takes over and releases
 * what a killed driver has left. A semaphore that is not free in the second attempt is held by a driver that
 * uses the device now, or the hardware is broken. Changes nothing else.
 *
 * @throws {UsageError} if one of them cannot be taken.
 */
export async function checkSemaphores(regs: Registers, mac: Mac, device: string): Promise<void> {
  let stuck = await waiting(enter(regs, mac));
  leave(regs, mac);
  if (stuck === undefined) return;
  stuck = await waiting(enter(regs, mac));
  leave(regs, mac);
  if (stuck === undefined) return;
  const [name, register] = stuck;
  throw new UsageError(
    `${device}: its semaphore ${register.name}.${name} (${hex(offsetOf(register))} is ${
      hex(regs.read(register))
    }) is never free: end other drivers of the device, and power-cycle it if that does not help`,
  );
}

/** Takes a resource's semaphore. At the deadline firmware keeps it if `yields`. */
function* take(
  regs: Registers,
  mac: Mac,
  resource: number,
  yields: boolean,
): Attempts<Outcome> {
  const deadline = performance.now() + DEADLINE_MS;
  for (let looks = 1;; looks++) {
    const late = looks >= MIN_LOOKS && performance.now() >= deadline;
    yield* enter(regs, mac);
    const sync = regs.read(SW_FW_SYNC);
    const byFirmware = (sync & resource << FIRMWARE_SHIFT) !== 0;
    const busy = byFirmware || (sync & resource) !== 0;
    const taken = !busy || (late && !(byFirmware && yields));
    if (taken) regs.write(SW_FW_SYNC, sync | resource);
    leave(regs, mac);
    if (taken || late) return { sync, taken };
    yield RETRY_MS;
  }
}

/** Releases a resource's semaphore, also after a signal. */
function give(regs: Registers, mac: Mac, resource: number): void {
  unstoppable(() => spinning(release(regs, mac, resource)));
}

function* release(regs: Registers, mac: Mac, resource: number): Attempts<void> {
  yield* enter(regs, mac);
  regs.clear(SW_FW_SYNC, resource);
  leave(regs, mac);
}

/**
 * Takes the semaphores that guard SW_FW_SYNC: first the one against other drivers, then the one against
 * firmware. One that is not free at the deadline is taken over (section 10.5.4). Returns the first of
 * these.
 */
function* enter(regs: Registers, mac: Mac): Attempts<Guard | undefined> {
  // Reading SMBI sets it: reading 0 takes the semaphore.
  const ours = yield* until(() => (regs.read(SWSM) & SWSM.SMBI) === 0);
  const firmwares: Guard = mac === "82599" ? ["SWESMBI", SWSM] : ["REGSMP", SW_FW_SYNC];
  using entered = new DisposableStack();
  entered.defer(() => leave(regs, mac)); // if a signal ends the wait
  const free = yield* until(() => {
    if (mac !== "82599") return (regs.read(SW_FW_SYNC) & SW_FW_SYNC.REGSMP) === 0;
    regs.set(SWSM, SWSM.SWESMBI);
    return (regs.read(SWSM) & SWSM.SWESMBI) !== 0;
  });
  entered.move();
  if (!ours) return ["SMBI", SWSM];
  return free ? undefined : firmwares;
}

/** Releases the semaphores that guard SW_FW_SYNC. */
function leave(regs: Registers, mac: Mac): void {
  if (mac === "82599") {
    regs.clear(SWSM, SWSM.SWESMBI | SWSM.SMBI);
  } else {
    regs.clear(SW_FW_SYNC, SW_FW_SYNC.REGSMP);
    regs.clear(SWSM, SWSM.SMBI);
  }
}

/** Polls a condition every millisecond, up to the deadline; returns whether it held. */
function* until(condition: () => boolean): Attempts<boolean> {
  const deadline = performance.now() + DEADLINE_MS;
  for (let looks = 1;; looks++) {
    const late = looks >= MIN_LOOKS && performance.now() >= deadline;
    if (condition()) return true;
    if (late) return false;
    yield 1;
  }
}

async function waiting<T>(attempts: Attempts<T>): Promise<T> {
  try {
    for (;;) {
      const { done, value } = attempts.next();
      if (done) return value;
      await delay(value);
    }
  } finally {
    attempts.return(undefined as T);
  }
}

function spinning<T>(attempts: Attempts<T>): T {
  try {
    for (;;) {
      const { done, value } = attempts.next();
      if (done) return value;
      const end = performance.now() + value;
      while (performance.now() < end);
      checkStop();
    }
  } finally {
    attempts.return(undefined as T);
  }
}

/** Returns whether a management controller forbids changes of the link. */
export function isVetoed(regs: Registers): boolean {
  return (regs.read(MMNGC) & MMNGC.MNG_VETO) !== 0;
}
