/**
 * A row of the pool's cells: one path for each state, so that a step changes few elements.
 *
 * @module
 */

import { memo } from "../memo.ts";
import { BUFFER_LOOKS } from "./pool_state.ts";

/** Width and height of a cell, which has a shape of 10 by 10 in its middle. */
export const CELL = 12;
const MARGIN = 1;

interface PoolRowProps {
  /** Number of the row from the top. */
  readonly row: number;
  /** The state of each buffer, a digit each. */
  readonly states: string;
}

/** A row of cells. */
export const PoolRow = memo(({ row, states }: PoolRowProps) => (
  <g transform={`translate(0 ${row * CELL})`}>
    {BUFFER_LOOKS.map(({ name, shape }, state) => {
      const cells = [...states].flatMap((digit, i) =>
        Number(digit) === state ? [i] : []
      );
      const path = cells.map((i) => `M${i * CELL + MARGIN},${MARGIN}${shape}`).join("");
      return <path key={name} class={`buffer-${name}`} fill-rule="evenodd" d={path} />;
    })}
  </g>
));
