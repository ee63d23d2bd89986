/**
 * The system time of the modelled device, by which it stamps packets (IEEE 1588; datasheet section
 * 7.9, X550: 7.7). Which received packets are stamped is in `rx/time_stamps.ts`.
 *
 * The 82599 and the X540 count units of the driver's choice: TIMINCA says how many each period of the
 * link's clock adds. The X550 counts seconds, nanoseconds, and 2^-32 nanoseconds (SYSTIMH, SYSTIML, SYSTIMR).
 *
 * @module
 */

import {
  AUXSTMP,
  EICR,
  RXSATRH,
  RXSATRL,
  RXSTMPH,
  RXSTMPL,
  SYSTIMH,
  SYSTIML,
  SYSTIMR,
  TIMADJH,
  TIMADJL,
  TIMINCA,
  TSAUXC,
  TSICR,
  TSIM,
  TSYNCRXCTL,
  TSYNCTXCTL,
  TXSTMPH,
  TXSTMPL,
} from "../../ixgbe/registers.ts";
import type { Register } from "../../src/registers.ts";
import type { InterruptCauses } from "./interrupt_causes.ts";
import type { RegisterFile } from "./register_file.ts";

/** How controllers count: in 24 or 31 bits of units, or in seconds and nanoseconds. */
export type TimeKind = "82599" | "X540" | "X550";

/** Bits of TSICR and TSIM: a stamp was taken (X550 datasheet, section 8.2.2.21.25). */
const TXTS = 1 << 1, RXTS = 1 << 2;
/** EICR.TIMESYNC of the X550 has the place of the 82599's first pin. */
const TIMESYNC = EICR.GPI_SDP0;
const SECOND = 1_000_000_000n, RESIDUE = 1n << 32n;
const WRAP = 1n << 64n, LOW = 0xffff_ffffn;
const SIGN = 0x8000_0000, VALUE = 0x7fff_ffff;
/** The X550's period of 12.5 ns, in 2^-32 ns. */
const X550_PERIOD = RESIDUE * 25n / 2n;

/** Registers whose reads release or clear something. */
export const RELEASED: readonly Register[] = [RXSTMPH, TXSTMPH, TSICR];

/** The clock, and the registers of stamps. */
export class SystemTime {
  readonly #file: RegisterFile;
  readonly #causes: InterruptCauses;
  readonly #kind: TimeKind;
  readonly #now: () => number;
  /** The time in the smallest unit at `#since`, in milliseconds of `#now`. */
  #start = 0n;
  #since = 0;
  /** Units in a nanosecond, as a fraction. */
  #units = 0n;
  #nanoseconds = 1n;
  /** Period of the link's clock in units of 6.4 ns. */
  #period = 1n;
  /** Words that the read of a lower one has latched, or undefined. */
  #latchedLow: number | undefined;
  #latchedHigh: number | undefined;
  /** TSICR, which reads as 0. */
  #reported = 0;

  /**
   * Creates a clock at 0, and installs the effects of its registers.
   *
   * @param now Returns the time in milliseconds.
   */
  constructor(
    file: RegisterFile,
    causes: InterruptCauses,
    kind: TimeKind,
    now: () => number = () => performance.now(),
  ) {
    this.#file = file;
    this.#causes = causes;
    this.#kind = kind;
    this.#now = now;
    this.#installTime();
    this.#installStamps();
    if (kind === "X550") this.#installAuxiliary();
  }

  /** Sets the clock to 0 as a reset does; to be called after a reset of the registers. */
  reset(): void {
    this.#reported = 0;
    this.#units = 0n;
    this.#set(0n);
    this.#load();
  }

  /**
   * Sets the speed of the link, whose clock the 82599 and the X540 count: 6.4 ns at 10 Gb/s.
   *
   * @param mbps Speed in Mb/s; 10000 without a link.
   */
  setSpeed(mbps: number): void {
    const period = mbps === 100 ? 100n : mbps === 1000 ? 10n : 1n;
    if (period === this.#period) return;
    this.#period = period;
    this.#load();
  }

  /** Returns the time as its registers would show it: high, low and residue. */
  read(): { high: number; low: number; residue: number } {
    const total = this.#total();
    if (this.#kind !== "X550") {
      return { high: Number(total >> 32n), low: Number(total & LOW), residue: 0 };
    }
    const nanoseconds = total / RESIDUE;
    return {
      high: Number(nanoseconds / SECOND & LOW),
      low: Number(nanoseconds % SECOND),
      residue: Number(total % RESIDUE),
    };
  }

  /**
   * Stamps a received packet.
   *
   * @param locks Whether the stamp stays until it is read.
   * @returns Whether it was stamped: not while an earlier stamp is locked.
   */
  stampReceive(locks: boolean): boolean {
    const file = this.#file, control = file.get(TSYNCRXCTL);
    if (locks && control & TSYNCRXCTL.VALID) return false;
    const { high, low } = this.read();
    file.set(RXSTMPL, low);
    file.set(RXSTMPH, high);
    file.set(TSYNCRXCTL, control | TSYNCRXCTL.VALID);
    this.#report(RXTS);
    return true;
  }

  /** Keeps the source of the packet that was stamped; the X550 does not. */
  keepSource(low: number, high: number): void {
    if (this.#kind === "X550") return;
    this.#file.set(RXSATRL, low);
    this.#file.set(RXSATRH, high);
  }

  /** Stamps a sent packet if TSYNCTXCTL.EN is set and no earlier stamp is locked. */
  stampTransmit(): void {
    const file = this.#file, control = file.get(TSYNCTXCTL);
    if ((control & (TSYNCTXCTL.EN | TSYNCTXCTL.VALID)) !== TSYNCTXCTL.EN) return;
    const { high, low } = this.read();
    file.set(TXSTMPL, low);
    file.set(TXSTMPH, high);
    file.set(TSYNCTXCTL, control | TSYNCTXCTL.VALID);
    this.#report(TXTS);
  }

  #total(): bigint {
    const elapsed = BigInt(Math.round((this.#now() - this.#since) * 1e6));
    return this.#wrap(this.#start + elapsed * this.#units / this.#nanoseconds);
  }

  #wrap(total: bigint): bigint {
    const end = this.#kind === "X550" ? RESIDUE * SECOND << 32n : WRAP;
    return (total % end + end) % end;
  }

  #set(total: bigint): void {
    this.#start = this.#wrap(total);
    this.#since = this.#now();
    this.#latchedLow = this.#latchedHigh = undefined;
  }

  // Loads the rate from TIMINCA, without a step of the time.
  #load(): void {
    this.#set(this.#total());
    const increment = this.#file.get(TIMINCA);
    if (this.#kind === "X550") {
      const stopped = (this.#file.get(TSAUXC) & TSAUXC.DISABLE_SYSTIME) !== 0;
      const step = X550_PERIOD + signed(increment);
      this.#units = stopped ? 0n : step * 2n;
      this.#nanoseconds = 25n;
      return;
    }
    const old = this.#kind === "82599";
    const periods = old ? BigInt(increment >>> 24) : 1n;
    const value = BigInt(increment & (old ? 0xffffff : VALUE));
    this.#units = periods === 0n ? 0n : value * 10n;
    this.#nanoseconds = (periods || 1n) * 64n * this.#period;
  }

  #installTime(): void {
    const file = this.#file;
    // Reading the lowest register latches those above it, so that they belong together.
    file.onRead(SYSTIMR, () => {
      const { high, low, residue } = this.read();
      this.#latchedLow = low;
      this.#latchedHigh = high;
      return residue;
    }, () => this.read().residue);
    file.onRead(SYSTIML, () => {
      const latched = this.#latchedLow;
      this.#latchedLow = undefined;
      if (latched !== undefined) return latched;
      const { high, low } = this.read();
      this.#latchedHigh = high;
      return low;
    }, () => this.#latchedLow ?? this.read().low);
    file.onRead(SYSTIMH, () => {
      const latched = this.#latchedHigh;
      this.#latchedHigh = undefined;
      return latched ?? this.read().high;
    }, () => this.#latchedHigh ?? this.read().high);
    file.onWrite(SYSTIMR, (value) => this.#write({ residue: value }));
    file.onWrite(SYSTIML, (value) => this.#write({ low: value }));
    file.onWrite(SYSTIMH, (value) => this.#write({ high: value }));
    for (const register of [TIMINCA, TSAUXC]) file.onSettled(register, () => this.#load());
    if (this.#kind === "X550") {
      file.onSettled(TIMADJL, () => this.#adjust(signed(file.get(TIMADJL)) * RESIDUE));
    } else {
      file.onSettled(TIMADJH, () => {
        const high = file.get(TIMADJH);
        const value = BigInt(high & VALUE) << 32n | BigInt(file.get(TIMADJL));
        this.#adjust(high & SIGN ? -value : value);
      });
    }
  }

  #adjust(difference: bigint): void {
    this.#set(this.#total() + difference);
  }

  // Sets a part of the time. Returns the value for the register's own storage, which is never read.
  #write(part: { high?: number; low?: number; residue?: number }): number {
    const { high, low, residue } = { ...this.read(), ...part };
    if (this.#kind !== "X550") {
      this.#set(BigInt(high) << 32n | BigInt(low));
    } else if (low < Number(SECOND)) { // more is ignored (X550 datasheet, section 8.2.2.21.9)
      this.#set((BigInt(high) * SECOND + BigInt(low)) * RESIDUE + BigInt(residue));
    }
    return 0;
  }

  #installStamps(): void {
    const file = this.#file;
    const pairs = [[TSYNCRXCTL, RXSTMPH], [TSYNCTXCTL, TXSTMPH]] as const;
    for (const [control, high] of pairs) {
      file.onWrite(control, (value, old) => (value & ~control.VALID | old & control.VALID) >>> 0);
      file.onRead(high, (value) => {
        file.set(control, file.get(control) & ~control.VALID);
        return value;
      }, (value) => value);
    }
  }

  #installAuxiliary(): void {
    const file = this.#file;
    file.onWrite(TSAUXC, (value) => {
      [TSAUXC.SAMP_AUT0, TSAUXC.SAMP_AUT1].forEach((sample, i) => {
        if ((value & sample) === 0) return;
        const { high, low } = this.read();
        file.set(AUXSTMP, low, i * 2);
        file.set(AUXSTMP, high, i * 2 + 1);
      });
      return (value & ~(TSAUXC.SAMP_AUT0 | TSAUXC.SAMP_AUT1)) >>> 0;
    });
    file.onRead(TSICR, () => this.#reported = 0, () => 0);
    file.onWrite(TSICR, (value) => {
      this.#reported &= ~value;
      return 0;
    });
  }

  // Raises an interrupt cause, unless one is pending that the driver has not cleared in TSICR.
  #report(cause: number): void {
    if (this.#kind !== "X550") return;
    const mask = this.#file.get(TSIM);
    if (mask & cause && (mask & this.#reported) === 0) this.#causes.raiseOther(TIMESYNC);
    this.#reported |= cause;
  }
}

/** Returns the number in sign and magnitude. */
function signed(value: number): bigint {
  return value & SIGN ? -BigInt(value & VALUE) : BigInt(value);
}
