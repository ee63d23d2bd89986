/**
 * The timeline's drawing: a lane for each actor, and one for what is rare and must be seen.
 *
 * @module
 */

import type { Recording } from "../recording/recording.ts";
import { ACTORS, GROUPS, KINDS } from "./kinds.ts";
import { lengthOf } from "./runs.ts";
import type { StepIndex } from "./step_index.ts";

/** Height of a lane in CSS pixels. */
const LANE = 11;
/** Lanes: marks, then one for each actor. */
const LANES = 1 + ACTORS.length;

/** Groups that the lane of marks shows, by shape as well as by colour. */
const MARKED = ["interrupt", "drop", "violation"];

/** The narrowest step that a gap sets off from the next one, in columns. */
const LEAST_WIDTH = 3;

/**
 * Draws all steps. Where several steps share a column of pixels, the group that comes last in
 * {@linkcode GROUPS}, `idle` aside, is seen.
 */
export function drawTimeline(
  canvas: HTMLCanvasElement,
  recording: Recording,
  index: StepIndex,
): void {
  const width = Math.max(1, Math.floor(canvas.clientWidth));
  const scale = devicePixelRatio;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(LANES * LANE * scale);
  const context = canvas.getContext("2d")!;
  context.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const colours = GROUPS.map((group) => style.getPropertyValue(`--group-${group}`));
  lanesOf(recording, index, width).forEach((columns, lane) => {
    columns.forEach((group, x) => {
      if (group === 0) return;
      context.fillStyle = colours[group - 1];
      if (lane === 0) drawMark(context, GROUPS[group - 1], x + 0.5);
      else context.fillRect(x, lane * LANE + 1, 1, LANE - 2);
    });
  });
}

/** For each lane and column of pixels the group that is seen, plus one; 0 for none. */
function lanesOf(recording: Recording, index: StepIndex, width: number): Uint8Array[] {
  const lanes = Array.from({ length: LANES }, () => new Uint8Array(width));
  const scale = width / index.units;
  for (const run of index.runs) {
    const each = run.units / lengthOf(run) * scale;
    const gap = each >= LEAST_WIDTH ? 1 : 0;
    for (let i = run.from; i <= run.to; i++) {
      const { kind, actor } = recording.at(i)!;
      const { group } = KINDS[kind];
      const number = GROUPS.indexOf(group) + 1;
      const left = run.unit * scale + (i - run.from) * each;
      const first = Math.floor(left);
      const end = Math.max(first + 1, Math.floor(left + each) - gap);
      const lane = lanes[1 + ACTORS.indexOf(actor)];
      for (let x = first; x < end; x++) {
        if (lane[x] === 0 || group !== "idle" && number > lane[x]) lane[x] = number;
      }
      const middle = (first + end) >>> 1;
      if (MARKED.includes(group)) lanes[0][middle] = Math.max(lanes[0][middle], number);
    }
  }
  return lanes;
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
