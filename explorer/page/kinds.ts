/**
 * How kinds of steps look: a symbol, words, and the group that gives the colour.
 *
 * @module
 */

import type { Actor, Kind } from "../recording/step.ts";

/** Groups of kinds. The style sheet has a colour for each: `--group-register` and so on. */
export const GROUPS = [
  "program",
  "register",
  "descriptor",
  "memory",
  "frame",
  "interrupt",
  "drop",
  "violation",
  "idle",
] as const;
/** A group of kinds. */
export type Group = typeof GROUPS[number];

/** What each group is, for the legend. */
export const GROUP_WORDS: Readonly<Record<Group, string>> = {
  program: "call of the driver",
  register: "register access",
  descriptor: "descriptor",
  memory: "buffer and DMA",
  frame: "frame",
  interrupt: "interrupt",
  drop: "dropped frame",
  violation: "broken rule",
  idle: "nothing to do",
};

/** How a kind looks. */
interface KindLook {
  readonly symbol: string;
  readonly words: string;
  readonly group: Group;
}

/** How each kind looks. */
export const KINDS: Readonly<Record<Kind, KindLook>> = {
  call: { symbol: "▸", words: "call", group: "program" },
  return: { symbol: "◂", words: "return", group: "program" },
  read: { symbol: "R", words: "register read", group: "register" },
  write: { symbol: "W", words: "register write", group: "register" },
  configuration: { symbol: "C", words: "PCI configuration", group: "register" },
  arm: { symbol: "✎", words: "descriptor written", group: "descriptor" },
  look: { symbol: "◉", words: "descriptor looked at", group: "descriptor" },
  touch: { symbol: "✱", words: "packet touched", group: "memory" },
  free: { symbol: "○", words: "buffer freed", group: "memory" },
  arrive: { symbol: "→", words: "frame arrives", group: "frame" },
  decide: { symbol: "?", words: "filters decide", group: "frame" },
  drop: { symbol: "✕", words: "frame dropped", group: "drop" },
  wait: { symbol: "…", words: "frame waits", group: "frame" },
  fetch: { symbol: "⇣", words: "descriptor fetched", group: "descriptor" },
  "dma-write": { symbol: "⇡", words: "DMA write", group: "memory" },
  "dma-read": { symbol: "⇣", words: "DMA read", group: "memory" },
  "write-back": { symbol: "✓", words: "write-back", group: "descriptor" },
  send: { symbol: "←", words: "frame sent", group: "frame" },
  cause: { symbol: "!", words: "interrupt cause", group: "interrupt" },
  interrupt: { symbol: "↯", words: "interrupt", group: "interrupt" },
  violation: { symbol: "⚠", words: "broken rule", group: "violation" },
  idle: { symbol: "·", words: "nothing to do", group: "idle" },
};

/** Actors in the order of their lanes. */
export const ACTORS: readonly Actor[] = ["program", "driver", "device", "wire"];

/** What actors are called. */
export const ACTOR_WORDS: Readonly<Record<Actor, string>> = {
  program: "Program",
  driver: "Driver",
  device: "Device",
  wire: "Wire",
};
