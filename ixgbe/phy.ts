/**
 * The 10GBASE-T PHY of the X540 and X550: takes it out of low power mode. It is accessed by MDIO (clause
 * 45 of IEEE 802.3) through MSCA and MSRWD.
 *
 * Some drivers put the PHY into low power mode when they stop: Linux's ixgbe does on an X540, those of
 * DPDK and FreeBSD on an X550 too. The mode lasts over a reset of the MAC, so the link would never come
 * up after such a driver. Negotiation and the link itself are up to the PHY's firmware.
 *
 * Other PHYs are not accessed: drivers do not put those on 82599 boards into low power mode.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import { hex, offsetOf, type Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import { MSCA, MSRWD, SW_FW_SYNC } from "./registers.ts";
import { phySemaphore, withSemaphore } from "./semaphore.ts";

// MDIO devices of a PHY (45.2, table 45-1): PMA/PMD, and the first vendor-specific one (the whole PHY).
const PMA_PMD = 1, GLOBAL = 30;
// Their registers.
const CONTROL = 0, ID_HIGH = 2;
/** Low power, in the control register (45.2.1.1). */
const LOW_POWER = 1 << 11;
/** Number of PHY addresses on an MDIO bus. */
const PHY_ADDRESSES = 32;
/** Value of a read to which no PHY responds. */
const NO_RESPONSE = 0xffff;

/** Deadline for an MDIO frame, in milliseconds; a frame takes some 30 microseconds. */
const FRAME_MS = 100;
/**
 * Time in which firmware must release a PHY, and the PHY respond, after a reset; and time between attempts.
 * In milliseconds.
 */
const ANSWER_MS = 2000, RETRY_MS = 10;

/** A PHY that responds: its address, and the value of its control register. */
interface Found {
  readonly phy: number;
  readonly control: number;
}

/**
 * Takes the PHY of an X540 or X550 out of low power mode; if it is not in that mode, nothing is written.
 * Closing the device does not restore the mode: Linux's ixgbe, which may get the device next, takes only
 * an X540's PHY out of it.
 *
 * The PHY is not taken from firmware that holds its semaphore, although the datasheet allows that after a
 * timeout: an access is two MDIO frames, and a frame of the firmware in between would redirect the
 * second one.
 *
 * A PHY that cannot be accessed is not an error: most are not in low power mode, and have a link anyway.
 *
 * @returns Why the PHY could not be accessed, and what to do; undefined if it could.
 */
export async function powerUpPhy(
  regs: Registers,
  mac: Extract<Mac, "X540" | "X550">,
): Promise<string | undefined> {
  const held = (sync: number) => {
    return `SW_FW_SYNC (${hex(offsetOf(SW_FW_SYNC))}) is ${
      hex(sync)
    }, firmware does not release the ` +
      "PHY, which may be in low power mode: open the device again, and power-cycle it if it stays so";
  };
  const deadline = performance.now() + ANSWER_MS;
  for (;;) {
    const late = performance.now() >= deadline;
    // The semaphore is held for one attempt at a time.
    const problem = await withSemaphore(regs, mac, phySemaphore(regs), () => wake(regs), held);
    if (problem === undefined || late) return problem;
    await delay(RETRY_MS);
  }
}

/** Clears low power mode if it is set; returns why that failed. */
async function wake(regs: Registers): Promise<string | undefined> {
  const msca = `MSCA (${hex(offsetOf(MSCA))})`;
  const remedy = "power-cycle the device, and update its firmware if it stays so";
  try {
    const found = await find(regs);
    if (!found) return `no PHY responds to MDIO, ${msca}, within ${ANSWER_MS} ms: ${remedy}`;
    const { phy, control } = found;
    if (control & LOW_POWER) await write(regs, phy, GLOBAL, CONTROL, control & ~LOW_POWER);
  } catch (error) {
    if (!(error instanceof FrameTimeout)) throw error;
    return `${msca} does not finish an MDIO frame within ${FRAME_MS} ms: ${remedy}`;
  }
}

/** An MDIO frame did not end. */
class FrameTimeout extends Error {}

/** Finds the port's PHY by its identifier: its address depends on the board. */
async function find(regs: Registers): Promise<Found | undefined> {
  for (let phy = 0; phy < PHY_ADDRESSES; phy++) {
    const identifier = await read(regs, phy, PMA_PMD, ID_HIGH);
    if (identifier === 0 || identifier === NO_RESPONSE) continue;
    const control = await read(regs, phy, GLOBAL, CONTROL);
    if (control !== NO_RESPONSE) return { phy, control };
  }
}

async function read(regs: Registers, phy: number, device: number, address: number) {
  await transfer(regs, phy, device, address, MSCA.OP_READ);
  return (regs.read(MSRWD) & MSRWD.MDI_READ_DATA) >>> 16;
}

async function write(
  regs: Registers,
  phy: number,
  device: number,
  address: number,
  value: number,
): Promise<void> {
  regs.write(MSRWD, value);
  await transfer(regs, phy, device, address, MSCA.OP_WRITE);
}

/** Sends the two frames of an access: the register's address, then the operation. */
async function transfer(
  regs: Registers,
  phy: number,
  device: number,
  address: number,
  operation: number,
): Promise<void> {
  const where = address | device << 16 | phy << 21;
  for (const code of [MSCA.OP_ADDRESS, operation]) {
    regs.write(MSCA, where | code | MSCA.MDI_COMMAND);
    if (!await regs.reaches(MSCA, MSCA.MDI_COMMAND, 0, FRAME_MS)) throw new FrameTimeout();
  }
}
