/**
 * Two drivers' uses of registers as a table.
 *
 * @module
 */

import { useEffect, useRef } from "preact/hooks";
import { registerNamed } from "../register/fields.ts";
import type { Comparison, Usage } from "./usage.ts";

interface ComparisonTableProps {
  readonly rows: readonly Comparison[];
  /** Name of the register that the current step accesses. */
  readonly current: string | undefined;
  /** Called with the number of a step of the trace that is to be shown. */
  readonly onShow: (step: number) => void;
}

/** The table. It scrolls to the register of the current step. */
export function ComparisonTable({ rows, current, onShow }: ComparisonTableProps) {
  const row = useRef<HTMLTableRowElement>(null);
  useEffect(() => row.current?.scrollIntoView({ block: "nearest" }), [current]);
  return (
    <table class="uses">
      <thead>
        <tr>
          <th scope="col" rowSpan={2}>Register</th>
          <th scope="colgroup" colSpan={3}>The trace</th>
          <th scope="colgroup" colSpan={3}>This driver</th>
          <th scope="col" rowSpan={2}>Meaning</th>
        </tr>
        <tr>
          <UseHeads />
          <UseHeads />
        </tr>
      </thead>
      <tbody>
        {rows.map(({ name, theirs, ours }) => (
          <tr
            key={name}
            ref={name === current ? row : null}
            class={name === current ? "changed" : ""}
          >
            <th scope="row">
              {theirs === undefined ? name : (
                <button
                  type="button"
                  title="Show its first access in the trace"
                  onClick={() => onShow(theirs.first)}
                >
                  {name}
                </button>
              )}
            </th>
            <Uses usage={theirs} />
            <Uses usage={ours} />
            <td class="meaning">{registerNamed(name)?.meaning}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function UseHeads() {
  return (
    <>
      <th scope="col" class="number">read</th>
      <th scope="col" class="number">written</th>
      <th scope="col" class="number" title="Place in the order of first writes">order</th>
    </>
  );
}

/** How one driver uses a register. */
function Uses({ usage }: { usage: Usage | undefined }) {
  if (usage === undefined) return <td colSpan={3} class="unused">not used</td>;
  return (
    <>
      <td class="number">{usage.reads || ""}</td>
      <td class="number">{usage.writes || ""}</td>
      <td class="number">{usage.firstWrite?.place}</td>
    </>
  );
}
