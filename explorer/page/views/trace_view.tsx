/**
 * A trace beside the project's driver: how each uses the registers.
 *
 * @module
 */

import { useMemo, useState } from "preact/hooks";
import { type Player, usePlayer } from "../player.ts";
import { ComparisonTable } from "./trace/comparison_table.tsx";
import { useOwnDriver } from "./trace/own_driver.ts";
import { WrittenValues } from "./trace/written_values.tsx";
import { compare, type Comparison, usageOf } from "./trace/usage.ts";

/** Which registers are shown. */
const FILTERS = {
  "all registers": () => true,
  "those that both use": ({ theirs, ours }: Comparison) =>
    theirs !== undefined && ours !== undefined,
  "those of the trace only": ({ ours }: Comparison) => ours === undefined,
  "those of this driver only": ({ theirs }: Comparison) => theirs === undefined,
} satisfies Record<string, (row: Comparison) => boolean>;
type Filter = keyof typeof FILTERS;

/** The trace that the player shows, compared with this driver's initialisation. */
export function TraceView({ player }: { player: Player }) {
  const { step, recording } = usePlayer(player);
  const [filter, setFilter] = useState<Filter>("all registers");
  const own = useOwnDriver(), port = Math.max(0, step?.port ?? 0);
  const theirs = useMemo(() => {
    const numbers = Array.from({ length: recording.end - recording.first }, (_, i) => i);
    const steps = numbers.map((i) => recording.at(recording.first + i)!);
    return usageOf(steps, port, recording.first);
  }, [recording, recording.end, port]);
  const rows = useMemo(() => compare(theirs, typeof own === "object" ? own : []), [theirs, own]);
  const current = rows.find(({ name }) => name === step?.register?.name);
  return (
    <div class="trace">
      <h3>The trace's driver and this one</h3>
      <p>
        How often each reads and writes a register of port{" "}
        {port}, and in which order it writes registers for the first time. This driver opens a port;
        the trace may go on after that.
      </p>
      {own === undefined && <p role="status">This driver's initialisation is recorded …</p>}
      {typeof own === "string" && <p class="wrong" role="alert">{own}</p>}
      <select
        aria-label="Registers to show"
        value={filter}
        onChange={({ currentTarget }) => setFilter(currentTarget.value as Filter)}
      >
        {Object.keys(FILTERS).map((name) => <option key={name} value={name}>{name}</option>)}
      </select>
      <div class="uses-box" tabIndex={0} role="group" aria-label="Uses of registers">
        <ComparisonTable
          rows={rows.filter(FILTERS[filter])}
          current={step?.register?.name}
          onShow={(number) => {
            player.pause();
            player.moveTo(number);
          }}
        />
      </div>
      {current !== undefined && <WrittenValues row={current} />}
    </div>
  );
}
