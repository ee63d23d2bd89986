/**
 * The legend of owners.
 *
 * @module
 */

import { patternOf } from "./patterns.tsx";
import { OWNERS, type OwnerWord } from "./ring_state.ts";

type Meanings = Readonly<Record<OwnerWord, string>>;

const OF_RINGS: Meanings = {
  driver: "empty, the driver's",
  armed: "awaits the tail",
  device: "from head to tail",
  done: "DD set, not seen",
};
const OF_VIRTQUEUES: Meanings = {
  driver: "not in the available ring",
  armed: "written, not available",
  device: "available, the device's",
  done: "in the used ring",
};

interface LegendProps {
  readonly hasVirtqueues: boolean;
  /** Whether the driver's own indices are known. */
  readonly hasOwn: boolean;
}

/** What colours and patterns of descriptors mean, and the triangles inside a circle. */
export function Legend({ hasVirtqueues, hasOwn }: LegendProps) {
  const meanings = hasVirtqueues ? OF_VIRTQUEUES : OF_RINGS;
  return (
    <ul class="legend" aria-label="Owners of descriptors">
      {OWNERS.map((owner) => (
        <li key={owner}>
          <svg class="swatch" viewBox="0 0 16 16" aria-hidden="true">
            <rect class={`owner-${owner}`} width="16" height="16" />
            <rect class="pattern" width="16" height="16" fill={patternOf(owner)} />
          </svg>
          <b>{owner}</b> {meanings[owner]}
        </li>
      ))}
      {hasOwn && (
        <>
          <li>
            <span class="own-sign">▲</span> <b>next</b> driver looks next
          </li>
          <li>
            <span class="own-sign">△</span> <b>fill</b> driver writes next
          </li>
        </>
      )}
    </ul>
  );
}
