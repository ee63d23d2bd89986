/**
 * What the player can jump to, forwards and backwards.
 *
 * @module
 */

import type { Step } from "../recording/step.ts";

/** A kind of place to jump to. */
interface Jump {
  readonly id: string;
  readonly label: string;
  /** The key that goes to the next one; with Shift, to the previous one. */
  readonly key: string;
  readonly matches: (step: Step) => boolean;
}

/** All kinds of places to jump to, in the order of the buttons. */
export const JUMPS: readonly Jump[] = [
  { id: "call", label: "call", key: "c", matches: ({ kind }) => kind === "call" },
  { id: "register", label: "register", key: "r", matches: (step) => step.register !== undefined },
  {
    id: "frame",
    label: "frame",
    key: "f",
    matches: ({ kind }) => kind === "arrive" || kind === "send",
  },
  { id: "drop", label: "drop", key: "d", matches: ({ kind }) => kind === "drop" },
  {
    id: "interrupt",
    label: "interrupt",
    key: "i",
    matches: ({ kind }) => kind === "cause" || kind === "interrupt",
  },
  { id: "violation", label: "broken rule", key: "v", matches: ({ kind }) => kind === "violation" },
];
