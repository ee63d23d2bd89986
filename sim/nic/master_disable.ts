/**
 * How the modelled device comes to rest: transmit queues and DMA that end only when nothing waits any
 * more, and the way out when packets wait for a link that is down (datasheet section 5.2.5.3.2, and the
 * 82599 specification update's clarification of it).
 *
 * @module
 */

import { CTRL, HLREG0 } from "../../ixgbe/registers.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { Transmitter } from "../tx/transmitter.ts";

/** What keeps the device from coming to rest, and what a driver has done about it. */
export class Rest {
  readonly #core: RegisterCore;
  readonly #transmitter: Transmitter;
  readonly #link: () => boolean;
  /** Queues whose ENABLE was cleared while packets waited in them. */
  readonly #ending = new Set<number>();
  /** Whether the driver has seen STATUS.GIO_MASTER_ENABLE clear since it set CTRL.GIO_DIS. */
  #sawDisabled = false;
  /** Whether the buffers were cleared since CTRL.GIO_DIS was set. */
  #cleared = false;
  /** Whether the last reset came while requests were pending, so that another has to follow. */
  #owed = false;

  /** @param link Returns whether the link is up. */
  constructor(core: RegisterCore, transmitter: Transmitter, link: () => boolean) {
    this.#core = core;
    this.#transmitter = transmitter;
    this.#link = link;
  }

  /** Whether master requests are pending: packets wait, and no link takes them. */
  get pending(): boolean {
    return !this.#link() && this.#transmitter.waiting;
  }

  /** As {@linkcode Rest.prototype.pending}, and changes nothing. */
  get viewPending(): boolean {
    return !this.#link() && this.#transmitter.viewWaiting;
  }

  /** Disables a queue; returns false if it stays enabled until its packets are sent. */
  end(index: number): boolean {
    if (!this.pending || !this.#transmitter.waits(index)) return true;
    this.#ending.add(index);
    return false;
  }

  /** Whether a queue that was disabled while packets waited in it has come to its end. */
  ended(index: number): boolean {
    if (!this.#ending.has(index) || this.#transmitter.waits(index)) return false;
    return this.#ending.delete(index);
  }

  /** Returns what {@linkcode Rest.prototype.ended} would, and changes nothing. */
  viewEnded(index: number): boolean {
    return this.#ending.has(index) && !this.#transmitter.viewWaits(index);
  }

  /** The driver has set CTRL.GIO_DIS, or cleared it. */
  disable(on: boolean): void {
    if (on) return;
    this.#sawDisabled = this.#cleared = false;
  }

  /** The driver reads STATUS while CTRL.GIO_DIS is set; returns whether the device is at rest. */
  look(): boolean {
    if (this.pending) return false;
    return this.#sawDisabled = true;
  }

  /** The driver clears the buffers (GCR_EXT.BUFFERS_CLEAR_FUNC). */
  clear(): void {
    const { file, rules } = this.#core;
    if (file.get(HLREG0) & HLREG0.LPBK) {
      this.#cleared = true;
      return;
    }
    const rule = "buffers are cleared only in loopback, so that no packet leaves";
    rules.violate("GCR_EXT", "5.2.5.3.2", rule, "HLREG0.LPBK is 0");
  }

  /** The driver resets the device. */
  reset(): void {
    const { file, rules } = this.#core;
    if (this.#owed) {
      this.#owed = false;
    } else if (this.pending && (file.get(CTRL) & CTRL.GIO_DIS)) {
      this.#owed = true;
      if (!this.#cleared) {
        const rule = "buffers are cleared before a reset while master requests are pending";
        rules.violate("CTRL", "5.2.5.3.2", rule, "GCR_EXT.BUFFERS_CLEAR_FUNC was not set");
      }
    } else if (!this.#sawDisabled) {
      rules.violate(
        "CTRL",
        "5.2.5.3.2",
        "CTRL.GIO_DIS set and STATUS.GIO_MASTER_ENABLE seen clear before a reset",
        file.get(CTRL) & CTRL.GIO_DIS ? "STATUS was not read" : "GIO_DIS is 0",
      );
    }
    this.#ending.clear();
    this.#sawDisabled = this.#cleared = false;
  }

  /** Forgets everything, as at power-on. */
  forget(): void {
    this.#ending.clear();
    this.#sawDisabled = this.#cleared = this.#owed = false;
  }

  /** Bus mastering is turned on or off: a driver begins to use the device, or leaves it. */
  busMaster(): void {
    if (!this.#owed) return;
    this.#owed = false;
    const rule = "a second reset follows one while master requests are pending";
    this.#core.rules.violate("CTRL", "5.2.5.3.2", rule, "there was one reset");
  }
}
