/**
 * Messages between the page and what records: a worker, or a server that it is attached to.
 *
 * @module
 */

import type { Action, Experiment } from "./experiment.ts";
import type { Section } from "./layout.ts";
import type { Step } from "./step.ts";

/** From the page to the worker. */
export type Request =
  /** Begins a new recording; the worker drops the one before. */
  | { readonly type: "run"; readonly experiment: Experiment }
  /** Continues the recording with one more action. */
  | { readonly type: "act"; readonly action: Action }
  /** Measures packets a second without recording, for a number of milliseconds. */
  | { readonly type: "measure"; readonly milliseconds: number };

/** The beginning of a recording. */
export interface Begin {
  readonly type: "begin";
  readonly sections: Record<string, Section>;
  /** State before the first step. */
  readonly state: Uint32Array;
  /** Names of the statistics registers in the section for statistics. */
  readonly statistics: readonly string[];
  /** What is seen: `82599`, `VirtIO`; and each port's address. */
  readonly device: string;
  readonly ports: readonly string[];
}

/** From the worker to the page. */
export type Report =
  | Begin
  /** The next steps. */
  | { readonly type: "steps"; readonly steps: readonly Step[] }
  /** All actions so far are recorded. */
  | { readonly type: "idle" }
  /** Packets a second. */
  | { readonly type: "measured"; readonly packets: number; readonly milliseconds: number }
  /** The experiment cannot be run: a sentence. */
  | { readonly type: "error"; readonly message: string };
