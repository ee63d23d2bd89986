/**
 * What the recorder of each kind of device offers to a session.
 *
 * @module
 */

import type { Action, Experiment } from "../recording/experiment.ts";
import type { Begin } from "../recording/messages.ts";
import type { Step } from "../recording/step.ts";

/** Runs driver, device and program of one experiment in this thread, and records what they do. */
export interface Recorder extends Disposable {
  /** The beginning of the recording. */
  readonly begin: Begin;
  /**
   * Records one action. All its steps are emitted when the promise resolves.
   *
   * @throws {UsageError} if the action is not possible now: a sentence that says what to do before it.
   */
  act(action: Action): Promise<void>;
}

/** Packets that were forwarded without recording, and the time that this took. */
export interface Measurement {
  readonly packets: number;
  readonly milliseconds: number;
}

/** A kind of device. */
export interface Family {
  /** Creates the recorder of an experiment. The time of this thread is virtual meanwhile. */
  record(experiment: Experiment, emit: (step: Step) => void): Recorder;
  /**
   * Forwards as fast as it can, without recording.
   *
   * @param milliseconds How long, in real time.
   */
  measure(experiment: Experiment, milliseconds: number): Promise<Measurement>;
}
