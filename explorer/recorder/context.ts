/**
 * What all parts of a recorder share.
 *
 * @module
 */

import type { Journal } from "./journal.ts";
import type { RecordedPool } from "./recorded_pool.ts";

/** The journal, and the pool that steps refer to. */
export interface RecorderContext {
  readonly journal: Journal;
  readonly pool: RecordedPool;
}
