/**
 * The pointers of a ring: head and tail with their names outside the circle, the driver's own indices as
 * triangles inside.
 *
 * @module
 */

import { angleOf, INNER, OUTER, point, spread, x, y } from "./geometry.ts";
import type { RingState } from "./ring_state.ts";
import { type Pointer, pointersOf } from "./words.ts";

/** Radius of names, and the least angle between two of them. */
const NAMES = 100, APART = 0.34;
/** Length of a triangle, and half its width. */
const LENGTH = 11, HALF = 5.5;
/** From a text's base line to its middle; and how far a name is from the circle at top and bottom. */
const MIDDLE = 4, LIFT = 5;
/** From this far to the side, a name begins or ends at its place. */
const SIDE = 12;
/** From this far to the side, a name has two lines, with this distance. */
const BESIDE = 60, LINE = 13;

/** The pointers of a ring. */
export function Pointers({ state, named }: { state: RingState; named: boolean }) {
  const { entries } = state, [head, tail, ...own] = pointersOf(state);
  const angles = spread(angleOf(head.index, entries), angleOf(tail.index, entries), APART);
  return (
    <g class="ring-pointers">
      {[head, tail].map((pointer, i) => (
        <g key={pointer.name} class={`pointer pointer-${pointer.mover}`}>
          <Triangle pointer={pointer} entries={entries} isInside={false} />
          {named && <Name pointer={pointer} entries={entries} angle={angles[i]} />}
        </g>
      ))}
      {own.map((pointer) => (
        <g key={pointer.name} class={`pointer pointer-${pointer.name}`}>
          <Triangle pointer={pointer} entries={entries} isInside />
        </g>
      ))}
    </g>
  );
}

interface TriangleProps {
  readonly pointer: Pointer;
  readonly entries: number;
  readonly isInside: boolean;
}

/** A triangle that points at a descriptor. */
function Triangle({ pointer, entries, isInside }: TriangleProps) {
  const { name, index, meaning } = pointer, angle = angleOf(index, entries);
  const tip = isInside ? INNER - 2 : OUTER + 2, base = isInside ? tip - LENGTH : tip + LENGTH;
  const wide = HALF / base;
  return (
    <path d={`M${point(angle, tip)}L${point(angle - wide, base)}L${point(angle + wide, base)}Z`}>
      <title>{`${name} ${index}: ${meaning}`}</title>
    </path>
  );
}

interface NameProps {
  readonly pointer: Pointer;
  readonly entries: number;
  /** Where the name is: it may have made way. */
  readonly angle: number;
}

/** The name and value of a pointer, with a line if the name has made way. At the sides in two lines. */
function Name({ pointer, entries, angle }: NameProps) {
  const { name, index } = pointer, from = angleOf(index, entries);
  const left = x(angle, NAMES), top = y(angle, NAMES), hasMoved = Math.abs(from - angle) > 0.05;
  const anchor = left > SIDE ? "start" : left < -SIDE ? "end" : "middle";
  const isBeside = Math.abs(left) > BESIDE;
  return (
    <>
      {hasMoved && (
        <path
          class="pointer-leader"
          d={`M${point(from, OUTER + LENGTH)}L${point(angle, NAMES - 3)}`}
        />
      )}
      {isBeside
        ? (
          <text x={left} y={top - 2} text-anchor={anchor}>
            {name}
            <tspan x={left} dy={LINE}>{index}</tspan>
          </text>
        )
        : (
          <text x={left} y={top + MIDDLE - LIFT * Math.cos(angle)} text-anchor={anchor}>
            {name} {index}
          </text>
        )}
    </>
  );
}
