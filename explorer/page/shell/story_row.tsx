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
import { ACTOR_WORDS, KINDS } from "../kinds.ts";
import type { Row } from "../step_index.ts";

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
          <Marks step={step} />
          <StepText step={step} />
        </div>
      );
    }
    const last = recording.at(row.to)!;
    const count = row.to - row.from + 1;
    const inside = current >= 0 && !row.open;
    return (
      <div
        id={id}
        class={`row run ${inside ? "current" : ""}`}
        role="option"
        aria-selected={inside}
        onClick={() => moveTo(explorer, row.from)}
      >
        <Marks step={step} />
        <span class="title">{runTitle(step, last)}</span>
        <button
          type="button"
          aria-expanded={row.open}
          title={row.open ? "Fold these steps" : "Unfold these steps"}
          onClick={(event) => {
            event.stopPropagation();
            explorer.toggleRun(row.from);
          }}
        >
          {row.open ? "▾" : "▸"} {inside ? `${current - row.from + 1}/${count}` : `${count} steps`}
        </button>
      </div>
    );
  }, [explorer, row, number, current, row.type === "run" ? row.to : 0]);
}

function Marks({ step }: { step: Step }) {
  const { symbol, words, group } = KINDS[step.kind];
  return (
    <>
      <span class="port" title={`port ${step.port}`}>{step.port}</span>
      <span
        class={`symbol ${group}`}
        role="img"
        aria-label={words}
        title={`${ACTOR_WORDS[step.actor]}: ${words}`}
      >
        {symbol}
      </span>
    </>
  );
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

/** What a run is called: `write MTA[0…127]`, `RX descriptors 0…63`. */
function runTitle(first: Step, last: Step): string {
  const { register, descriptor } = first;
  if (register !== undefined) {
    const index = register.index === last.register!.index
      ? ""
      : `[${register.index}…${last.register!.index}]`;
    return `${first.kind} ${register.name}${index}`;
  }
  return `${descriptor!.ring.toUpperCase()} descriptors ${descriptor!.index}…${
    last.descriptor!.index
  }`;
}
