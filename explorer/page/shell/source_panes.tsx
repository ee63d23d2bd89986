/**
 * The source of driver and device, at the lines that act in the current step.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import { type SourceLine, Sources } from "../../recording/sources.ts";
import type { Step } from "../../recording/step.ts";
import { type Player, usePlayer } from "../player.ts";
import { SourcePane } from "./source_pane.tsx";

/** Two panes: the driver's source, and that of the software NIC. */
export function SourcePanes({ player }: { player: Player }) {
  const { step } = usePlayer(player);
  const [sources, setSources] = useState<Sources>();
  const [error, setError] = useState("");
  useEffect(() => {
    Sources.load(location.href).then(setSources, ({ message }: Error) => setError(message));
  }, []);
  if (sources === undefined) {
    return (
      <section class="panel source" aria-label="Source">
        <header>
          <h2>Source</h2>
        </header>
        <p class="empty">{error || "Loading …"}</p>
      </section>
    );
  }
  const { driver, model } = linesOf(step, sources);
  return (
    <>
      <SourcePane title="Driver" sources={sources} lines={driver} />
      <SourcePane title="Software NIC" sources={sources} lines={model} />
    </>
  );
}

/** The lines of each side that a step is at, the innermost function first. */
interface StepLines {
  readonly driver: readonly SourceLine[];
  readonly model: readonly SourceLine[];
}

let last: { readonly step: Step; readonly lines: StepLines } | undefined;

function linesOf(step: Step | undefined, sources: Sources): StepLines {
  if (step === undefined) return { driver: [], model: [] };
  if (last?.step === step) return last.lines;
  const lines = [step.source, step.model].flatMap((place) => {
    const line = place && sources.find(place);
    return line === undefined ? [] : [line];
  });
  if (step.stack !== undefined) lines.push(...sources.places(step.stack));
  const lineSets = {
    driver: lines.filter(({ file }) => !file.startsWith("sim/") && !isAccess(file)),
    model: lines.filter(({ file }) => file.startsWith("sim/")),
  };
  last = { step, lines: lineSets };
  return lineSets;
}

/** Whether a file only passes accesses on, or records them: nobody asks for its lines. */
function isAccess(file: string): boolean {
  return file === "src/registers.ts" || file.startsWith("explorer/") || file.startsWith("native/");
}
