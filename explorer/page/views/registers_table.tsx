/**
 * The registers of a port at the current step: those that were accessed or differ from their value after
 * reset, or those that a search finds.
 *
 * @module
 */

import { useCallback, useState } from "preact/hooks";
import { type Player, usePlayer } from "../player.ts";
import { RecordingIndex } from "./recording_index.ts";
import { RegisterRows } from "./register/register_list.tsx";
import { registerRows } from "./register/register_rows.ts";
import { hasRegisters, sceneOf } from "./scene.ts";

/** The registers of a port. */
export function RegistersTable({ player }: { player: Player }) {
  usePlayer(player);
  const [search, setSearch] = useState("");
  const [chosen, setPort] = useState(0);
  const showNext = useCallback((name: string, index: number | undefined) => {
    const { recording, position } = player;
    const step = RecordingIndex.of(recording).nextAccess(chosen, name, index, position);
    if (step < 0) return;
    player.pause();
    player.moveTo(step);
  }, [player, chosen]);
  const scene = sceneOf(player), { recording, position, begin } = player;
  const port = Math.min(chosen, Math.max(0, begin.ports.length - 1));
  if (!hasRegisters(scene, port)) {
    return <p class="nothing">The registers of this device are not recorded.</p>;
  }
  const index = RecordingIndex.of(recording);
  const rows = registerRows(scene, index, position, port, search);
  return (
    <div class="registers">
      <form onSubmit={(event) => event.preventDefault()}>
        <input
          type="search"
          placeholder="Name, section, field or meaning: RDT, 8.2.3.8, tail"
          aria-label="Search registers"
          value={search}
          onInput={({ currentTarget }) => setSearch(currentTarget.value)}
          onKeyDown={(event) => event.stopPropagation()} // the page's keys are letters
        />
        {begin.ports.length > 1 && (
          <select
            aria-label="Port"
            value={String(port)}
            onChange={({ currentTarget }) => setPort(Number(currentTarget.value))}
          >
            {begin.ports.map((_, i) => <option key={i} value={String(i)}>port {i}</option>)}
          </select>
        )}
      </form>
      {rows.length === 0 ? <p class="nothing">{nothing(search)}</p> : (
        <RegisterRows
          rows={rows}
          hasCounts={index.hasAccesses}
          onShow={index.hasAccesses ? showNext : undefined}
        />
      )}
      {index.hasAccesses && (
        <p class="register-counts">
          Click on a name to see its next access. Reads and writes are those of the driver up to
          this step
          {index.from > 0 && `, from step ${index.from + 1} on: older steps are gone`}.
        </p>
      )}
    </div>
  );
}

function nothing(search: string): string {
  if (search.trim() !== "") {
    return `No register has "${search.trim()}" in name, section or meaning.`;
  }
  return "No register was accessed yet, and none differs from its value after reset.";
}
