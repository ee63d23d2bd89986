/**
 * The 10GBASE-T PHY in the X540 and X550, as far as software has to see to it: that it has power. It is
 * reached by MDIO (clause 45 of IEEE 802.3) through MSCA and MSRWD, on both alike.
 *
 * Drivers put the PHY into its low power mode when they stop, Linux's ixgbe an X540's, DPDK's and
 * FreeBSD's an X550's too, and that lasts over a reset of the MAC: without this, a card that one of them
 * had before would never find a link. What the PHY negotiates, and whether a link comes, is its
 * firmware's business.
 *
 * Others are not asked: the PHYs of the 82599's boards, which nobody puts to sleep; and those beside an
 * X550EM, which ports share a bus to and which need more than power.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import { DeviceError } from "../src/errors.ts";
import { hex, offsetOf, type Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import { MSCA, MSRWD, SW_FW_SYNC } from "./registers.ts";
import { phySemaphore, withSemaphore } from "./semaphore.ts";

// Devices of a PHY (45.2, table 45-1): PMA/PMD, and the vendor's first, for the PHY as a whole.
const PMA_PMD = 1, GLOBAL = 30;
// Their registers.
const CONTROL = 0, ID_HIGH = 2;
/** Low power, in the control register (45.2.1.1). */
const LOW_POWER = 1 << 11;
/** Addresses that a PHY can have on its bus. */
const PHY_ADDRESSES = 32;
/** What the bus reads where nobody answers. */
const NOBODY = 0xffff;

/** Deadline for a frame on the bus, which takes some 30 microseconds, in milliseconds. */
const FRAME_MS = 100;
/** How long a PHY may be silent after a reset, in milliseconds, and when it is asked again. */
const ANSWER_MS = 1000, RETRY_MS = 10;

/** A PHY that answers, by its address, and its control register. */
interface Found {
  readonly phy: number;
  readonly control: number;
}

/**
 * Takes the PHY of an X540 or X550 out of low power, if it is in it; else nothing is written. It stays
 * so when the device is closed: who would have the PHY asleep puts it there, and Linux's ixgbe, which
 * might have the device next, wakes an X540's only.
 *
 * A PHY that firmware holds is not taken from it, though the datasheet would have a silent holder taken
 * for dead: a read or write is two frames, and one in between would send the second elsewhere.
 *
 * @param device The device's address, for messages.
 * @throws {DeviceError} if firmware does not let go of the PHY, no PHY answers, or MSCA does not finish.
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
      `${found}: firmware does not let go of the PHY, so that its power cannot be seen to: ` +
        "try again, and power-cycle the device if it stays so",
    );
  };
  const deadline = performance.now() + ANSWER_MS;
  do {
    // Held for one look only, not until somebody answers.
    if (await withSemaphore(regs, mac, phySemaphore(regs), () => wake(regs), held)) return;
    await delay(RETRY_MS);
  } while (performance.now() < deadline);
  throw new DeviceError(
    device,
    `no PHY answers by MDIO (MSCA, ${hex(offsetOf(MSCA))}) within ${ANSWER_MS} ms: ` +
      "power-cycle the device, and update its firmware if it stays so",
  );
}

/** Sees to the PHY's power; returns whether there was a PHY. */
async function wake(regs: Registers): Promise<boolean> {
  const found = await find(regs);
  if (!found) return false;
  const { phy, control } = found;
  if (control & LOW_POWER) await write(regs, phy, GLOBAL, CONTROL, control & ~LOW_POWER);
  return true;
}

/** Looks for the port's PHY, whose address is the board's choice: it has an identifier. */
async function find(regs: Registers): Promise<Found | undefined> {
  for (let phy = 0; phy < PHY_ADDRESSES; phy++) {
    const identifier = await read(regs, phy, PMA_PMD, ID_HIGH);
    if (identifier === 0 || identifier === NOBODY) continue;
    const control = await read(regs, phy, GLOBAL, CONTROL);
    if (control !== NOBODY) return { phy, control };
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

/** Does the two frames of an access: the register's address, then the operation. */
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
