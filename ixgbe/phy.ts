/**
 * The 10GBASE-T PHY of the X540 and X550: takes it out of low power mode. It is accessed by MDIO (clause
 * 45 of IEEE 802.3) through MSCA and MSRWD.
 *
 * Some drivers put the PHY into low power mode when they stop: Linux's ixgbe does on an X540, those of
 * DPDK and FreeBSD on an X550 too. The mode lasts over a reset of the MAC, so the link would never come
 * up after such a driver. Negotiation and the link itself are up to the PHY's firmware.
 *
 * Other PHYs are not accessed. Drivers do not put those on 82599 boards into low power mode. Those beside
 * an X550EM share a bus between ports, and need more than power.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import { DeviceError } from "../src/errors.ts";
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
/** Time in which a PHY must respond after a reset, and time between attempts, in milliseconds. */
const ANSWER_MS = 1000, RETRY_MS = 10;

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
 * @param device The device's address, for messages.
 * @throws {DeviceError} if firmware does not release the PHY, no PHY responds, or MSCA does not finish.
 */
export async function powerUpPhy(
  regs: Registers,
  device: string,
  mac: Extract<Mac, "X540" | "X550">,
): Promise<void> {
  const held = (sync: number) => {
    const found = `SW_FW_SYNC (${hex(offsetOf(SW_FW_SYNC))}) is ${hex(sync)}`;
    return new DeviceError(
      device,
      `${found}: firmware does not release the PHY, which may be in low power mode: ` +
        "try again, and power-cycle the device if it stays so",
    );
  };
  const deadline = performance.now() + ANSWER_MS;
  do {
    // The semaphore is held for one attempt at a time.
    if (await withSemaphore(regs, mac, phySemaphore(regs), () => wake(regs), held)) return;
    await delay(RETRY_MS);
  } while (performance.now() < deadline);
  throw new DeviceError(
    device,
    `no PHY responds to MDIO (MSCA, ${hex(offsetOf(MSCA))}) within ${ANSWER_MS} ms: ` +
      "power-cycle the device, and update its firmware if it stays so",
  );
}

/** Clears low power mode if it is set; returns whether a PHY responded. */
async function wake(regs: Registers): Promise<boolean> {
  const found = await find(regs);
  if (!found) return false;
  const { phy, control } = found;
  if (control & LOW_POWER) await write(regs, phy, GLOBAL, CONTROL, control & ~LOW_POWER);
  return true;
}

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
    await regs.wait(MSCA, MSCA.MDI_COMMAND, 0, FRAME_MS);
  }
}
