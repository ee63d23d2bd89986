/**
 * What all parts of the modelled device share: registers, rules, statistics, interrupt causes.
 *
 * @module
 */

import type { InterruptCauses } from "./interrupt_causes.ts";
import type { RegisterFile } from "./register_file.ts";
import type { Rules } from "./rules.ts";
import type { Statistics } from "./statistics.ts";

/** One device's registers, and what belongs to them. */
export interface RegisterCore {
  /** Values of the registers. */
  readonly file: RegisterFile;
  /** Where it is recorded what a driver did that the datasheet forbids. */
  readonly rules: Rules;
  /** Counters behind the statistics registers. */
  readonly statistics: Statistics;
  /** Causes of interrupts. */
  readonly causes: InterruptCauses;
}
