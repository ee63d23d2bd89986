/**
 * The model's list of violations: what a driver did that the datasheet forbids.
 *
 * @module
 */

/** One rule, broken once or more at one register. */
export interface Violation {
  /** The register as messages show it: `FCTRL`, `RDLEN[3]`, or the offset if there is none. */
  readonly register: string;
  /** Section of the 82599 datasheet (revision 3.4) that states the rule. */
  readonly section: string;
  /** The rule. */
  readonly rule: string;
  /** What the driver did the first time, with values. */
  readonly detail: string;
  /** How often the driver broke it. */
  count: number;
}

/** Collects violations: one entry with a count for each register and rule. */
export class Rules {
  /** Maximum number of entries: further ones would tell the reader nothing more. */
  static readonly MAX = 256;
  /** Entries, in the order of their first violation. */
  readonly violations: Violation[] = [];
  /** Whether to record nothing: set while the order of the driver's writes is not known. */
  suspended = false;
  readonly #known = new Map<string, Violation>();

  /**
   * Records a violation.
   *
   * @param register The register's name, with an index if it has copies.
   * @param section Section of the datasheet.
   * @param rule The rule.
   * @param detail What the driver did.
   */
  violate(register: string, section: string, rule: string, detail: string): void {
    if (this.suspended) return;
    const key = `${register} ${rule}`;
    const known = this.#known.get(key);
    if (known) {
      known.count++;
    } else if (this.violations.length < Rules.MAX) {
      const violation = { register, section, rule, detail, count: 1 };
      this.#known.set(key, violation);
      this.violations.push(violation);
    }
  }

  /** Drops all violations. */
  clear(): void {
    this.#known.clear();
    this.violations.length = 0;
  }
}
