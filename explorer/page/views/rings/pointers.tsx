/**
 * The pointers of a ring: head and tail outside the circle, the driver's own indices inside.
 *
 * @module
 */

import { angleOf, INNER, OUTER, point, spread, x, y } from "./geometry.ts";
import type { RingState } from "./ring_state.ts";
import { type Pointer, pointersOf } from "./words.ts";

/** Radii of names outside and inside, and the least angle between two names. */
const OUTSIDE = 128, INSIDE = 58, APART_OUTSIDE = 0.42, APART_INSIDE = 0.7;
/** Size of a triangle. */
const LONG = 11, WIDE = 0.055;

/** The pointers of a ring. */
export function Pointers({ state, named }: { state: RingState; named: boolean }) {
  const pointers = pointersOf(state);
  const isOutside = ({ isRegister, mover }: Pointer) => isRegister || mover === "device";
  const outside = pointers.filter((p) => isOutside(p) || p.name === "available");
  const inside = pointers.filter((p) => !outside.includes(p));
  return (
    <g class="ring-pointers">
      <Side pointers={outside} entries={state.entries} named={named} isInside={false} />
      <Side pointers={inside} entries={state.entries} named={named} isInside />
    </g>
  );
}

interface SideProps {
  readonly pointers: readonly Pointer[];
  readonly entries: number;
  readonly named: boolean;
  readonly isInside: boolean;
}

function Side({ pointers, entries, named, isInside }: SideProps) {
  const angles = pointers.map(({ index }) => angleOf(index, entries));
  const labels = spread(angles, isInside ? APART_INSIDE : APART_OUTSIDE);
  const radius = isInside ? INSIDE : OUTSIDE;
  return (
    <>
      {pointers.map((pointer, i) => (
        <g key={pointer.name} class={`pointer pointer-${pointer.mover}`}>
          <title>{`${pointer.name} ${pointer.index}: ${pointer.meaning}`}</title>
          <path d={triangle(angles[i], isInside)} />
          {named && (
            <>
              <path class="pointer-leader" d={leader(angles[i], labels[i], isInside)} />
              <text x={x(labels[i], radius)} y={y(labels[i], radius) + 4}>
                {pointer.name} {pointer.index}
              </text>
            </>
          )}
        </g>
      ))}
    </>
  );
}

/** A triangle that points at the circle. */
function triangle(angle: number, isInside: boolean): string {
  const tip = isInside ? INNER - 2 : OUTER + 2, base = isInside ? tip - LONG : tip + LONG;
  const wide = isInside ? WIDE * 1.5 : WIDE;
  return `M${point(angle, tip)}L${point(angle - wide, base)}L${point(angle + wide, base)}Z`;
}

/** A line from a triangle to its name, if the name had to make way. */
function leader(from: number, to: number, isInside: boolean): string {
  if (Math.abs(from - to) < 0.05) return "";
  const base = isInside ? INNER - 2 - LONG : OUTER + 2 + LONG;
  return `M${point(from, base)}L${point(to, isInside ? base - 2 : base + 3)}`;
}
