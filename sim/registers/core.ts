/**
 * What all parts of the modelled device share: registers, rules, statistics, interrupt
 * causes and system time.
 *
 * @module
 */

import type { InterruptCauses } from "./interrupt_causes.ts";
import type { DeviceObserver } from "./observer.ts";
import type { RegisterFile } from "./register_file.ts";
import type { Rules } from "./rules.ts";
import type { Statistics } from "./statistics.ts";
import type { SystemTime } from "./system_time.ts";

/** The registers of one device, and what belongs to them. */
export interface RegisterCore {
  /** Values of the registers. */
  readonly file: RegisterFile;
  /** Records the driver's violations of the datasheet. */
  readonly rules: Rules;
  /** Counters behind the statistics registers. */
  readonly statistics: Statistics;
  /** Interrupt causes and masks. */
  readonly causes: InterruptCauses;
  /** The clock that stamps packets. */
  readonly time: SystemTime;
  /** Is told what the device does; undefined if nobody looks on. */
  readonly observer: DeviceObserver | undefined;
}
