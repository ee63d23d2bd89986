/**
 * Reads and writes of the modelled device's registers over the bus. It applies the register table
 * (access, reserved bits), serves tails and statistics, and calls the effects of single registers.
 *
 * @module
 */

import { EICR, EICS, RDRXCTL, RDT, TDT } from "../../ixgbe/registers.ts";
import { hex, offsetOf, type Register } from "../../src/registers.ts";
import { REGISTER_SPACE, type RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";
import type { Statistics } from "../registers/statistics.ts";
import { hasLargeRedirectionTable } from "./boards.ts";
import { RELEASED } from "../registers/system_time.ts";
import { SEMAPHORES } from "./control_effects.ts";
import type { DeviceState } from "./device_state.ts";
import type { Doorbells } from "./doorbells.ts";

/**
 * Bits of RDRXCTL that are reserved, but not on the X550: PSP, RSC_PUSH_DIS, MBINTEN and MDP_EN (X550
 * datasheet, section 8.2.2.9.10).
 */
const X550_RDRXCTL = 1 << 2 | 1 << 5 | 1 << 28 | 1 << 29;
/** What a read returns that no device answers. */
const ONES = 0xffffffff;

/** Accesses to one device's registers. */
export class RegisterAccess {
  readonly #state: DeviceState;
  readonly #doorbells: Doorbells;
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  readonly #statistics: Statistics;

  /** Creates the access to the registers of `state`, with their tails in `doorbells`. */
  constructor(state: DeviceState, doorbells: Doorbells) {
    this.#state = state;
    this.#doorbells = doorbells;
    this.#file = state.file;
    this.#rules = state.rules;
    this.#statistics = state.statistics;
  }

  /** Reads the register at an offset in BAR0, with the side effects; returns 0 without register. */
  read(offset: number): number {
    if (this.#state.removed) return ONES;
    const home = this.#homeOf(offset);
    if (home < 0) return 0;
    const register = this.#file.registerAt(home);
    if (register.access === "RC") {
      this.settle();
      return this.#statistics.read(home);
    }
    if (register === (RDT as Register) || register === (TDT as Register)) {
      return this.#doorbells.words[home];
    }
    const effect = this.#file.readEffectAt(home);
    if (register.access === "WO" && !effect) return 0;
    const value = this.#file.words[home];
    return effect ? effect(value, this.#file.indexAt(home)) >>> 0 : value;
  }

  /**
   * As {@linkcode RegisterAccess.prototype.read}, but clears no count or cause, takes no
   * semaphore, and releases no time stamp.
   */
  peek(offset: number): number {
    if (this.#state.removed) return ONES;
    const home = this.#homeOf(offset);
    if (home < 0) return 0;
    const register = this.#file.registerAt(home);
    if (register.access === "RC") return this.#statistics.peek(home);
    if (SEMAPHORES.includes(register) || RELEASED.includes(register)) return this.#file.words[home];
    if (register === (EICR as Register)) return this.read(offsetOf(EICS));
    return this.read(offset);
  }

  /** Returns what {@linkcode RegisterAccess.prototype.read} would, and changes nothing. */
  view(offset: number): number {
    if (this.#state.removed) return ONES;
    const home = this.#homeOf(offset);
    if (home < 0) return 0;
    const register = this.#file.registerAt(home);
    if (register.access === "RC") return this.#viewCount(home);
    if (register === (RDT as Register) || register === (TDT as Register)) {
      return this.#doorbells.words[home];
    }
    const effect = this.#file.viewEffectAt(home);
    if (register.access === "WO" && !effect) return 0;
    const value = this.#file.words[home];
    return effect ? effect(value, this.#file.indexAt(home)) >>> 0 : value;
  }

  #viewCount(home: number): number {
    const { receiver, transmitter } = this.#state;
    return this.#statistics.view(home, (add) => {
      receiver.report(add);
      transmitter.report(add);
    });
  }

  /** Writes the register at an offset in BAR0, with the side effects. */
  write(offset: number, value: number): void {
    if (this.#state.removed) return;
    const home = this.#homeOf(offset);
    if (home < 0) {
      const rule = "only registers that exist are written";
      this.#rules.violate(hex(offset), "8.2.2", rule, `write of ${hex(value)}`);
      return;
    }
    value >>>= 0;
    // A device that is being reset takes no writes.
    if (this.#state.timing.waiting && this.#state.timing.isPending("reset")) return;
    const register = this.#file.registerAt(home);
    if (register === (RDT as Register) || register === (TDT as Register)) {
      this.#doorbells.words[home] = value;
      const index = this.#file.indexAt(home);
      if (register === (RDT as Register)) this.#state.receiver.checkTail(index);
      else this.#state.transmitter.checkTail(index);
      return;
    }
    this.#doorbells.inspect();
    if (register.access === "RO" || register.access === "RC") {
      const rule = "read only: not written";
      this.#rules.violate(this.#file.nameAt(home), register.section, rule, hex(value));
      return;
    }
    const old = this.#file.words[home];
    this.#checkReserved(register, home, value, old);
    const effect = this.#file.writeEffectAt(home);
    if (effect) this.#file.words[home] = effect(value, old, this.#file.indexAt(home));
    else if (register.access === "W1C") this.#file.words[home] = old & ~value;
    else if (register.access === "RW1S") this.#file.words[home] = old | value;
    else if (register.access !== "WO") this.#file.words[home] = value;
    this.#file.settledEffectAt(home)?.();
    this.#doorbells.mirror(home);
  }

  /** Adds the data path's counts since the last call to the statistics registers. */
  settle(): void {
    this.#state.receiver.settle();
    this.#state.transmitter.settle();
  }

  #homeOf(offset: number): number {
    if ((offset & 3) !== 0 || offset < 0 || offset >= REGISTER_SPACE) return -1;
    return this.#file.home[offset >>> 2];
  }

  #reservedOf(register: Register): number {
    const hasMore = register === (RDRXCTL as Register) &&
      hasLargeRedirectionTable(this.#state.deviceId);
    return hasMore ? register.reserved & ~X550_RDRXCTL : register.reserved;
  }

  #checkReserved(register: Register, home: number, value: number, old: number): void {
    // In other registers a bit reads as 0, or only writing 1 affects it: it must be written as 0.
    const kept = register.access === "RW" ? old : 0;
    const changed = ((value ^ kept) & this.#reservedOf(register)) >>> 0;
    if (changed === 0) return;
    const rule = "reserved bits are written as they were read";
    const detail = `bits ${hex(changed)} changed by writing ${hex(value)}`;
    this.#rules.violate(this.#file.nameAt(home), register.section, rule, detail);
  }
}
