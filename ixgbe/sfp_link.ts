/**
 * The link of an 82599's board with an SFP+ cage: set up for the module in it, and attempted again while
 * it does not come up (section 3.7; Intel's drivers for what the datasheet leaves out).
 *
 * @module
 */

import { delay, waitUntil } from "../native/clock.ts";
import type { LinkStatus } from "../src/device.ts";
import { UsageError } from "../src/errors.ts";
import type { Registers } from "../src/registers.ts";
import { resetPipeline } from "./autoc.ts";
import { allowsAnyModule, coreWords } from "./core_words.ts";
import type { Model } from "./models.ts";
import { NO_SIGNAL, type PortLink, speedList, VETOED } from "./port_link.ts";
import { AUTOC, AUTOC2, CORECTL, ESDP, LINKS, SW_FW_SYNC } from "./registers.ts";
import { isVetoed, withSemaphore } from "./semaphore.ts";
import {
  type Found,
  identifyModule,
  isCageEmpty,
  isIntels,
  seesSignal,
  type SfpModule,
} from "./sfp_module.ts";

/**
 * ESDP.SDP3 is the transmit disable pin of the SFP+ module on boards with the reference layout. It keeps
 * its value over resets, and Linux's ixgbe leaves the laser off.
 */
const TX_DISABLE = ESDP.SDP3, TX_DISABLE_IS_OUTPUT = ESDP.SDP3_DIR;
/** ESDP.SDP5 selects the rate of a module for two speeds (RS0 and RS1): high for the higher one. */
const RATE_SELECT = ESDP.SDP5, RATE_SELECT_IS_OUTPUT = ESDP.SDP5_DIR;
/** AUTOC2.PMA_PMD_10G_SERIAL: SFI, the only interface to a cage. */
const SFI = 2 << 16;

/** Time that a module needs after its rate was selected, in milliseconds. */
const RATE_SELECT_MS = 40;
/** Time for a laser to go dark, and to light up, in milliseconds; Intel's drivers wait 0.1 and 100. */
const DARK_MS = 1, LIGHT_MS = 100;
/**
 * The time that an attempt has, in milliseconds: the first, what each further one has in addition, and
 * the longest. Most links are up after 0.2 s, and some partners need more than 0.5 s. Some cards bring up
 * a link only at the second attempt, a few at a much later one (measured by the authors of Snabb).
 */
const FIRST_ATTEMPT_MS = 500, MORE_MS = 500, LONGEST_ATTEMPT_MS = 2000;
/** The longest time that opening takes while a signal arrives, and between two looks, in milliseconds. */
const SETTLE_MS = 3000, SETTLE_PAUSE_MS = 10;
/** Time in which a signal must arrive for opening to wait, in milliseconds. */
const SIGNAL_MS = 100;

/** A mode of the link: speed in Mbit/s, and at 1 Gbit/s whether to negotiate (IEEE 802.3, clause 37). */
interface Mode {
  readonly megabits: number;
  readonly lms: number;
}

const AT_10G: Mode = { megabits: 10000, lms: AUTOC.LMS_10G_SERIAL };
/** With negotiation first: a partner that does not negotiate is the exception. */
const AT_1G: readonly Mode[] = [
  { megabits: 1000, lms: AUTOC.LMS_1G_AN },
  { megabits: 1000, lms: AUTOC.LMS_1G },
];

/** The link of a board with a cage for one SFP+ module. */
export class SfpLink implements PortLink {
  readonly #regs: Registers;
  readonly #address: string;
  /** The speeds in Mbit/s that the program has set. */
  readonly #speeds: readonly number[] | undefined;
  #module: SfpModule | undefined;
  #warnings: string[] = [];
  /** Whether the board's pin for a module is connected: it was high when the module was read. */
  #pinWorks = true;
  /** Why no module is known. */
  #problem = "";
  /** The modes that are tried, in turns. */
  #modes: readonly Mode[] = [AT_10G];
  #attempts = 0;
  /** When the current attempt began, in milliseconds of `performance.now()`. */
  #attemptAt = 0;
  /** What the module said last about the signal that it receives. */
  #signal: boolean | undefined;

  /** Creates the link of a device with these registers. Accesses nothing before `setUp`. */
  constructor(regs: Registers, address: string, speeds?: readonly number[]) {
    this.#regs = regs;
    this.#address = address;
    this.#speeds = speeds;
  }

  /** Returns whether a model's link is of this kind. A QSFP+ cage has a bus and pins of other kinds. */
  static fits({ mac, media, name }: Model): boolean {
    return mac === "82599" && media === "sfp" && !name.includes("QSFP");
  }

  /** Reads the module if the program has set speeds. An unknown or unreadable module passes. */
  async check(): Promise<void> {
    if (this.#speeds === undefined) return;
    const { module } = await identifyModule(this.#regs);
    if (module === undefined || this.#modesFor(module.megabits).length > 0) return;
    throw new UsageError(
      `${this.#address}: its module (${module.kind}) can have ${speedList(module.megabits)}, not ` +
        `${speedList(this.#speeds)}: change \`speeds\`, or the module`,
      { option: "speeds" },
    );
  }

  /**
   * Identifies the module, sets the link up for it, and begins the first attempt. An unknown or unreadable
   * module is not an error.
   *
   * @throws {DeviceError} if the EEPROM cannot be read, or the device is gone.
   */
  async setUp(): Promise<void> {
    const regs = this.#regs;
    if (regs.read(ESDP) & TX_DISABLE_IS_OUTPUT) regs.clear(ESDP, TX_DISABLE); // laser on
    await this.#identify();
    await this.#attempt();
  }

  /**
   * Waits for the link while a signal arrives, 3 seconds at most, and makes further attempts. Without a
   * module or signal it does not wait: the cable may be plugged in later.
   */
  async settle(): Promise<void> {
    const since = performance.now();
    await waitUntil(SETTLE_MS, async () => {
      await this.advance();
      if (this.#isUp() || isVetoed(this.#regs) || this.#isAbsent()) return true;
      return !this.#hasSignal() && performance.now() - since >= SIGNAL_MS;
    }, SETTLE_PAUSE_MS);
  }

  /** Begins the next attempt if the link is down and the current attempt has had its time. */
  async advance(): Promise<void> {
    const time = Math.min(FIRST_ATTEMPT_MS + (this.#attempts - 1) * MORE_MS, LONGEST_ATTEMPT_MS);
    if (performance.now() - this.#attemptAt < time || this.#isUp()) return;
    if (this.#module === undefined || this.#isAbsent()) await this.#identify();
    else this.#signal = await seesSignal(this.#regs, this.#module);
    await this.#attempt();
  }

  /**
   * Adds the module, and the reason why there is no link, to the state of the link. While the cage is
   * empty, LINKS may show a link, which is crosstalk from other lanes. Intel's drivers also look again after
   * 5 ms; here the next call does that.
   */
  describe(found: LinkStatus): LinkStatus {
    const absent = found.up && this.#isAbsent();
    const status: LinkStatus = absent ? { up: false, megabits: 0 } : found;
    const reason = status.up ? {} : { reason: this.#reason() };
    if (this.#module === undefined) return { ...status, ...reason };
    const { kind, vendor, part, serial, megabits } = this.#module;
    const module = { kind, vendor, part, serial, megabits, warnings: this.#warnings };
    return { ...status, module, ...reason };
  }

  async #identify(): Promise<void> {
    const found: Found = await identifyModule(this.#regs);
    this.#module = found.module;
    if (found.module === undefined) {
      this.#problem = found.problem;
      this.#modes = this.#modesFor([10000, 1000]);
      return;
    }
    const { megabits, passive, warnings, vendor } = found.module;
    this.#pinWorks = !isCageEmpty(this.#regs);
    this.#attempts = 0;
    this.#warnings = [...warnings];
    this.#modes = this.#modesFor(megabits);
    this.#signal = await seesSignal(this.#regs, found.module);
    // Cables and modules for 1 Gbit/s are allowed from all vendors.
    const free = passive || isIntels(found.module) || !megabits.includes(10000);
    if (!free && !await allowsAnyModule(this.#regs)) {
      this.#warnings.push(
        `the board's EEPROM allows modules of Intel only, and this is one of ${
          vendor || "unknown"
        }: ` +
          "it is used nevertheless",
      );
    }
  }

  /** Returns the modes of a module's speeds, without those that the program leaves out. */
  #modesFor(megabits: readonly number[]): readonly Mode[] {
    const modes = megabits.flatMap((speed) => speed === 10000 ? [AT_10G] : AT_1G);
    return modes.filter(({ megabits }) => this.#speeds?.includes(megabits) ?? true);
  }

  /** Makes an attempt with the next mode. */
  async #attempt(): Promise<void> {
    const regs = this.#regs, module = this.#module;
    const mode = this.#modes.at(this.#attempts % this.#modes.length);
    this.#attemptAt = performance.now();
    if (mode === undefined || isVetoed(this.#regs)) return;
    // The core keeps its set-up over resets and attempts.
    const words = module && this.#attempts === 0 ? await coreWords(regs, module.passive) : [];
    if (words === undefined) {
      this.#warnings.push(
        "the board's EEPROM has no set-up for its kind: the analog core is left as it is",
      );
    }
    this.#attempts++;
    if (module?.dualRate) {
      const fast = mode.megabits === 10000 ? RATE_SELECT : 0;
      regs.update(ESDP, RATE_SELECT | RATE_SELECT_IS_OUTPUT, fast | RATE_SELECT_IS_OUTPUT);
      await delay(RATE_SELECT_MS);
    }
    await withSemaphore(regs, "82599", SW_FW_SYNC.SW_MAC_CSR_SM, async () => {
      for (const word of words ?? []) regs.write(CORECTL, word);
      await this.#restart(mode);
    });
    if (module?.dualRate && this.#attempts === 1) await this.#flap();
    this.#attemptAt = performance.now();
  }

  /**
   * Turns the laser off and on. A partner that also has two speeds may have stopped at one of them; when it
   * loses the light, it begins again. Intel's drivers do this once, for modules with two speeds.
   */
  async #flap(): Promise<void> {
    const regs = this.#regs;
    if ((regs.read(ESDP) & TX_DISABLE_IS_OUTPUT) === 0) return;
    regs.set(ESDP, TX_DISABLE);
    try {
      await delay(DARK_MS);
    } finally {
      regs.clear(ESDP, TX_DISABLE); // even if a signal ends the pause
    }
    await delay(LIGHT_MS);
  }

  /** Sets the mode and restarts the link. */
  async #restart({ lms, megabits }: Mode): Promise<void> {
    const regs = this.#regs;
    regs.update(AUTOC2, AUTOC2.LINK_DISABLE | AUTOC2.PMA_PMD_10G_SERIAL, SFI);
    // PMA_PMD_1G is 0 for SFI.
    const replaced = AUTOC.LMS | (megabits === 1000 ? AUTOC.PMA_PMD_1G : 0);
    await resetPipeline(regs, regs.read(AUTOC) & ~replaced | lms);
  }

  #isUp(): boolean {
    return (this.#regs.read(LINKS) & LINKS.UP) !== 0 && !this.#isAbsent();
  }

  #hasSignal(): boolean {
    return (this.#regs.read(LINKS) & LINKS.SIGNAL) !== 0;
  }

  /** Returns whether the board says that no module is in the cage. */
  #isAbsent(): boolean {
    return this.#pinWorks && isCageEmpty(this.#regs);
  }

  #reason(): string {
    if (this.#isAbsent()) return "no module is in the cage";
    if (this.#module === undefined) return this.#problem;
    if (isVetoed(this.#regs)) return VETOED;
    const { optical, megabits } = this.#module;
    if (this.#modes.length === 0) {
      return `the module can have ${speedList(megabits)}, which \`speeds\` leaves out`;
    }
    if (!this.#hasSignal() || this.#signal === false) {
      return optical ? "no light arrives: check the fibre and the other end" : NO_SIGNAL;
    }
    const tried = megabits.filter((speed) => this.#speeds?.includes(speed) ?? true);
    const speeds = tried.map((speed) => speed / 1000).join(" and ");
    const attempts = this.#attempts === 1 ? "1 attempt" : `${this.#attempts} attempts`;
    return `a signal arrives, but there is no link at ${speeds} Gbit/s after ${attempts}: ` +
      "check the speed of the other end";
  }
}
