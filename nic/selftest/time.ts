/**
 * Self-test of the clock behind time stamps, SYSTIM: it runs, and at the rate of the processor's clock.
 * Register values are those of Intel's driver for Linux.
 *
 * @module
 */

import type { Mac } from "../../ixgbe/models.ts";
import { SYSTIMH, SYSTIML, SYSTIMR, TIMINCA, TSAUXC } from "../../ixgbe/registers.ts";
import { delay } from "../../native/clock.ts";
import type { Registers } from "../../src/registers.ts";
import { type Bench, type Check, Failed } from "./check.ts";

/** The time that is measured, in milliseconds. */
const MEASURED_MS = 100;
/** Largest error of the NIC's clock, as a part: oscillators are far better, clocks of models may not be. */
const TOLERANCE = 0.01;
/** TSAUXC: stops the clock (X550). */
const DISABLE_SYSTIM = 1 << 31;
/** What a cycle of the link's clock adds to SYSTIM, by speed in Mbit/s: 6.4, 64 and 640 ns. */
const INCREMENT: Readonly<Record<number, number>> = {
  10000: 0x66666666,
  1000: 0x40000000,
  100: 0x50000000,
};
/** Bits of these increments that are a fraction of a nanosecond. */
const FRACTION_BITS: Readonly<Record<number, number>> = { 10000: 28, 1000: 24, 100: 21 };
/** The 82599 has 24 bits for the increment, and as many for the cycles between two: 1. */
const SHORTER_82599 = 7, PERIOD_82599 = 1 << 24;

export const TIME_CHECK: Check = {
  name: "time stamps",
  async run({ port: { device, model } }: Bench): Promise<string> {
    const regs = device.registers;
    const nanoseconds = start(regs, model.mac, device.linkStatus().megabits);
    const from = measure(nanoseconds);
    await delay(MEASURED_MS);
    const to = measure(nanoseconds);
    if (to.time === from.time) throw new Failed("SYSTIM stands still");
    // The register was read between the two looks at the processor's clock.
    const elapsed = (to.time - from.time) / 1e6;
    const least = (to.before - from.after) * (1 - TOLERANCE);
    const most = (to.after - from.before) * (1 + TOLERANCE);
    const measured = `SYSTIM advances ${elapsed.toFixed(1)} ms in ` +
      `${((to.before + to.after - from.before - from.after) / 2).toFixed(1)} ms`;
    if (elapsed < least || elapsed > most) throw new Failed(measured);
    return measured;
  },
};

/** Starts the clock; returns a function that reads it, in nanoseconds. */
function start(regs: Registers, mac: Mac, megabits: number): () => number {
  if (mac === "X550") {
    regs.write(TIMINCA, 0);
    for (const register of [SYSTIMR, SYSTIML, SYSTIMH]) regs.write(register, 0);
    regs.clear(TSAUXC, DISABLE_SYSTIM);
    return () => {
      regs.read(SYSTIMR); // latches the others
      const nanoseconds = regs.read(SYSTIML);
      return regs.read(SYSTIMH) * 1e9 + nanoseconds;
    };
  }
  const speed = megabits in INCREMENT ? megabits : 10000;
  const shorter = mac === "82599" ? SHORTER_82599 : 0;
  const increment = INCREMENT[speed] >>> shorter;
  regs.write(TIMINCA, mac === "82599" ? PERIOD_82599 | increment : increment);
  for (const register of [SYSTIML, SYSTIMH]) regs.write(register, 0);
  const unit = 2 ** (FRACTION_BITS[speed] - shorter);
  return () => {
    const low = regs.read(SYSTIML); // latches the high half
    return (regs.read(SYSTIMH) * 2 ** 32 + low) / unit;
  };
}

/** Reads the NIC's clock between two looks at the processor's. */
function measure(read: () => number): { before: number; time: number; after: number } {
  const before = performance.now(), time = read();
  return { before, time, after: performance.now() };
}
