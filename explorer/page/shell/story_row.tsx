/**
 * A row of the list of steps.
 *
 * @module
 */

import { useMemo } from "preact/hooks";
import { hex } from "../../../src/registers.ts";
import type { Step } from "../../recording/step.ts";
import { moveTo } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import type { Row } from "../step_index.ts";
import { RunRow } from "./run_row.tsx";
import { StepMarks } from "./step_marks.tsx";

interface StoryRowProps {
  readonly explorer: Explorer;
  readonly row: Row;
  readonly number: number;
  /** The step that is shown, if it is in this row; otherwise -1. */
  readonly current: number;
}

/** A chapter, a step, or a run of alike steps. */
export function StoryRow({ explorer, row, number, current }: StoryRowProps) {
  return useMemo(() => {
    const { recording } = explorer.player;
    const id = `row-${number}`;
    if (row.type === "chapter") {
      return <div class="row chapter" id={id} role="presentation">{row.title}</div>;
    }
    const step = recording.at(row.from);
    if (step === undefined) return <div class="row"></div>;
    if (row.type === "step") {
      return (
        <div
          id={id}
          class={`row ${row.inRun ? "in-run" : ""} ${current >= 0 ? "current" : ""}`}
          role="option"
          aria-selected={current >= 0}
          onClick={() => moveTo(explorer, row.from)}
        >
          <StepMarks step={step} />
          <StepText step={step} />
        </div>
      );
    }
    return <RunRow explorer={explorer} row={row} id={id} current={current} />;
  }, [explorer, row, number, current]);
}

function StepText({ step }: { step: Step }) {
  const { register, title, times = 1 } = step;
  return (
    <>
      <span class="title" title={title}>
        {title}
        {times > 1 && <small>{times} times</small>}
      </span>
      {register !== undefined && <code>{hex(register.value)}</code>}
    </>
  );
}
