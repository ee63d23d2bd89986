/**
 * The marks in front of a step in the list.
 *
 * @module
 */

import type { Step } from "../../recording/step.ts";
import { ACTOR_WORDS, KINDS } from "../kinds.ts";

/** Port, and the symbol of the kind. */
export function StepMarks({ step }: { step: Step }) {
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
