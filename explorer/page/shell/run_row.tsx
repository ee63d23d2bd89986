/**
 * The row of a run: register accesses that repeat.
 *
 * @module
 */

import type { Recording } from "../../recording/recording.ts";
import { moveTo } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import { lengthOf, type Run } from "../runs.ts";
import type { Row } from "../step_index.ts";
import { StepMarks } from "./step_marks.tsx";

interface RunRowProps {
  readonly explorer: Explorer;
  readonly row: Row & { readonly type: "run" };
  readonly id: string;
  /** The step that is shown, if it is in this run; otherwise -1. */
  readonly current: number;
}

/** What repeats, how many steps it is, and what unfolds it. */
export function RunRow({ explorer, row: { run, open, from }, id, current }: RunRowProps) {
  const { recording } = explorer.player;
  const isCurrent = current >= 0;
  const length = lengthOf(run);
  const title = runTitle(recording, run);
  return (
    <div
      id={id}
      class={`row run ${isCurrent ? "current" : ""}`}
      role="option"
      aria-selected={isCurrent}
      onClick={() => moveTo(explorer, from)}
    >
      <StepMarks step={recording.at(from)!} />
      <span class="title" title={title}>{title}</span>
      {/* No button: an option contains nothing to focus. A key of the page unfolds its run. */}
      <span
        class="fold"
        title={`${open ? "Fold" : "Unfold"} these steps (u)`}
        onClick={(event) => {
          event.stopPropagation();
          explorer.toggleRun(from);
        }}
      >
        {open ? "▾" : "▸"} {isCurrent ? `${current - from + 1}/${length}` : `${length} steps`}
      </span>
    </div>
  );
}

/** Returns what a run is called: `write MTA[0…127]`, `read RXDCTL, TXDCTL[0…127]`. */
function runTitle(recording: Recording, run: Run): string {
  const { from, period } = run;
  const repeated = Array.from({ length: period }, (_, i) => recording.at(from + i)!);
  const words = repeated.map(({ kind, register }, i) =>
    kind === repeated[i - 1]?.kind ? register!.name : `${kind} ${register!.name}`
  );
  const times = Math.floor((lengthOf(run) - 1) / period);
  const first = repeated[0].register!.index;
  const last = recording.at(from + times * period)!.register!.index;
  return words.join(", ") + (first === last ? "" : `[${first}…${last}]`);
}
