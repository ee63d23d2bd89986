/**
 * The rings as a table, for readers who do not see the circles.
 *
 * @module
 */

import type { RingState } from "./ring_state.ts";
import { pointersOf, ringTitle, runsInWords } from "./words.ts";

/** A table of rings, folded until it is asked for. */
export function RingTable({ states }: { states: readonly RingState[] }) {
  return (
    <details
      class="ring-table"
      onToggle={({ currentTarget }) =>
        currentTarget.open && currentTarget.scrollIntoView({ block: "nearest" })}
    >
      <summary>The rings as a table</summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Ring</th>
            <th scope="col">Enabled</th>
            <th scope="col">Pointers</th>
            <th scope="col">Owners of descriptors</th>
          </tr>
        </thead>
        <tbody>
          {states.map((state) => (
            <tr key={ringTitle(state.name)}>
              <th scope="row">{ringTitle(state.name)}</th>
              <td>{state.runs ? "yes" : "no"}</td>
              <td>{pointersOf(state).map(({ name, index }) => `${name} ${index}`).join(", ")}</td>
              <td>{runsInWords(state)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
