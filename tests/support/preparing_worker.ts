/**
 * A worker for tests of the order in which workers prepare and start. Not a test itself.
 *
 * @module
 */

import { serve } from "../../programs/worker_thread.ts";

/** Words of 32 bits that all workers share. */
export interface Words {
  /** 1 once workers that wait may go on. */
  readonly gate: Int32Array;
  /** The number of workers that are prepared. */
  readonly prepared: Int32Array;
  /** The number of workers that have started. */
  readonly started: Int32Array;
  /** The number of workers that have started before all were prepared. */
  readonly early: Int32Array;
}

/** What a worker does. */
export interface Preparation extends Words {
  /** The number of workers. */
  readonly of: number;
  /** Whether it prepares until the gate is 1, or it is told to stop. */
  readonly waits: boolean;
}

serve<Preparation>(({ gate, prepared, started, early, of, waits }, orders) => {
  while (waits && Atomics.load(gate, 0) === 0 && orders.signal === 0);
  Atomics.add(prepared, 0, 1);
  const works = orders.begin(() => {
    if (Atomics.load(prepared, 0) < of) Atomics.add(early, 0, 1);
    Atomics.add(started, 0, 1);
  });
  while (works && orders.signal === 0);
});
