/**
 * The NIC's counters, added up (82599: section 8.2.3.23). Its registers are cleared by reading and
 * wrap or stick after seconds to minutes; these sums do neither.
 *
 * @module
 */

import type { Register, Registers } from "../src/registers.ts";
import * as R from "./registers.ts";

/**
 * Counters of one register each. Of RXMPC and QPRDC copy 0 is in use: there is one traffic class, and
 * RQSMR maps every queue to counter 0 after reset.
 */
const SINGLE: readonly Register[] = [
  ...[R.CRCERRS, R.ILLERRC, R.ERRBC, R.RLEC, R.RUC, R.RFC, R.ROC, R.RJC],
  ...[R.RXMPC, R.QPRDC, R.GPRC, R.BPRC, R.MPRC, R.GPTC, R.MPTC, R.BPTC, R.TPR, R.TPT],
  ...[R.PRC64, R.PRC127, R.PRC255, R.PRC511, R.PRC1023, R.PRC1522],
  ...[R.PTC64, R.PTC127, R.PTC255, R.PTC511, R.PTC1023, R.PTC1522],
];

/** Byte counters of 36 bits: reading the low half first latches the high half. */
const PAIRS: readonly (readonly [string, Register, Register])[] = [
  ["GORC", R.GORCL, R.GORCH],
  ["GOTC", R.GOTCL, R.GOTCH],
  ["TOR", R.TORL, R.TORH],
];

/** What RXMPC and QPRDC count: no packet buffer space, no descriptor. */
const MISSED = ["RXMPC", "QPRDC"];
/** Frames that never were good: damaged, or of a size that the NIC does not take. */
const ERRORS = ["CRCERRS", "ILLERRC", "ERRBC", "RLEC", "RUC", "RFC", "ROC", "RJC"];

/** Sums of the NIC's counters since the last `clear`, by register name. */
export class Counters {
  readonly #regs: Registers;
  readonly #sums: Record<string, bigint> = {};

  /** Reads all counters once, which clears them, and starts at 0. */
  constructor(regs: Registers) {
    this.#regs = regs;
    this.update();
    for (const name of Object.keys(this.#sums)) this.#sums[name] = 0n;
  }

  /** Adds what the NIC has counted since the last update; returns all sums. */
  update(): Record<string, bigint> {
    for (const register of SINGLE) this.#add(register.name, this.#regs.read(register));
    for (const [name, low, high] of PAIRS) {
      const l = this.#regs.read(low);
      this.#add(name, l + (this.#regs.read(high) & 0xf) * 2 ** 32);
    }
    return { ...this.#sums };
  }

  #add(name: string, n: number): void {
    this.#sums[name] = (this.#sums[name] ?? 0n) + BigInt(n);
  }

  /** Packets dropped for want of a descriptor or packet buffer. */
  get missed(): bigint {
    return this.#sum(MISSED);
  }

  /** Packets that arrived damaged or of a wrong size. */
  get errors(): bigint {
    return this.#sum(ERRORS);
  }

  #sum(names: readonly string[]): bigint {
    return names.reduce((sum, name) => sum + this.#sums[name], 0n);
  }
}
