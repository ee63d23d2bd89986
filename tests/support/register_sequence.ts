/**
 * A record of register accesses, as the software NIC's `--trace` writes it, for searching and
 * altering. It contains no rules. Not a test itself.
 *
 * @module
 */

import { CTRL } from "../../ixgbe/registers.ts";
import { nameOf, type Register } from "../../src/registers.ts";

/** One line of the record. */
export interface Access {
  /** The time, in milliseconds. */
  readonly time: number;
  /** A read or write of a register, or a change of bus mastering. */
  readonly what: "read" | "write" | "bus master";
  /** The register, with its index where it has copies; empty for bus mastering. */
  readonly name: string;
  /** The value read or written; 1 or 0 for bus mastering on or off. */
  readonly value: number;
}

/** Returns whether an access matches. */
export type Passes = (access: Access) => boolean;

/** Matches a write of a register with all of these bits set, or with `cleared`, none of them. */
export function writes(register: Register, index = 0, bits = 0, cleared = 0): Passes {
  const name = nameOf(register, index);
  return ({ what, name: found, value }) => {
    return what === "write" && found === name && (value & bits) >>> 0 === bits >>> 0 &&
      (value & cleared) === 0;
  };
}

/** Matches a read of a register with all of these bits set, and none of `cleared`. */
export function reads(register: Register, index = 0, bits = 0, cleared = 0): Passes {
  const wanted = writes(register, index, bits, cleared);
  return (access) => access.what === "read" && wanted({ ...access, what: "write" });
}

/** Matches a change of bus mastering. */
export function busMaster(on: boolean): Passes {
  return ({ what, value }) => what === "bus master" && value === Number(on);
}

/** Accesses in order. Immutable: methods that alter it return a new one. */
export class Sequence {
  constructor(readonly accesses: readonly Access[]) {}

  /** Parses the lines of a record. */
  static parse(text: string): Sequence {
    const accesses = text.trimEnd().split("\n").map((line): Access => {
      const [seconds, , what, name, value] = line.split(/\s+/);
      const time = Number(seconds) * 1000;
      if (what === "bus") {
        return { time, what: "bus master", name: "", value: Number(value === "on") };
      }
      if (what !== "read" && what !== "write") throw new Error(`unknown line in a trace: ${line}`);
      return { time, what, name, value: Number(value) };
    });
    return new Sequence(accesses);
  }

  /** Returns the index of the first match in `from` to `to`, without `to`; -1 without a match. */
  find(passes: Passes, from = 0, to = this.accesses.length): number {
    for (let i = Math.max(from, 0); i < to; i++) if (passes(this.accesses[i])) return i;
    return -1;
  }

  /** Returns the index of the last match in `from` to `to`, without `to`; -1 without a match. */
  findLast(passes: Passes, to = this.accesses.length, from = 0): number {
    for (let i = to - 1; i >= from; i--) if (passes(this.accesses[i])) return i;
    return -1;
  }

  /** Returns the indices of all matches. */
  all(passes: Passes): number[] {
    return this.accesses.flatMap((access, i) => passes(access) ? [i] : []);
  }

  /** Returns the value of a register before an access: last read or written, or its reset value. */
  valueAt(at: number, register: Register, index = 0): number {
    const name = nameOf(register, index), reset = writes(CTRL, 0, CTRL.RST);
    for (let i = at - 1; i >= 0; i--) {
      const access = this.accesses[i];
      if (access.name === name) return access.value;
      if (reset(access)) break;
    }
    return register.reset;
  }

  /** Returns the record without an access. */
  without(at: number): Sequence {
    return this.#altered(at, (accesses) => accesses.splice(at, 1));
  }

  /** Returns the record with an access moved to just before another. */
  moved(at: number, before: number): Sequence {
    return this.#altered(at, (accesses) => {
      const [access] = accesses.splice(at, 1);
      accesses.splice(before > at ? before - 1 : before, 0, access);
    });
  }

  /** Returns the record with another value read or written. */
  changed(at: number, value: (before: number) => number): Sequence {
    return this.#altered(at, (accesses) => {
      accesses[at] = { ...accesses[at], value: value(accesses[at].value) >>> 0 };
    });
  }

  /** Returns the record with all accesses from one on earlier by some milliseconds. */
  hurried(at: number, milliseconds: number): Sequence {
    return this.#altered(at, (accesses) => {
      for (let i = at; i < accesses.length; i++) {
        accesses[i] = { ...accesses[i], time: accesses[i].time - milliseconds };
      }
    });
  }

  /** Returns the record with an access added before another. */
  inserted(before: number, what: Access["what"], register: Register, value: number): Sequence {
    return this.#altered(before, (accesses) => {
      const { time } = accesses[before];
      accesses.splice(before, 0, { time, what, name: nameOf(register), value });
    });
  }

  #altered(at: number, alter: (accesses: Access[]) => void): Sequence {
    if (!(at >= 0 && at < this.accesses.length)) {
      throw new Error("the access to alter does not exist");
    }
    const accesses = [...this.accesses];
    alter(accesses);
    return new Sequence(accesses);
  }
}
