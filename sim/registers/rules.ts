/**
 * What a driver did that the datasheet forbids: the model's list of complaints.
 *
 * @module
 */

/** One rule broken at one register, however often. */
export interface Violation {
  /** The register as messages show it: `FCTRL`, `RDLEN[3]`, or an offset that no register has. */
  readonly register: string;
  /** Section of the 82599 datasheet (revision 3.4) that has the rule. */
  readonly section: string;
  /** The rule, as the datasheet wants it kept. */
  readonly rule: string;
  /** What was found the first time, with values. */
  readonly detail: string;
  /** How often it was found. */
  count: number;
}

/** Collects violations: one entry for each rule and register, with a count. */
export class Rules {
  /** Most violations listed: a driver that breaks more rules has been told enough. */
  static readonly MAX = 256;
  /** In the order in which they were first found. */
  readonly violations: Violation[] = [];
  /** Whether to record nothing: set while it is not known in which order a driver did what. */
  suspended = false;
  readonly #known = new Map<string, Violation>();

  /**
   * Records that a rule was broken.
   *
   * @param register The register's name, with its index where it has copies.
   * @param section Section of the datasheet.
   * @param rule The rule.
   * @param detail What was found.
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

  /** Forgets all violations. */
  clear(): void {
    this.#known.clear();
    this.violations.length = 0;
  }
}
