/**
 * The link of the X540 and X550: their 10GBASE-T PHY negotiates it. The driver takes the PHY out of low
 * power mode, and sets the speeds that it advertises (X550: sections 5.3.4 and 10.4; the X540's PHY is of
 * the same family).
 *
 * Some drivers put the PHY into low power mode when they stop: Linux's ixgbe on an X540, those of DPDK and
 * FreeBSD also on an X550. A reset of the MAC changes neither that mode nor the advertised speeds. So the
 * link might otherwise not come up, or come up with the speed of an earlier driver.
 *
 * Other PHYs are not accessed: drivers do not put those on 82599 boards into low power mode.
 *
 * @module
 */

import { waitUntil } from "../native/clock.ts";
import type { LinkStatus } from "../src/device.ts";
import { hex, offsetOf, type Registers } from "../src/registers.ts";
import { AUTO_NEGOTIATION, CONTROL, FRAME_MS, FrameTimeout, GLOBAL, Mdio } from "./mdio.ts";
import type { Model } from "./models.ts";
import { NO_SIGNAL, type PortLink, speedList, VETOED } from "./port_link.ts";
import { LINKS, MSCA, SW_FW_SYNC } from "./registers.ts";
import { isVetoed, phySemaphore, withSemaphore } from "./semaphore.ts";

/** Low power, in the control register of the whole PHY (45.2.1.1). */
export const LOW_POWER: number = 1 << 11;
/** Auto-negotiation's control register: on, and restarted (10.4.1). */
const ENABLE = 1 << 12, RESTART = 1 << 9;
// Registers of auto-negotiation (10.4): what the PHY advertises, and what its partner does.
const BASE_PAGE = 0x10, CONTROL_10G = 0x20, PROVISIONING = 0xc400;
const PARTNER_BASE_PAGE = 0x13, STATUS_10G = 0x21, PARTNER = 0xe820;
/** State of the connection (10.4.24): whether a device is at the other end of the cable. */
const STATE = 0xc810, DEVICE_PRESENT = 1 << 14;
/** 100BASE-TX with half duplex, which these MACs do not support, and pause frames: never advertised. */
const HALF_DUPLEX = 1 << 7, PAUSE = 1 << 10, ASYMMETRIC_PAUSE = 1 << 11;
const NEVER = HALF_DUPLEX | PAUSE | ASYMMETRIC_PAUSE;

/** Where the speeds are advertised, and where the partner's ability shows: register and bit. */
interface Ability {
  readonly mbps: number;
  readonly own: readonly [register: number, bit: number];
  readonly partner: readonly [register: number, bit: number];
}
const ABILITIES: readonly Ability[] = [
  { mbps: 100, own: [BASE_PAGE, 1 << 8], partner: [PARTNER_BASE_PAGE, 1 << 8] },
  { mbps: 1000, own: [PROVISIONING, 1 << 15], partner: [PARTNER, 1 << 15] },
  { mbps: 2500, own: [PROVISIONING, 1 << 10], partner: [PARTNER, 1 << 10] },
  { mbps: 5000, own: [PROVISIONING, 1 << 11], partner: [PARTNER, 1 << 11] },
  { mbps: 10000, own: [CONTROL_10G, 1 << 12], partner: [STATUS_10G, 1 << 11] },
];
/**
 * The speeds that a port advertises by default. 2.5 and 5 Gbit/s are left out, as in Intel's drivers,
 * because some switches fail to negotiate with a partner that offers them.
 */
const DEFAULT_SPEEDS: readonly number[] = [100, 1000, 10000];

/**
 * Time after a reset in which firmware must release the PHY, and the PHY must respond; and time between
 * attempts. In milliseconds.
 */
const ANSWER_MS = 2000, RETRY_MS = 10;
/** Time between two checks of why the link is down, in milliseconds. */
const LOOK_MS = 500;

/**
 * The link of an X540 or X550.
 *
 * The driver does not take the PHY from firmware that holds its semaphore, although the datasheet allows
 * that after a timeout: an access consists of two MDIO frames, and a frame of the firmware between them
 * would redirect the second one.
 *
 * A PHY that cannot be accessed is not an error: most have a link anyway.
 *
 * Closing the device restores neither low power mode nor advertised speeds. Linux's ixgbe, which may get
 * the device next, sets the speeds, but takes only an X540's PHY out of low power mode.
 */
export class CopperLink implements PortLink {
  readonly #regs: Registers;
  readonly #model: Model;
  readonly #speeds: readonly number[];
  #phy: Mdio | undefined;
  /** Why the PHY could not be set up. */
  #problem: string | undefined;
  /** Why there was no link when the PHY was last asked, and when that was. */
  #reason: string | undefined;
  #lookedAt = -Infinity;

  /** Creates the link of a device with these registers. Accesses nothing before `setUp`. */
  constructor(regs: Registers, model: Model, speeds: readonly number[] = DEFAULT_SPEEDS) {
    this.#regs = regs;
    this.#model = model;
    this.#speeds = speeds;
  }

  /** Does nothing: `checkSpeeds` has compared the speeds with those of the model. */
  async check(): Promise<void> {}

  /** Wakes the PHY and sets what it advertises. Writes only registers that change. */
  async setUp(): Promise<void> {
    const configured = await waitUntil(ANSWER_MS, async () => {
      // The semaphore is held for one attempt at a time.
      this.#problem = await this.#access((phy) => this.#configure(phy));
      return this.#problem === undefined;
    }, RETRY_MS);
    if (!configured) this.#lookedAt = performance.now();
  }

  /** Does nothing: negotiation takes seconds, and opening does not wait for it. */
  async settle(): Promise<void> {}

  /** Sets the PHY up if that has failed before; otherwise asks it why there is no link. */
  async advance(): Promise<void> {
    if ((this.#regs.read(LINKS) & LINKS.UP) !== 0) return;
    if (performance.now() - this.#lookedAt < LOOK_MS) return;
    if (this.#problem !== undefined) {
      this.#problem = await this.#access((phy) => this.#configure(phy));
    } else this.#reason = await this.#access((phy) => this.#look(phy));
    this.#lookedAt = performance.now();
  }

  describe(status: LinkStatus): LinkStatus {
    if (status.up) {
      this.#reason = undefined; // the link may go down for another reason next time
      this.#lookedAt = -Infinity;
      return status;
    }
    const reason = this.#problem ?? this.#reason;
    return reason === undefined ? status : { ...status, reason };
  }

  /** Runs an action on the PHY while holding its semaphore; returns the action's result, or why it failed. */
  async #access(
    action: (phy: Mdio) => Promise<string | undefined>,
  ): Promise<string | undefined> {
    const regs = this.#regs, { mac } = this.#model;
    const held = (sync: number) => {
      return `SW_FW_SYNC (${hex(offsetOf(SW_FW_SYNC))}) is ${
        hex(sync)
      }, firmware does not release the ` +
        "PHY, which may be in low power mode: wait for the link again, and power-cycle the device if " +
        "that does not help";
    };
    const msca = `MSCA (${hex(offsetOf(MSCA))})`;
    const remedy = "power-cycle the device, and update its firmware if that does not help";
    return await withSemaphore(regs, mac, phySemaphore(regs), async () => {
      try {
        this.#phy ??= await Mdio.find(regs, mac);
        if (this.#phy) return await action(this.#phy);
        return `no PHY responds to MDIO, ${msca}, within ${ANSWER_MS} ms: ${remedy}`;
      } catch (error) {
        if (!(error instanceof FrameTimeout)) throw error;
        return `${msca} does not finish an MDIO frame within ${FRAME_MS} ms: ${remedy}`;
      }
    }, held);
  }

  async #configure(phy: Mdio): Promise<undefined> {
    const control = await phy.read(GLOBAL, CONTROL);
    if (control & LOW_POWER) await phy.write(GLOBAL, CONTROL, control & ~LOW_POWER);
    if (!isVetoed(this.#regs)) await this.#advertise(phy);
  }

  /**
   * Advertises the speeds. "The software device driver is responsible to re-start auto-negotiation when it
   * changes the setting" (5.3.5).
   */
  async #advertise(phy: Mdio): Promise<void> {
    const bits = new Map<number, [mask: number, value: number]>([[BASE_PAGE, [NEVER, 0]]]);
    for (const { mbps, own: [register, bit] } of ABILITIES) {
      if (!this.#model.speeds.includes(mbps)) continue; // an X540 has other bits there
      const [mask, value] = bits.get(register) ?? [0, 0];
      bits.set(register, [mask | bit, this.#speeds.includes(mbps) ? value | bit : value]);
    }
    let changed = false;
    for (const [register, [mask, value]] of bits) {
      const before = await phy.read(AUTO_NEGOTIATION, register);
      if ((before & mask) === value) continue;
      await phy.write(AUTO_NEGOTIATION, register, before & ~mask | value);
      changed = true;
    }
    const control = await phy.read(AUTO_NEGOTIATION, CONTROL);
    if (!changed && control & ENABLE) return;
    await phy.write(AUTO_NEGOTIATION, CONTROL, control | ENABLE | RESTART);
  }

  /** Returns why there is no link, as far as the PHY knows. */
  async #look(phy: Mdio): Promise<string> {
    if (isVetoed(this.#regs)) return VETOED;
    const state = await phy.read(AUTO_NEGOTIATION, STATE);
    if ((state & DEVICE_PRESENT) === 0) return NO_SIGNAL;
    const offered: number[] = [];
    for (const { mbps, partner: [register, bit] } of ABILITIES) {
      if (await phy.read(AUTO_NEGOTIATION, register) & bit) offered.push(mbps);
    }
    const own = speedList(this.#speeds.toSorted((a, b) => a - b));
    if (offered.length === 0) {
      return `the other end does not negotiate: set it to negotiate ${own}`;
    }
    return offered.some((mbps) => this.#speeds.includes(mbps))
      ? `the other end offers ${
        speedList(offered)
      }, but negotiation does not complete: check the cable`
      : `the other end offers ${speedList(offered)}, and this port ${own}: set a common speed`;
  }
}
