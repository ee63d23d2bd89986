/**
 * Accesses the PHY of an X540 or X550 by MDIO (clause 45 of IEEE 802.3), through MSCA and MSRWD. The
 * caller holds the PHY's semaphore.
 *
 * @module
 */

import type { Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import { MSCA, MSRWD, STATUS } from "./registers.ts";

/** MDIO devices of a PHY (45.2, table 45-1); `GLOBAL` is vendor-specific: the whole PHY. */
export const PMA_PMD = 1, AUTO_NEGOTIATION = 7, GLOBAL = 30;
/** Control register of each device. */
export const CONTROL = 0;
const ID_HIGH = 2;
/** Number of PHY addresses on an MDIO bus. */
const PHY_ADDRESSES = 32;
/** Value of a read to which no PHY responds. */
const NO_RESPONSE = 0xffff;

/** Deadline for an MDIO frame, in milliseconds; a frame takes some 30 microseconds. */
export const FRAME_MS = 100;

/** An MDIO frame did not end. */
export class FrameTimeout extends Error {}

/** A PHY on the MDIO bus. Its methods throw {@linkcode FrameTimeout}. */
export class Mdio {
  readonly #regs: Registers;
  readonly #phy: number;

  /** Creates the PHY at an address. Accesses nothing. */
  constructor(regs: Registers, phy: number) {
    this.#regs = regs;
    this.#phy = phy;
  }

  /**
   * Finds the port's PHY. On an X550 its address is the port's number: PORTADD "must be set to the port
   * number as reflected in the STATUS.LAN_ID field" (X550: section 8.2.2.16.4). On an X540 it depends on
   * the board: the driver tries all addresses, as Intel's drivers do.
   *
   * @returns The PHY; undefined if none responds.
   */
  static async find(regs: Registers, mac: Mac): Promise<Mdio | undefined> {
    const port = (regs.read(STATUS) & STATUS.LAN_ID) >>> 2;
    const [first, end] = mac === "X550" ? [port, port + 1] : [0, PHY_ADDRESSES];
    for (let address = first; address < end; address++) {
      const phy = new Mdio(regs, address);
      const identifier = await phy.read(PMA_PMD, ID_HIGH);
      if (identifier === 0 || identifier === NO_RESPONSE) continue;
      if (await phy.read(GLOBAL, CONTROL) !== NO_RESPONSE) return phy;
    }
  }

  /** Reads a register of one of its devices: 16 bits. */
  async read(device: number, register: number): Promise<number> {
    await this.#transfer(device, register, MSCA.OP_READ);
    return (this.#regs.read(MSRWD) & MSRWD.MDI_READ_DATA) >>> 16;
  }

  /** Writes a register of one of its devices. */
  async write(device: number, register: number, value: number): Promise<void> {
    this.#regs.write(MSRWD, value);
    await this.#transfer(device, register, MSCA.OP_WRITE);
  }

  /** Sends the two frames of an access: the register's address, then the operation. */
  async #transfer(device: number, register: number, operation: number): Promise<void> {
    const where = register | device << 16 | this.#phy << 21;
    for (const code of [MSCA.OP_ADDRESS, operation]) {
      this.#regs.write(MSCA, where | code | MSCA.MDI_COMMAND);
      if (!await this.#regs.reaches(MSCA, MSCA.MDI_COMMAND, 0, FRAME_MS)) throw new FrameTimeout();
    }
  }
}
