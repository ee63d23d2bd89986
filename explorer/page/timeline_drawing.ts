/**
 * The timeline's drawing: a lane for each actor, and one for what is rare and must be seen.
 *
 * @module
 */

import type { Recording } from "../recording/recording.ts";
import { ACTORS, GROUPS, KINDS } from "./kinds.ts";
import { lengthOf, unitsOf } from "./runs.ts";
import type { StepIndex } from "./step_index.ts";

/** Height of a lane in CSS pixels. */
export const LANE = 11;
/** Lanes: marks, then one for each actor. */
export const LANES = 1 + ACTORS.length;

/** Groups that the lane of marks shows, by shape as well as by colour. */
const MARKED = ["interrupt", "drop", "violation"];

/**
 * Draws all steps. Where several steps share a column of pixels, the group that comes last in
 * {@linkcode GROUPS}, `idle` aside, is seen.
 */
export function drawTimeline(
  canvas: HTMLCanvasElement,
  recording: Recording,
  index: StepIndex,
): void {
  const width = canvas.clientWidth;
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(LANES * LANE * scale);
  const context = canvas.getContext("2d")!;
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colours = GROUPS.map((group) => style.getPropertyValue(`--group-${group}`));
  const columns = columnsOf(recording, index, Math.max(1, Math.floor(width)));
  const step = width / columns.count;
  const bar = columns.count < width / 3 ? step - 1 : step; // a gap where there is room for it
  for (let lane = 1; lane < LANES; lane++) {
    for (let x = 0; x < columns.count; x++) {
      const group = columns.groups[lane * columns.count + x];
      if (group === 0) continue;
      context.fillStyle = colours[group - 1];
      context.fillRect(x * step, lane * LANE + 1, bar, LANE - 2);
    }
  }
  for (let x = 0; x < columns.count; x++) {
    const group = columns.groups[x];
    if (group === 0) continue;
    context.fillStyle = colours[group - 1];
    drawMark(context, GROUPS[group - 1], (x + 0.5) * step);
  }
}

/** For each lane and column the group that is seen, plus one; 0 for none. */
interface Columns {
  readonly count: number;
  readonly groups: Uint8Array;
}

function columnsOf(recording: Recording, index: StepIndex, most: number): Columns {
  const count = Math.max(1, Math.min(index.units, most));
  const groups = new Uint8Array(LANES * count);
  const scale = count / index.units;
  for (const run of index.runs) {
    const each = unitsOf(run) / lengthOf(run);
    for (let i = run.from; i <= run.to; i++) {
      const { kind, actor } = recording.at(i)!;
      const { group } = KINDS[kind];
      const column = Math.floor((run.unit + (i - run.from) * each) * scale);
      const at = (1 + ACTORS.indexOf(actor)) * count + column;
      const number = GROUPS.indexOf(group) + 1;
      if (groups[at] === 0 || group !== "idle" && number > groups[at]) groups[at] = number;
      if (MARKED.includes(group)) groups[column] = Math.max(groups[column], number);
    }
  }
  return { count, groups };
}

/** Draws a cross for a dropped frame, a triangle for a broken rule, a circle for an interrupt. */
function drawMark(context: CanvasRenderingContext2D, group: string, x: number): void {
  const r = LANE / 2 - 1.5;
  const y = LANE / 2;
  context.beginPath();
  if (group === "interrupt") {
    context.arc(x, y, r, 0, 2 * Math.PI);
    context.fill();
  } else if (group === "violation") {
    context.moveTo(x, y - r);
    context.lineTo(x + r, y + r);
    context.lineTo(x - r, y + r);
    context.fill();
  } else {
    context.moveTo(x - r, y - r);
    context.lineTo(x + r, y + r);
    context.moveTo(x + r, y - r);
    context.lineTo(x - r, y + r);
    context.lineWidth = 2;
    context.strokeStyle = context.fillStyle;
    context.stroke();
  }
}
