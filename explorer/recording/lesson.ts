/**
 * Lessons: guided ways through an experiment. A lesson is a file in `explorer/lessons/`; a teacher who
 * adds one lists it in `explorer/lessons/mod.ts`.
 *
 * @module
 */

import type { Experiment } from "./experiment.ts";
import type { Kind } from "./step.ts";

/** What to look for: the next step for which everything that is given holds. */
export interface Target {
  readonly kind?: Kind;
  readonly port?: number;
  /** Name of the register that is accessed. */
  readonly register?: string;
  readonly ring?: "rx" | "tx";
  readonly queue?: number;
  /** Index of the descriptor. */
  readonly descriptor?: number;
  /** Number of the frame. */
  readonly frame?: number;
  /** Text that the title contains. */
  readonly title?: string;
  readonly chapter?: string;
}

/** A step of a lesson. */
export interface LessonStep {
  /** Where in the recording it stands: the first step after that of the lesson's last step. */
  readonly at: Target;
  /** What to see there: a few sentences. Code between backquotes. */
  readonly text: string;
  /** A question to answer before going on, with its answer. */
  readonly question?: { readonly ask: string; readonly answer: string };
  /** What to look at, which the page marks. */
  readonly look?: "ring" | "pool" | "descriptor" | "register" | "packet" | "source" | "statistics";
}

/** A lesson. */
export interface Lesson {
  /** Its name in links: lower-case words with hyphens. */
  readonly id: string;
  readonly title: string;
  /** What one knows at its end: a sentence. */
  readonly goal: string;
  /** What is recorded: differences from {@linkcode DEFAULTS}. */
  readonly experiment: Partial<Experiment>;
  readonly steps: readonly LessonStep[];
}
