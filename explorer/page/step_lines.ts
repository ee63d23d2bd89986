/**
 * The lines of source that a step is at: the driver's, and the software NIC's.
 *
 * @module
 */

import type { SourceLine, Sources } from "../recording/sources.ts";
import type { Step } from "../recording/step.ts";
import type { Player } from "./player.ts";

/** The driver, with the program that calls it; or the model of the device. */
export type Side = "driver" | "model";

/** The line that acts, and those of its callers, innermost first. None if the side does not act. */
type StepLines = Readonly<Record<Side, readonly SourceLine[]>>;

/** How many steps back a side's last line is looked for. */
const REACH = 200;

/** The models of devices. */
const MODEL = /^(sim|explorer\/recorder\/virtio\/device)\//;

const NONE: readonly SourceLine[] = [];
const known = new WeakMap<Step, StepLines>();

/** Returns the lines of each side that a step is at. */
export function linesOf(step: Step, sources: Sources): StepLines {
  let lines = known.get(step);
  if (lines === undefined) known.set(step, lines = lookUp(step, sources));
  return lines;
}

/** Returns the lines of a side at the current step; if it does not act there, where it acted last. */
export function linesNear(
  { recording, position }: Player,
  sources: Sources,
  side: Side,
): readonly SourceLine[] {
  const first = Math.max(recording.first, position - REACH);
  for (let i = position; i >= first; i--) {
    const lines = linesOf(recording.at(i)!, sources)[side];
    if (lines.length > 0) return lines;
  }
  return NONE;
}

function lookUp(step: Step, sources: Sources): StepLines {
  const lines: SourceLine[] = [];
  for (const place of [step.source, step.model]) {
    const line = place && sources.find(place);
    if (line !== undefined) lines.push(line);
  }
  if (step.stack !== undefined) lines.push(...sources.places(step.stack));
  return {
    driver: lines.filter(({ file }) => !MODEL.test(file)),
    model: lines.filter(({ file }) => MODEL.test(file)),
  };
}
