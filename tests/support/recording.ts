/**
 * Recordings of experiments, for tests of the explorer. Not a test itself.
 *
 * @module
 */

import { Session } from "../../explorer/recorder/session.ts";
import type { Action, Experiment } from "../../explorer/recording/experiment.ts";
import { Layout } from "../../explorer/recording/layout.ts";
import type { Begin } from "../../explorer/recording/messages.ts";
import { Recording } from "../../explorer/recording/recording.ts";
import type { Step } from "../../explorer/recording/step.ts";

/** All that a session has reported. */
export interface Recorded {
  readonly begin: Begin;
  readonly steps: readonly Step[];
  /** Sentences of errors. */
  readonly errors: readonly string[];
}

/** Recordings so far: tests that look at the same one need not wait for it again. */
const recorded = new Map<string, Recorded>();

/** Records an experiment. */
export async function record(experiment: Partial<Experiment>): Promise<Recorded> {
  const key = JSON.stringify(experiment);
  const known = recorded.get(key) ?? await recordAnew(experiment);
  recorded.set(key, known);
  return known;
}

async function recordAnew(experiment: Partial<Experiment>): Promise<Recorded> {
  const steps: Step[] = [], errors: string[] = [];
  let begin: Begin | undefined;
  using session = new Session(experiment, (report) => {
    if (report.type === "begin") begin = report;
    else if (report.type === "steps") steps.push(...report.steps);
    else if (report.type === "error") errors.push(report.message);
  });
  await session.run();
  return { begin: begin!, steps, errors };
}

/** Records an experiment with these actions after the devices are open. */
export function recordOpen(
  actions: readonly Action[],
  settings: Partial<Experiment> = {},
): Promise<Recorded> {
  return record({ ...settings, actions: [{ do: "open" }, ...actions] });
}

/** Returns the steps after the devices are open. */
export function afterOpen(steps: readonly Step[]): Step[] {
  const last = steps.findLastIndex(({ kind, title }) => {
    return kind === "return" && title.startsWith("waitForLink");
  });
  return steps.slice(last + 1);
}

/** Returns a recording whose cursor stands before the first step. */
export function recordingOf({ begin, steps }: Recorded): Recording {
  const recording = new Recording(new Layout({ ...begin.sections }), begin.state);
  recording.push(...steps);
  return recording;
}

/** Returns the kinds of steps of a frame, in order; with the port if `ports`. */
export function wayOf(steps: readonly Step[], frame: number, ports = false): string[] {
  return steps.filter((step) => step.frame === frame).map(({ kind, port }) => {
    return ports ? `${kind} ${port}` : kind;
  });
}
