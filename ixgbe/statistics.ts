/**
 * The NIC's counters, added up (82599: section 8.2.3.23). Its registers are cleared by reading and
 * wrap or stick after seconds to minutes; these sums do neither.
 *
 * @module
 */

import type { Register, Registers } from "../src/registers.ts";
import * as R from "./registers.ts";

/**
 * What counts packets dropped for want of packet buffer space, or of a descriptor. Copy 0 of each is in
 * use: there is one traffic class, and RQSMR maps every queue to counter 0 after reset.
 */
const MISSED: readonly Register[] = [R.RXMPC, R.QPRDC];

/** What counts frames that never were good: damaged, or of a size that the NIC does not take. */
const ERRORS: readonly Register[] = [
  ...[R.CRCERRS, R.ILLERRC, R.ERRBC, R.RLEC, R.RUC, R.RFC, R.ROC, R.RJC],
];

/** Counters of packets. */
const PACKETS: readonly Register[] = [
  ...[R.GPRC, R.BPRC, R.MPRC, R.GPTC, R.MPTC, R.BPTC, R.TPR, R.TPT],
  ...[R.PRC64, R.PRC127, R.PRC255, R.PRC511, R.PRC1023, R.PRC1522],
  ...[R.PTC64, R.PTC127, R.PTC255, R.PTC511, R.PTC1023, R.PTC1522],
];

/** Counters of bytes, of 36 bits: reading the low half first latches the high half. */
const BYTES: readonly (readonly [string, Register, Register])[] = [
  ["GORC", R.GORCL, R.GORCH],
  ["GOTC", R.GOTCL, R.GOTCH],
  ["TOR", R.TORL, R.TORH],
];

/** Sums of the NIC's counters, by register name. */
export class Counters {
  readonly #regs: Registers;
  #sums: Record<string, number> = {};

  /** Reads all counters once, which clears them, and starts at 0. */
  constructor(regs: Registers) {
    this.#regs = regs;
    this.all();
    this.#sums = {};
  }

  /** Packets missed, and packets with errors. */
  failures(): { missed: number; errors: number } {
    return { missed: this.#update(MISSED), errors: this.#update(ERRORS) };
  }

  /** All sums, up to date. */
  all(): Record<string, number> {
    this.failures();
    this.#update(PACKETS);
    for (const [name, low, high] of BYTES) {
      const l = this.#regs.read(low);
      this.#add(name, l + (this.#regs.read(high) & 0xf) * 2 ** 32);
    }
    return { ...this.#sums };
  }

  /** Adds what registers have counted since they were last read; returns the sum of their sums. */
  #update(registers: readonly Register[]): number {
    let total = 0;
    for (const register of registers) {
      total += this.#add(register.name, this.#regs.read(register));
    }
    return total;
  }

  #add(name: string, n: number): number {
    return this.#sums[name] = (this.#sums[name] ?? 0) + n;
  }
}
