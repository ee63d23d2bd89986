/**
 * Sums of the NIC's counters (82599: section 8.2.3.23). The NIC's registers are cleared by reading, and
 * overflow after seconds to minutes if they are not read; the sums do not.
 *
 * @module
 */

import type { Register, Registers } from "../src/registers.ts";
import * as R from "./registers.ts";

/**
 * Counters of packets dropped because packet buffer space, or a descriptor, was not available. Copy 0 of
 * each is enough: there is one traffic class, and after reset RQSMR maps every queue to counter 0.
 */
const MISSED: readonly Register[] = [R.RXMPC, R.QPRDC];

/** Counters of bad frames: damaged, or with a size that the NIC does not accept. */
const ERRORS: readonly Register[] = [
  ...[R.CRCERRS, R.ILLERRC, R.ERRBC, R.RLEC, R.RUC, R.RFC, R.ROC, R.RJC],
];

/** Counters of packets. */
const PACKETS: readonly Register[] = [
  ...[R.GPRC, R.BPRC, R.MPRC, R.GPTC, R.MPTC, R.BPTC, R.TPR, R.TPT],
  ...[R.PRC64, R.PRC127, R.PRC255, R.PRC511, R.PRC1023, R.PRC1522],
  ...[R.PTC64, R.PTC127, R.PTC255, R.PTC511, R.PTC1023, R.PTC1522],
];

/** Counters of bytes, which have 36 bits. Reading the low half latches the high half: read it first. */
const BYTES: readonly (readonly [string, Register, Register])[] = [
  ["GORC", R.GORCL, R.GORCH],
  ["GOTC", R.GOTCL, R.GOTCH],
  ["TOR", R.TORL, R.TORH],
];

/** Sums of the NIC's counters, by register name. */
export class Counters {
  readonly #regs: Registers;
  #sums: Record<string, number> = {};

  /** Creates sums that start at 0: reads all counters once, which clears them (section 4.6.5). */
  constructor(regs: Registers) {
    this.#regs = regs;
    this.all();
    this.#sums = {};
  }

  /**
   * Returns the sums of packets missed and of packets with errors.
   *
   * @param refresh Whether to read the registers, so that the sums are up to date.
   */
  failures(refresh = true): { missed: number; errors: number } {
    return { missed: this.#update(MISSED, refresh), errors: this.#update(ERRORS, refresh) };
  }

  /** Returns all sums, up to date. */
  all(): Record<string, number> {
    this.failures();
    this.#update(PACKETS);
    for (const [name, low, high] of BYTES) {
      const l = this.#regs.read(low);
      this.#add(name, l + (this.#regs.read(high) & 0xf) * 2 ** 32);
    }
    return { ...this.#sums };
  }

  /** Adds the values of registers to their sums, with `refresh`; returns the total of these sums. */
  #update(registers: readonly Register[], refresh = true): number {
    let total = 0;
    for (const register of registers) {
      total += this.#add(register.name, refresh ? this.#regs.read(register) : 0);
    }
    return total;
  }

  #add(name: string, n: number): number {
    return this.#sums[name] = (this.#sums[name] ?? 0) + n;
  }
}
