/**
 * A session: one experiment, recorded and reported.
 *
 * @module
 */

import { checkAction, checkExperiment } from "../recording/check_experiment.ts";
import type { Action, Experiment } from "../recording/experiment.ts";
import type { Report } from "../recording/messages.ts";
import type { Step } from "../recording/step.ts";
import { familyOf } from "./families.ts";
import type { Recorder } from "./recorder.ts";

/** Steps that are reported at once: first a few, so that there is soon something to see, then more and more. */
const FIRST_CHUNK = 50, CHUNK = 1000;

/** Records an experiment, and reports its steps. Only one session records at a time. */
export class Session implements Disposable {
  readonly #experiment: Experiment;
  readonly #emit: (report: Report) => void;
  readonly #recorder: Recorder;
  #steps: Step[] = [];
  #chunk = FIRST_CHUNK;

  /**
   * Creates the devices and reports the beginning.
   *
   * @param experiment What to record, see {@linkcode checkExperiment}.
   * @param emit Takes the reports, in order.
   * @throws {UsageError} if the experiment is not valid: a sentence for the user.
   */
  constructor(experiment: Partial<Experiment>, emit: (report: Report) => void) {
    this.#experiment = checkExperiment(experiment);
    this.#emit = emit;
    const { device } = this.#experiment;
    this.#recorder = familyOf(device).record(this.#experiment, (step) => this.#take(step));
    emit(this.#recorder.begin);
  }

  /** Records all actions of the experiment. An action that is not possible ends it with a report. */
  async run(): Promise<void> {
    await this.#record(this.#experiment.actions);
  }

  /** Records one more action. */
  async act(action: Action): Promise<void> {
    await this.#record([action]);
  }

  async #record(actions: readonly Action[]): Promise<void> {
    try {
      for (const action of actions) {
        checkAction(this.#experiment, action);
        await this.#recorder.act(action);
      }
    } catch (error) {
      this.#report();
      this.#emit({ type: "error", message: sentenceOf(error) });
    }
    this.#report();
    this.#emit({ type: "idle" });
  }

  #take(step: Step): void {
    this.#steps.push(step);
    if (this.#steps.length < this.#chunk) return;
    this.#report();
    this.#chunk = Math.min(CHUNK, this.#chunk * 4);
  }

  #report(): void {
    if (this.#steps.length > 0) this.#emit({ type: "steps", steps: this.#steps });
    this.#steps = [];
  }

  /** Drops driver and devices. */
  [Symbol.dispose](): void {
    this.#recorder[Symbol.dispose]();
  }
}

/** Returns the sentence of an error. */
export function sentenceOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
