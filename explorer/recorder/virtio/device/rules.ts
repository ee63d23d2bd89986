/**
 * Rules of the VirtIO specification that a driver has broken.
 *
 * @module
 */

/** A rule, and how the driver broke it. */
export interface BrokenRule {
  /** The field that shows it: `avail.idx`, `device_status`, … */
  readonly register: string;
  /** Section of the specification: `VirtIO 2.7.13.3`. */
  readonly section: string;
  /** The rule in one sentence. */
  readonly rule: string;
  /** What the driver did. */
  readonly detail: string;
}

/** The device cannot go on with a queue because the driver has broken a rule. */
export class RuleError extends Error {
  readonly broken: BrokenRule;

  /** Makes the error of a broken rule. */
  constructor(broken: BrokenRule) {
    super(`${broken.register}: ${broken.detail}, although ${broken.rule} (${broken.section})`);
    this.broken = broken;
  }
}
