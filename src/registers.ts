/**
 * Register maps as tables, and access to a device's registers by name.
 *
 * A driver writes `regs.write(CTRL, CTRL.RST)`. The NIC model derives the behaviour of registers from
 * the same table, and a register dump prints it. Offsets occur only in the table.
 *
 * @module
 */

import { spinUntil, waitUntil } from "../native/clock.ts";
import type { Bar } from "./pci/function.ts";
import { DeviceError } from "./errors.ts";

/**
 * How software may access a register, in the datasheet's abbreviations: `RW` read and write, `RO` read
 * only, `WO` write only, `RC` read, which clears it, `W1C` write 1 to clear, `RW1S` read, and write 1 to
 * set.
 */
export type Access = "RW" | "RO" | "WO" | "RC" | "W1C" | "RW1S";

/** A side effect of reading a register. */
export interface ReadEffect {
  /** The effect, to complete "reading it …": `clears the interrupt causes`. */
  readonly does: string;
  /** Section of the datasheet that describes it, if it is not the register's own section. */
  readonly section?: string;
  /** Whether reading takes a semaphore that drivers share, so that other programs must not read it. */
  readonly takes?: true;
}

/** A run of copies of a register, for register arrays in several parts. */
export interface Run {
  /** Index of the first copy in this run. */
  readonly from: number;
  /** Offset in BAR0 of the first copy, in bytes. */
  readonly offset: number;
  /** Bytes from one copy to the next (default: 4). */
  readonly stride?: number;
}

/** One line of a register table. */
export interface RegisterSpec {
  /** Offset in BAR0 of the register, or of its first copy, in bytes. */
  readonly offset: number;
  /** Number of copies (default: 1). */
  readonly count?: number;
  /** Bytes from one copy to the next (default: 4). */
  readonly stride?: number;
  /** Further runs of copies at other offsets, in ascending order of `from` (default: none). */
  readonly runs?: readonly Run[];
  /** How software may access it. */
  readonly access: Access;
  /** Side effect of reading it (default: none; for `RC`, that it is cleared). */
  readonly readEffect?: ReadEffect;
  /** Value after reset (default: 0). */
  readonly reset?: number;
  /** Bits that software must write back as it read them (default: none). */
  readonly reserved?: number;
  /** Purpose of the register, in one line. */
  readonly meaning: string;
  /** Section of the 82599 datasheet, revision 3.4, or of the document that it names. */
  readonly section: string;
  /** Masks of the fields, by the datasheet's names. */
  readonly fields?: Readonly<Record<string, number>>;
}

/** A register of a table: its line with defaults, its name, and the masks of its fields as properties. */
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

/** Creates the registers of a table. */
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
 * Returns the offset in BAR0 of a copy of a register, in bytes.
 *
 * @throws {RangeError} if the register has no such copy.
 */
export function offsetOf(register: Register, index = 0): number {
  if (!(index >= 0 && index < register.count)) {
    throw new RangeError(`${register.name} has no copy ${index} (it has ${register.count})`);
  }
  const { runs, stride } = register;
  let offset = register.offset + index * stride;
  for (const run of runs) {
    if (index >= run.from) offset = run.offset + (index - run.from) * (run.stride ?? 4);
  }
  return offset;
}

/** Returns the name of a copy of a register for messages: `RDT[3]`, or `CTRL` if there is only one. */
export function nameOf(register: Register, index = 0): string {
  return register.count > 1 ? `${register.name}[${index}]` : register.name;
}

/** What every register of a device reads that is powered down or gone. */
const ONES = 0xffffffff;

/**
 * A device's registers: one BAR, accessed by the names in a table. For set-up, not for the hot path. Each
 * method throws a RangeError if the register has no such copy, and a DeviceError if the device is powered
 * down or gone.
 */
export class Registers {
  readonly #bar: Bar;
  readonly #device: string;
  readonly #witness: Register | undefined;

  /**
   * Creates access to the registers in a BAR.
   *
   * @ignore
   * @param bar The BAR that the table's offsets are in.
   * @param device The device's address, for messages.
   * @param witness A register without side effects that never reads as ones: if it does, the device is
   * powered down or gone. It is read whenever another register reads as ones (default: no check).
   */
  constructor(bar: Bar, device: string, witness?: Register) {
    this.#bar = bar;
    this.#device = device;
    this.#witness = witness;
  }

  /** Reads a register. Its `readEffect` describes side effects. */
  read(register: Register, index = 0): number {
    const value = this.#bar.read(offsetOf(register, index), 4);
    if (value === ONES) this.#checkPresent();
    return value;
  }

  #checkPresent(): void {
    const witness = this.#witness;
    if (witness === undefined || this.#bar.read(offsetOf(witness), 4) !== ONES) return;
    throw new DeviceError(
      this.#device,
      `${witness.name} reads ${
        hex(ONES)
      }, so the device is powered down or gone: rescan the PCI bus ` +
        "or reboot",
    );
  }

  /** Writes all bits of a register. */
  write(register: Register, value: number, index = 0): void {
    this.#bar.write(offsetOf(register, index), 4, value >>> 0);
  }

  /** Sets bits and leaves all others unchanged. */
  set(register: Register, bits: number, index = 0): void {
    this.write(register, this.read(register, index) | bits, index);
  }

  /** Clears bits and leaves all others unchanged. */
  clear(register: Register, bits: number, index = 0): void {
    this.write(register, this.read(register, index) & ~bits, index);
  }

  /** Copies the bits of `mask` from `value` and leaves all others unchanged. */
  update(register: Register, mask: number, value: number, index = 0): void {
    this.write(register, (this.read(register, index) & ~mask) | (value & mask), index);
  }

  /**
   * Waits until the bits of `mask` equal those in `value`. Polls every millisecond.
   *
   * @param milliseconds The longest time to wait.
   * @throws {DeviceError} at the deadline, with the device, the register and its value.
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
        `${hex(mask)}: start the program again, and power-cycle the device if that does not help`,
    );
  }

  /** As {@linkcode Registers.prototype.reaches}, but polls without awaiting: for closing. */
  spin(register: Register, mask: number, value: number, milliseconds: number, index = 0): boolean {
    return spinUntil(milliseconds, () => ((this.read(register, index) ^ value) & mask) === 0);
  }

  /**
   * As {@linkcode Registers.prototype.wait}, but returns false at the deadline. The last read comes after
   * the deadline.
   */
  reaches(
    register: Register,
    mask: number,
    value: number,
    milliseconds: number,
    index = 0,
  ): Promise<boolean> {
    return waitUntil(milliseconds, () => ((this.read(register, index) ^ value) & mask) === 0);
  }
}

/** Formats a 32-bit number for messages: `0x0000beef`. */
export function hex(value: number): string {
  return "0x" + (value >>> 0).toString(16).padStart(8, "0");
}
