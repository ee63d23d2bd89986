/**
 * What becomes of a frame, as steps: the filters' decision, and why a frame is dropped.
 *
 * @module
 */

import type { Fate } from "../../../sim/rx/fate.ts";
import type { Decision } from "../../recording/step.ts";
import type { Entry } from "../journal.ts";
import { FATE_PLACES } from "./places.ts";

/** The part of a step that a frame's fate gives. */
type Part = Pick<Entry, "kind" | "title" | "why" | "section" | "decision" | "source">;

/** Returns the step for the device's decision to take a frame for a queue; undefined if it refuses it. */
export function decisionOf({ filter, choice }: Fate): Part | undefined {
  if (filter === undefined || choice === undefined) return undefined;
  // The queue is of interest where something chose it; else the filter is.
  const main = choice.hash === undefined ? filter : choice;
  return {
    kind: "decide",
    title: `accepted by ${filter.by}, queue ${choice.queue}`,
    why: `${filter.reason} ${choice.reason}`,
    section: main.section,
    decision: { by: main.by, reason: main.reason, section: main.section },
    source: FATE_PLACES.accepted,
  };
}

/** Returns the step for a frame that is dropped; undefined if it is not. */
export function dropOf(fate: Fate): Part | undefined {
  const { verdict, by, reason, section } = fate;
  if (verdict === "accepted" || verdict === "waits") return undefined;
  const title = `dropped by ${by}: ${verdict}`;
  const source = FATE_PLACES[verdict];
  return { kind: "drop", title, why: reason, section, decision: reasonOf(fate), source };
}

/** Returns the reason of a fate. */
export function reasonOf({ by, reason, section }: Fate): Decision {
  return { by, reason, section };
}
