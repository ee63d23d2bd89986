/**
 * A record of register accesses, as the software NIC's `--trace` writes it, to be looked through and
 * to be altered. Knows no rule. Not a test itself.
 *
 * @module
 */

import { CTRL } from "../../ixgbe/registers.ts";
import { nameOf, type Register } from "../../src/registers.ts";

/** One line of the record. */
export interface Access {
  /** When, in milliseconds. */
  readonly time: number;
  /** Whether a register was read or written, or bus mastering turned on or off. */
  readonly what: "read" | "write" | "bus master";
  /** The register, with its index where it has copies; empty for bus mastering. */
  readonly name: string;
  /** What was read or written; 1 or 0 for bus mastering on or off. */
  readonly value: number;
}

/** Says whether an access is the one that is looked for. */
export type Passes = (access: Access) => boolean;

/** A write of a register that leaves all of these bits set, or with `cleared` none of them. */
export function writes(register: Register, index = 0, bits = 0, cleared = 0): Passes {
  const name = nameOf(register, index);
  return ({ what, name: found, value }) => {
    return what === "write" && found === name && (value & bits) >>> 0 === bits >>> 0 &&
      (value & cleared) === 0;
  };
}

/** A read of a register that shows all of these bits set, and none of those cleared. */
export function reads(register: Register, index = 0, bits = 0, cleared = 0): Passes {
  const wanted = writes(register, index, bits, cleared);
  return (access) => access.what === "read" && wanted({ ...access, what: "write" });
}

/** Bus mastering turned on or off. */
export function busMaster(on: boolean): Passes {
  return ({ what, value }) => what === "bus master" && value === Number(on);
}

/** The accesses in their order. It does not change: what alters it returns another. */
export class Sequence {
  constructor(readonly accesses: readonly Access[]) {}

  /** Takes the lines of a record. */
  static parse(text: string): Sequence {
    const accesses = text.trimEnd().split("\n").map((line): Access => {
      const [seconds, , what, name, value] = line.split(/\s+/);
      const time = Number(seconds) * 1000;
      if (what === "bus") {
        return { time, what: "bus master", name: "", value: Number(value === "on") };
      }
      if (what !== "read" && what !== "write") throw new Error(`a line of another kind: ${line}`);
      return { time, what, name, value: Number(value) };
    });
    return new Sequence(accesses);
  }

  /** Index of the first access from `from` on, and before `to`, that passes; -1 if there is none. */
  find(passes: Passes, from = 0, to = this.accesses.length): number {
    for (let i = Math.max(from, 0); i < to; i++) if (passes(this.accesses[i])) return i;
    return -1;
  }

  /** Index of the last access before `to`, and from `from` on, that passes; -1 if there is none. */
  findLast(passes: Passes, to = this.accesses.length, from = 0): number {
    for (let i = to - 1; i >= from; i--) if (passes(this.accesses[i])) return i;
    return -1;
  }

  /** Indices of all accesses that pass. */
  all(passes: Passes): number[] {
    return this.accesses.flatMap((access, i) => passes(access) ? [i] : []);
  }

  /** What a register had before an access: what was last read or written, or its reset value. */
  valueAt(at: number, register: Register, index = 0): number {
    const name = nameOf(register, index), reset = writes(CTRL, 0, CTRL.RST);
    for (let i = at - 1; i >= 0; i--) {
      const access = this.accesses[i];
      if (access.name === name) return access.value;
      if (reset(access)) break;
    }
    return register.reset;
  }

  /** This record without an access. */
  without(at: number): Sequence {
    return this.#altered(at, (accesses) => accesses.splice(at, 1));
  }

  /** This record with an access moved to just before another. */
  moved(at: number, before: number): Sequence {
    return this.#altered(at, (accesses) => {
      const [access] = accesses.splice(at, 1);
      accesses.splice(before > at ? before - 1 : before, 0, access);
    });
  }

  /** This record with another value read or written. */
  changed(at: number, value: (before: number) => number): Sequence {
    return this.#altered(at, (accesses) => {
      accesses[at] = { ...accesses[at], value: value(accesses[at].value) >>> 0 };
    });
  }

  /** This record with all from an access on so many milliseconds earlier. */
  hurried(at: number, milliseconds: number): Sequence {
    return this.#altered(at, (accesses) => {
      for (let i = at; i < accesses.length; i++) {
        accesses[i] = { ...accesses[i], time: accesses[i].time - milliseconds };
      }
    });
  }

  /** This record with an access added before another. */
  inserted(before: number, what: Access["what"], register: Register, value: number): Sequence {
    return this.#altered(before, (accesses) => {
      const { time } = accesses[before];
      accesses.splice(before, 0, { time, what, name: nameOf(register), value });
    });
  }

  #altered(at: number, alter: (accesses: Access[]) => void): Sequence {
    if (!(at >= 0 && at < this.accesses.length)) {
      throw new Error("there is no such access to alter");
    }
    const accesses = [...this.accesses];
    alter(accesses);
    return new Sequence(accesses);
  }
}
