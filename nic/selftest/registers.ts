/**
 * Self-test of registers: each writable bit holds 0 and 1, and a write changes no other register. The
 * registers are those of queues, traffic classes, addresses and filters that the driver does not use.
 *
 * @module
 */

import * as R from "../../ixgbe/registers.ts";
import { hex, nameOf, type Register, type Registers } from "../../src/registers.ts";
import { type Bench, type Check, counted, Failed } from "./check.ts";

/** Copies of a register, from `first` on, and the bits of each that hold any value. */
interface Row {
  readonly register: Register;
  readonly first: number;
  readonly bits: number;
}

/** The first queue that the self-test does not use, nor RSS could. */
const FREE_QUEUE = 16;
const ALL = 0xffffffff;

function rows(first: number, bits: number, ...registers: readonly Register[]): Row[] {
  return registers.map((register) => ({ register, first, bits }));
}

/**
 * The registers. Bits that would turn a function on are left out: FCRTL.XONE, FCRTH.FCEN, RAH.AV. Copy 0
 * is in use: of the first traffic class, and of the station address.
 */
const TABLE: readonly Row[] = [
  ...rows(1, ALL, R.FCTTV),
  ...rows(1, R.FCRTL.RTL, R.FCRTL),
  ...rows(1, R.FCRTH.RTH, R.FCRTH),
  ...rows(0, ALL, R.MTA, R.VFTA),
  ...rows(1, ALL, R.RAL),
  ...rows(1, R.RAH.RAH, R.RAH),
  ...rows(FREE_QUEUE, 0xffffff80, R.RDBAL, R.TDBAL),
  ...rows(FREE_QUEUE, ALL, R.RDBAH, R.TDBAH),
  ...rows(FREE_QUEUE, 0x000fff80, R.RDLEN, R.TDLEN),
];

/** Five-tuple filters, which the X550 lacks. */
const FIVE_TUPLES: readonly Row[] = rows(0, ALL, R.SAQF, R.DAQF, R.SDPQF);

/** Returns what a register is written with, by its place in the table. */
type Pattern = (place: number) => number;

/** Each bit is 0 and 1 once; then each register has a value of its own, in any 7 adjacent bits too. */
const PATTERNS: readonly Pattern[] = [
  () => 0x55555555,
  () => 0xaaaaaaaa,
  (place) => Math.imul(place + 1, 0x9e3779b1),
];

export const REGISTER_CHECK: Check = {
  name: "registers",
  run({ port: { device, model } }: Bench): string {
    const regs = device.registers;
    const table = model.mac === "X550" ? TABLE : [...TABLE, ...FIVE_TUPLES];
    const copies = table.flatMap(({ register, first, bits }) =>
      Array.from({ length: register.count - first }, (_, i) => ({ register, i: first + i, bits }))
    );
    const before = copies.map(({ register, i }) => regs.read(register, i));
    const outside = (place: number) => before[place] & ~copies[place].bits;
    try {
      for (const pattern of PATTERNS) {
        const value = (place: number) => pattern(place) & copies[place].bits | outside(place);
        copies.forEach(({ register, i }, place) => regs.write(register, value(place), i));
        copies.forEach(({ register, i, bits }, place) =>
          assertHolds(regs, register, i, bits, value(place))
        );
      }
    } finally {
      copies.forEach(({ register, i }, place) => regs.write(register, before[place], i));
    }
    copies.forEach(({ register, i, bits }, place) =>
      assertHolds(regs, register, i, bits, before[place])
    );
    return `${counted(copies.length, "register")} hold ${PATTERNS.length} patterns`;
  },
};

function assertHolds(
  regs: Registers,
  register: Register,
  index: number,
  bits: number,
  written: number,
): void {
  const read = regs.read(register, index), wrong = (read ^ written) & bits;
  if (wrong === 0) return;
  throw new Failed(
    `${nameOf(register, index)} reads ${hex(read)} after ${hex(written)} was written`,
  );
}
