/**
 * What the player's buttons and keys do.
 *
 * @module
 */

import type { Explorer } from "./explorer.ts";
import { JUMPS } from "./jumps.ts";
import { lastAtMost } from "./step_index.ts";

/** Forwards or backwards. */
export type Direction = 1 | -1;

/** Steps of a long way: the keys Page Up and Page Down. */
const PAGE = 20;

/** Goes on by itself at the chosen pace, or pauses. At the end, it begins again. */
export function togglePlay({ player, pace }: Explorer): void {
  if (player.speed > 0) return player.pause();
  if (player.position >= player.recording.end - 1) player.moveTo(player.recording.first);
  player.play(pace);
}

/** Moves to a step, and pauses. */
export function moveTo({ player }: Explorer, step: number): void {
  player.pause();
  player.moveTo(Math.max(player.recording.first, step));
}

/** Moves by a number of steps, and pauses. */
export function moveBy(explorer: Explorer, steps: number): void {
  moveTo(explorer, explorer.player.position + steps);
}

/** Returns the next or previous step that a jump leads to; -1 without one. */
export function jumpTarget(
  { index, player }: Explorer,
  jump: number,
  direction: Direction,
): number {
  return neighbour(index.jumpsTo(jump), player.position, direction);
}

/** Returns the next or previous step of the frame that the current step is about; -1 without one. */
export function sameFrame({ index, player }: Explorer, direction: Direction): number {
  const frame = player.step?.frame;
  return frame === undefined ? -1 : neighbour(index.stepsOf(frame), player.position, direction);
}

function neighbour(steps: readonly number[], position: number, direction: Direction): number {
  const before = lastAtMost(steps, direction > 0 ? position : position - 1, (step) => step);
  return steps[direction > 0 ? before + 1 : before] ?? -1;
}

/** Unfolds the run of the current step, or folds it. */
function toggleRun(explorer: Explorer): void {
  const { index, player } = explorer;
  const run = index.runs[lastAtMost(index.runs, player.position, ({ from }) => from)];
  if (run !== undefined && run.period > 0) explorer.toggleRun(run.from);
}

/** Moves to a step that may not be there: -1. */
export function moveToFound(explorer: Explorer, step: number): void {
  if (step >= 0) moveTo(explorer, step);
}

/** A command that a key has. */
export interface Command {
  /** Keys by the browser's names; `Shift+` in front of a letter if Shift is held. */
  readonly keys: readonly string[];
  readonly words: string;
  readonly run: (explorer: Explorer) => void;
}

/** All commands, in the order of the help. */
export const COMMANDS: readonly Command[] = [
  { keys: [" "], words: "play or pause", run: togglePlay },
  { keys: ["ArrowRight", "ArrowDown"], words: "next step", run: (e) => moveBy(e, 1) },
  { keys: ["ArrowLeft", "ArrowUp"], words: "previous step", run: (e) => moveBy(e, -1) },
  { keys: ["PageDown"], words: `${PAGE} steps forward`, run: (e) => moveBy(e, PAGE) },
  { keys: ["PageUp"], words: `${PAGE} steps back`, run: (e) => moveBy(e, -PAGE) },
  { keys: ["Home"], words: "first step", run: (e) => moveTo(e, 0) },
  { keys: ["End"], words: "last step", run: (e) => moveTo(e, Infinity) },
  ...JUMPS.flatMap(({ key, label }, i) => [
    {
      keys: [key],
      words: `next ${label}`,
      run: (e: Explorer) => moveToFound(e, jumpTarget(e, i, 1)),
    },
    {
      keys: [`Shift+${key.toUpperCase()}`],
      words: `previous ${label}`,
      run: (e: Explorer) => moveToFound(e, jumpTarget(e, i, -1)),
    },
  ]),
  { keys: ["n"], words: "next step of this frame", run: (e) => moveToFound(e, sameFrame(e, 1)) },
  {
    keys: ["Shift+N"],
    words: "previous step of this frame",
    run: (e) => moveToFound(e, sameFrame(e, -1)),
  },
  { keys: ["u"], words: "unfold or fold the steps that repeat", run: toggleRun },
  {
    keys: ["."],
    words: "next step of the lesson",
    run: (e) => e.showLessonStep((e.lesson?.current ?? 0) + 1),
  },
  {
    keys: [","],
    words: "previous step of the lesson",
    run: (e) => e.showLessonStep((e.lesson?.current ?? 0) - 1),
  },
];

/** Elements that have a use of their own for letters, arrows or the space bar. */
const OWN_KEYS = "input:not([type=checkbox]), select, textarea, dialog";
/** Elements that arrows scroll, if one has come to them by keyboard, and not by a click. */
const SCROLLING = ".code:focus-visible, .detail-body:focus-visible, .tab-panel:focus-visible";

/** Runs the command that a key has. Returns whether it has one here. */
export function runKey(explorer: Explorer, event: KeyboardEvent): boolean {
  if (event.defaultPrevented) return false; // such as an arrow in a row of tabs
  if (event.ctrlKey || event.altKey || event.metaKey) return false;
  const target = event.target as Element;
  if (target.closest(OWN_KEYS) || target.matches(SCROLLING)) return false;
  if (event.key === " " && target.closest("button, summary, a, input")) return false;
  const key = event.shiftKey && /^[A-Z]$/.test(event.key) ? `Shift+${event.key}` : event.key;
  const command = COMMANDS.find(({ keys }) => keys.includes(key));
  command?.run(explorer);
  return command !== undefined;
}
