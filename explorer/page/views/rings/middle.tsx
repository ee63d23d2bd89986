/**
 * The text in the middle of a ring: its name, descriptors by owner, and the driver's own indices.
 *
 * @module
 */

import { OWNERS, type RingState } from "./ring_state.ts";
import { pointersOf } from "./words.ts";

/** Distance between lines. */
const LINE = 15;

/** The text in the middle; only the name if the circle is small. */
export function Middle({ state, isSmall }: { state: RingState; isSmall: boolean }) {
  const { name, entries, runs } = state, title = `${name.ring.toUpperCase()} ${name.queue}`;
  if (isSmall) {
    return (
      <g class="ring-middle ring-middle-small">
        <text class="ring-name">{title}</text>
        <text y={2 * LINE}>{runs ? `of ${entries}` : "off"}</text>
      </g>
    );
  }
  const lines = runs ? linesOf(state) : ["not enabled"];
  const top = 4 - lines.length * LINE / 2;
  return (
    <g class="ring-middle">
      <text class="ring-name" y={top}>{title}</text>
      {lines.map((line, i) => <text key={i} y={top + (i + 1) * LINE + 2}>{line}</text>)}
    </g>
  );
}

/** Counts by owner, and the indices that have no name at the circle. */
function linesOf(state: RingState): string[] {
  const owners = OWNERS.filter((owner) => state.counts[owner] > 0);
  const [, , ...own] = pointersOf(state);
  return [
    ...owners.map((owner) => `${state.counts[owner]} ${owner}`),
    ...own.map(({ name, index }) => `${name === "next" ? "▲" : "△"} ${name} ${index}`),
  ];
}
