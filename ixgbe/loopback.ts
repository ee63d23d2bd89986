/**
 * MAC loopback: the receiver gets every frame that the port sends, and the cable is cut off. For tests of
 * a card. The datasheets describe the bits (82599: sections 8.2.3.22.8 and 8.2.3.22.19); the steps are
 * those of the self-test in Intel's driver for Linux.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import type { Registers } from "../src/registers.ts";
import type { Mac } from "./models.ts";
import { AUTOC, HLREG0, MACC, SW_FW_SYNC } from "./registers.ts";
import { spinWithSemaphore, withSemaphore } from "./semaphore.ts";

/** Time until the MAC passes frames, in milliseconds. Intel's drivers wait 10 to 50. */
const SETTLE_MS = 50;

/** A port in loopback. */
export class MacLoopback {
  readonly #regs: Registers;
  readonly #mac: Mac;

  private constructor(regs: Registers, mac: Mac) {
    this.#regs = regs;
    this.#mac = mac;
  }

  /** Starts loopback. The link is forced up, because there may be no cable. */
  static async start(regs: Registers, mac: Mac): Promise<MacLoopback> {
    regs.set(HLREG0, HLREG0.LPBK);
    if (mac === "82599") {
      await withSemaphore(regs, mac, SW_FW_SYNC.SW_MAC_CSR_SM, () => regs.set(AUTOC, AUTOC.FLU));
    } else {
      regs.set(MACC, MACC.FLU);
    }
    await delay(SETTLE_MS);
    return new MacLoopback(regs, mac);
  }

  /**
   * Ends loopback. A reset would not: it may leave the MAC's registers as they are. Does not wait for the
   * link.
   */
  end(): void {
    const regs = this.#regs;
    if (this.#mac === "82599") {
      spinWithSemaphore(
        regs,
        "82599",
        SW_FW_SYNC.SW_MAC_CSR_SM,
        () => regs.clear(AUTOC, AUTOC.FLU),
      );
    } else {
      regs.clear(MACC, MACC.FLU);
    }
    regs.clear(HLREG0, HLREG0.LPBK);
  }
}
