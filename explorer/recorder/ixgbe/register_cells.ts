/**
 * The cells of a port's registers, statistics and link, kept equal to what the device would read.
 *
 * @module
 */

import * as R from "../../../ixgbe/registers.ts";
import { linkStatus } from "../../../ixgbe/link.ts";
import type { Model } from "../../../ixgbe/models.ts";
import type { Nic } from "../../../sim/nic/nic.ts";
import { ALL, REGISTER_SPACE, RegisterFile } from "../../../sim/registers/register_file.ts";
import { nameOf, offsetOf, type Register, Registers } from "../../../src/registers.ts";
import {
  type Layout,
  linkSection,
  registerSection,
  statisticsSection,
} from "../../recording/layout.ts";
import type { Clock } from "../clock.ts";
import type { Journal } from "../journal.ts";
import type { PortContext } from "./port.ts";

/** The statistics registers that are shown: packets and bytes, then what was dropped and why. */
const STATISTICS: readonly Register[] = [
  ...[R.GPRC, R.GORCL, R.BPRC, R.MPRC, R.TPR, R.PRC64, R.PRC127, R.PRC255, R.PRC1522],
  ...[R.RXMPC, R.QPRC, R.QPRDC, R.RUC, R.ROC, R.RFC, R.RJC, R.CRCERRS],
  ...[R.GPTC, R.GOTCL, R.BPTC, R.MPTC, R.TPT, R.PTC64, R.PTC1522],
];

/** Their places in the section for statistics, by offset. */
const PLACE_OF_STATISTICS: ReadonlyMap<number, number> = new Map(
  STATISTICS.map((register, place) => [offsetOf(register), place]),
);

/** Names of the statistics registers, in the order of their section. */
export const STATISTICS_NAMES: readonly string[] = STATISTICS.map(({ name }) => name);

/** Registers that the device changes by itself, apart from those of queues. */
const VOLATILE: readonly Register[] = [
  ...[R.CTRL, R.STATUS, R.LINKS, R.EICR, R.EIMS, R.SECRXSTAT, R.SECRXCTRL],
];
/** Registers of each queue that the device or the driver changes while packets move. */
const OF_QUEUES: readonly Register[] = [R.RDH, R.RDT, R.RXDCTL, R.TDH, R.TDT, R.TXDCTL];

/** Names of registers by offset. */
const NAMES = new RegisterFile();

/** A register at an offset: its line in the table, and the number of its copy. */
export interface NamedRegister {
  readonly register: Register;
  readonly index: number;
  /** `RDT[0]`. */
  readonly title: string;
}

/** Returns the register at an offset; undefined where there is none. */
export function registerAt(offset: number): NamedRegister | undefined {
  const home = NAMES.home[offset >>> 2] ?? -1;
  if (home < 0) return undefined;
  const register = NAMES.registerAt(home), index = NAMES.indexAt(home);
  return { register, index, title: nameOf(register, index) };
}

/** All offsets of registers. */
const OFFSETS: readonly number[] = ALL.flatMap((register) => {
  return Array.from({ length: register.count }, (_, index) => offsetOf(register, index));
});

/** The cells of a port. */
export class RegisterCells {
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #nic: Nic;
  readonly #model: Model;
  readonly #pure: Registers;
  readonly #control: readonly number[];
  readonly #registers: number;
  readonly #statistics: number;
  readonly #link: number;

  /** Adds the sections of a port to a layout. */
  static addTo(layout: Layout, port: number): void {
    layout.add(registerSection(port), REGISTER_SPACE / 4);
    layout.add(statisticsSection(port), STATISTICS.length);
    layout.add(linkSection(port), 2);
  }

  /**
   * Creates access to sections that the journal's layout has.
   *
   * @param queues Number of receive and of transmit queues.
   */
  constructor(context: PortContext, nic: Nic, model: Model, queues: number) {
    const { journal, port, clock } = context, { sections } = journal.layout;
    this.#journal = journal;
    this.#clock = clock;
    this.#nic = nic;
    this.#model = model;
    this.#pure = new Registers({
      read: (offset) => this.at(offset),
      write() {},
      size: 0,
      doorbell: refuse,
    }, "view");
    this.#control = [
      ...VOLATILE.map((register) => offsetOf(register)),
      ...OF_QUEUES.flatMap((register) => {
        return Array.from({ length: queues }, (_, queue) => offsetOf(register, queue));
      }),
    ];
    this.#registers = sections[registerSection(port)].start;
    this.#statistics = sections[statisticsSection(port)].start;
    this.#link = sections[linkSection(port)].start;
  }

  /** Returns a register's value, without side effects. */
  view(register: Register, index = 0): number {
    return this.at(offsetOf(register, index));
  }

  /** Returns the value of the register at an offset, without side effects. */
  at(offset: number): number {
    return this.#clock.still(() => this.#nic.view32(offset));
  }

  /** Looks at one register. */
  look(offset: number): void {
    const home = NAMES.home[offset >>> 2];
    if (home < 0) return;
    const value = this.at(offset), place = PLACE_OF_STATISTICS.get(offset);
    this.#journal.set(this.#registers + home, value);
    if (place !== undefined) this.#journal.set(this.#statistics + place, value);
  }

  /** Looks at what the driver's accesses change elsewhere: registers of queues, interrupts, the link. */
  lookAtControl(): void {
    for (const offset of this.#control) this.look(offset);
    const { up, megabits } = linkStatus(this.#pure, this.#model);
    this.#journal.set(this.#link, Number(up));
    this.#journal.set(this.#link + 1, megabits);
  }

  /** Looks at what changes while packets move: also statistics. */
  lookOften(): void {
    this.lookAtControl();
    for (const offset of PLACE_OF_STATISTICS.keys()) this.look(offset);
  }

  /** Looks at all registers. */
  lookAtAll(): void {
    for (const offset of OFFSETS) this.look(offset);
    this.lookAtControl();
  }
}

function refuse(): never {
  throw new Error("a view of registers has no doorbells");
}
