/**
 * The link of an 82599's board without a cage for SFP+ modules: KX4, KX and KR backplanes, CX4, XAUI, an
 * external PHY (section 3.7).
 *
 * @module
 */

import type { LinkStatus } from "../src/device.ts";
import { UsageError } from "../src/errors.ts";
import type { Registers } from "../src/registers.ts";
import { resetPipeline } from "./autoc.ts";
import { NO_SIGNAL, type PortLink, speedList, VETOED } from "./port_link.ts";
import { AUTOC, AUTOC2, LINKS, SW_FW_SYNC } from "./registers.ts";
import { isVetoed, withSemaphore } from "./semaphore.ts";

/** The bits of AUTOC that advertise 10 and 1 Gbit/s to a backplane. */
const AT_10G = AUTOC.KX_SUPP_KX4 | AUTOC.KR_SUPP, AT_1G = AUTOC.KX_SUPP_KX;

/** Returns whether AUTOC sets a mode that negotiates over a backplane (IEEE 802.3, clause 73). */
function negotiates(autoc: number): boolean {
  const mode = autoc & AUTOC.LMS;
  return mode === AUTOC.LMS_KX4_KX_KR || mode === AUTOC.LMS_KX4_KX_KR_1G_AN ||
    mode === AUTOC.LMS_KX4_KX_KR_SGMII;
}

/**
 * The link of such a board. Only the EEPROM knows the link mode, the PMA and what the board's lanes can
 * do; the reset loads it. `speeds` can only take speeds away from what is advertised. Intel's drivers can
 * also leave out KR after several failures (SmartSpeed), but not by default.
 */
export class SerdesLink implements PortLink {
  readonly #regs: Registers;
  readonly #address: string;
  readonly #speeds: readonly number[] | undefined;
  #vetoed = false;

  /** Creates the link of a device with these registers. Accesses nothing before `setUp`. */
  constructor(regs: Registers, address: string, speeds: readonly number[] | undefined) {
    this.#regs = regs;
    this.#address = address;
    this.#speeds = speeds;
  }

  /** Does nothing: an earlier driver may have changed AUTOC, and the reset restores what the board can do. */
  async check(): Promise<void> {}

  /**
   * Enables the link, and restarts negotiation. Resets the pipeline only if the advertisement changes.
   *
   * @throws {UsageError} if the board's EEPROM has none of the speeds that the program has set.
   */
  async setUp(): Promise<void> {
    const regs = this.#regs;
    this.#vetoed = isVetoed(regs);
    if (this.#vetoed) return;
    const before = regs.read(AUTOC), after = this.#advertise(before);
    await withSemaphore(regs, "82599", SW_FW_SYNC.SW_MAC_CSR_SM, async () => {
      if (regs.read(AUTOC2) & AUTOC2.LINK_DISABLE) regs.clear(AUTOC2, AUTOC2.LINK_DISABLE);
      if (after === before) regs.set(AUTOC, AUTOC.RESTART_AN);
      else await resetPipeline(regs, after);
    });
  }

  /** Returns AUTOC with the speeds that the program has set, and without pause frames. */
  #advertise(before: number): number {
    if (!negotiates(before)) return before;
    const autoc = (before & ~AUTOC.PB) >>> 0;
    if (this.#speeds === undefined) return autoc;
    const removed = (this.#speeds.includes(10000) ? 0 : AT_10G) |
      (this.#speeds.includes(1000) ? 0 : AT_1G);
    if (autoc & (AT_10G | AT_1G) & ~removed) return (autoc & ~removed) >>> 0;
    throw new UsageError(
      `${this.#address}: the board's EEPROM (AUTOC) does not have ${
        speedList(this.#speeds)
      }: leave out ` +
        "`speeds`",
      { option: "speeds" },
    );
  }

  async settle(): Promise<void> {}

  async advance(): Promise<void> {}

  describe(status: LinkStatus): LinkStatus {
    if (status.up) return status;
    if (this.#vetoed) return { ...status, reason: VETOED };
    const signal = (this.#regs.read(LINKS) & LINKS.SIGNAL) !== 0;
    const locked = "a signal arrives, but there is no link: check the speeds of the other end";
    return { ...status, reason: signal ? locked : NO_SIGNAL };
  }
}
