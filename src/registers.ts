/**
 * Register maps as tables, and access to a device's registers by the names in them.
 *
 * A driver writes `regs.write(CTRL, CTRL.RST)`; the NIC model derives what a register does from the
 * same table; a register dump prints it. No offset stands anywhere but in a table.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import type { Bar } from "./pci/function.ts";
import { DeviceError } from "./errors.ts";

/**
 * What software may do with a register, in the datasheet's abbreviations: `RW` read and write, `RO`
 * read only, `WO` write only, `RC` cleared by reading, `W1C` a written 1 clears the bit, `RW1S` a
 * written 1 sets the bit.
 */
export type Access = "RW" | "RO" | "WO" | "RC" | "W1C" | "RW1S";

/** What reading a register changes in the device. */
export interface ReadEffect {
  /** What it does, as "reading it …" goes on: `clears the interrupt causes`. */
  readonly does: string;
  /** Section of the datasheet that says so, if it is not the register's. */
  readonly section?: string;
  /** Whether it takes something that drivers share, so that nobody else may read it. */
  readonly takes?: true;
}

/** A run of copies of a register, for arrays whose parts lie apart. */
export interface Run {
  /** Index of the first copy in this run. */
  readonly from: number;
  /** Offset in BAR0 of the first copy, in bytes. */
  readonly offset: number;
  /** Bytes from one copy to the next; 4 unless given. */
  readonly stride?: number;
}

/** One line of a register table. */
export interface RegisterSpec {
  /** Offset in BAR0 of the register, or of its first copy, in bytes. */
  readonly offset: number;
  /** Number of copies; 1 unless given. */
  readonly count?: number;
  /** Bytes from one copy to the next; 4 unless given. */
  readonly stride?: number;
  /** Where the copies go on, if not at the same stride, in rising order of `from`. */
  readonly runs?: readonly Run[];
  /** What software may do with it. */
  readonly access: Access;
  /** What reading it changes; unless given nothing, or that it is cleared if the access is `RC`. */
  readonly readEffect?: ReadEffect;
  /** Value after reset; 0 unless given. */
  readonly reset?: number;
  /** Bits that software must write back as it read them; none unless given. */
  readonly reserved?: number;
  /** What the register is for, in a line. */
  readonly meaning: string;
  /** Section of the datasheet (82599, revision 3.4, unless the text says otherwise). */
  readonly section: string;
  /** Masks of the fields, by the datasheet's names. */
  readonly fields?: Readonly<Record<string, number>>;
}

/** A register of a table: its line, its name, and its fields' masks as properties. */
export type Register<F = Record<never, never>> =
  & Required<Omit<RegisterSpec, "fields" | "readEffect">>
  & {
    readonly name: string;
    readonly fields: Readonly<Record<string, number>>;
    readonly readEffect: ReadEffect | null;
  }
  & Readonly<F>;

/** The registers of a table by name. */
export type RegisterMap<T extends Record<string, RegisterSpec>> = {
  readonly [K in keyof T]: Register<
    T[K]["fields"] extends Record<string, number> ? { [F in keyof T[K]["fields"]]: number }
      : Record<never, never>
  >;
};

const CLEARS: ReadEffect = { does: "clears it" };

/** Makes registers of a table's lines. */
export function defineRegisters<const T extends Record<string, RegisterSpec>>(
  table: T,
): RegisterMap<T> {
  const map: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries<RegisterSpec>(table)) {
    const fields: Record<string, number> = {};
    for (const [field, mask] of Object.entries(spec.fields ?? {})) fields[field] = mask >>> 0;
    map[name] = Object.freeze({
      count: 1,
      stride: 4,
      runs: [],
      reset: 0,
      reserved: 0,
      readEffect: spec.access === "RC" ? CLEARS : null,
      ...spec,
      name,
      fields,
      ...fields,
    });
  }
  return map as RegisterMap<T>;
}

/**
 * The offset in BAR0 of a register's copy, in bytes.
 *
 * @throws {RangeError} if the register has no such copy.
 */
export function offsetOf(register: Register, index = 0): number {
  if (!(index >= 0 && index < register.count)) {
    throw new RangeError(`${register.name} has no copy ${index} (it has ${register.count})`);
  }
  let run: Run = { from: 0, offset: register.offset, stride: register.stride };
  for (const next of register.runs) if (index >= next.from) run = next;
  return run.offset + (index - run.from) * (run.stride ?? 4);
}

/** The name of a register's copy as messages show it: `RDT[3]`, or `CTRL` where there is one. */
export function nameOf(register: Register, index = 0): string {
  return register.count > 1 ? `${register.name}[${index}]` : register.name;
}

/**
 * A device's registers: one BAR, by the names in a table. For set-up, not for the hot path. Each method
 * throws a RangeError if the register has no such copy, and a DeviceError if the device is gone.
 */
export class Registers {
  readonly #bar: Bar;
  readonly #device: string;

  /**
   * Joins a BAR to a device's name.
   *
   * @ignore
   * @param bar The BAR that the table's offsets are in.
   * @param device The device's address, for messages.
   */
  constructor(bar: Bar, device: string) {
    this.#bar = bar;
    this.#device = device;
  }

  /** Reads a register; what that changes in the device, its `readEffect` says. */
  read(register: Register, index = 0): number {
    return this.#bar.read(offsetOf(register, index), 4);
  }

  /** Writes a register whole. */
  write(register: Register, value: number, index = 0): void {
    this.#bar.write(offsetOf(register, index), 4, value >>> 0);
  }

  /** Sets bits and leaves the others as they are. */
  set(register: Register, bits: number, index = 0): void {
    this.write(register, this.read(register, index) | bits, index);
  }

  /** Clears bits and leaves the others as they are. */
  clear(register: Register, bits: number, index = 0): void {
    this.write(register, this.read(register, index) & ~bits, index);
  }

  /** Gives the bits of `mask` the value they have in `value` and leaves the others as they are. */
  update(register: Register, mask: number, value: number, index = 0): void {
    this.write(register, (this.read(register, index) & ~mask) | (value & mask), index);
  }

  /**
   * Waits until the bits of `mask` have the value they have in `value`; looks every millisecond.
   *
   * @param milliseconds How long to wait.
   * @throws {DeviceError} at the deadline, naming the device, the register and what it reads.
   */
  async wait(
    register: Register,
    mask: number,
    value: number,
    milliseconds: number,
    index = 0,
  ): Promise<void> {
    if (await this.reaches(register, mask, value, milliseconds, index)) return;
    const now = this.read(register, index);
    throw new DeviceError(
      this.#device,
      `${nameOf(register, index)} (${
        hex(offsetOf(register, index))
      }, section ${register.section}) ` +
        `is ${hex(now)} after ${milliseconds} ms, expected ${hex(value & mask)} in bits ` +
        `${hex(mask)}: power-cycle or replug the device if it stays so`,
    );
  }

  /** As {@linkcode Registers.prototype.reaches}, without returning to the event loop: for closing. */
  spin(register: Register, mask: number, value: number, milliseconds: number, index = 0): boolean {
    const deadline = performance.now() + milliseconds;
    do {
      if (((this.read(register, index) ^ value) & mask) === 0) return true;
    } while (performance.now() < deadline);
    return false;
  }

  /** As {@linkcode Registers.prototype.wait}, but returns false at the deadline. */
  async reaches(
    register: Register,
    mask: number,
    value: number,
    milliseconds: number,
    index = 0,
  ): Promise<boolean> {
    const deadline = performance.now() + milliseconds;
    for (;;) {
      if (((this.read(register, index) ^ value) & mask) === 0) return true;
      if (performance.now() >= deadline) return false;
      await delay(1);
    }
  }
}

/** A 32-bit number as messages show it. */
export function hex(value: number): string {
  return "0x" + (value >>> 0).toString(16).padStart(8, "0");
}
