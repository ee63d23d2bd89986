/**
 * A form that selects a descriptor by its ring and index.
 *
 * @module
 */

import { useState } from "preact/hooks";
import { type DescriptorName, isSameRing, selection } from "../selection.ts";
import type { RingState } from "./ring_state.ts";

interface FindDescriptorProps {
  readonly states: readonly RingState[];
  readonly selected: DescriptorName | undefined;
}

/** The form. A ring or an index that is entered is selected at once. */
export function FindDescriptor({ states, selected }: FindDescriptorProps) {
  const [chosen, setChosen] = useState(0);
  const current = selected && states.findIndex(({ name }) => isSameRing(name, selected));
  const ring = Math.max(0, Math.min(current ?? chosen, states.length - 1));
  const select = (state: RingState, index: number) => {
    if (!Number.isInteger(index) || index < 0) return selection.selectDescriptor(undefined);
    selection.selectDescriptor({ ...state.name, index: Math.min(index, state.entries - 1) });
  };
  return (
    <form class="find-descriptor" onSubmit={(event) => event.preventDefault()}>
      <label>
        Descriptor{" "}
        <input
          type="number"
          min={0}
          max={states[ring].entries - 1}
          placeholder="17"
          value={selected?.index ?? ""}
          onInput={({ currentTarget }) => select(states[ring], currentTarget.valueAsNumber)}
        />
      </label>
      <label>
        of{" "}
        <select
          aria-label="Ring"
          value={String(ring)}
          onChange={({ currentTarget }) => {
            const number = Number(currentTarget.value);
            setChosen(number);
            if (selected !== undefined) select(states[number], selected.index);
          }}
        >
          {states.map(({ name: { ring, queue, port } }, i) => (
            <option key={i} value={String(i)}>{ring.toUpperCase()} {queue} · port {port}</option>
          ))}
        </select>
      </label>
    </form>
  );
}
