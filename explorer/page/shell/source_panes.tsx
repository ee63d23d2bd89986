/**
 * The source of driver and device, at the lines that act in the current step.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import type { LessonStep } from "../../recording/lesson.ts";
import { Sources } from "../../recording/sources.ts";
import { type Player, usePlayer } from "../player.ts";
import { linesNear, linesOf, type Side } from "../step_lines.ts";
import { SourcePane } from "./source_pane.tsx";

interface SourcePanesProps {
  readonly player: Player;
  readonly look: LessonStep["look"];
}

/** Two panes: the driver's source, and that of the software NIC. */
export function SourcePanes({ player, look }: SourcePanesProps) {
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
  const side = (name: Side, title: string, absent: string) => (
    <SourcePane
      title={title}
      sources={sources}
      lines={linesNear(player, sources, name)}
      looked={look === "source"}
      absent={absent}
      acts={step !== undefined && linesOf(step, sources)[name].length > 0}
    />
  );
  return (
    <>
      {side("driver", "Driver", "The line of the driver that acts is shown here.")}
      {side(
        "model",
        "Software NIC",
        "The line of the NIC's model is shown here in steps in which it acts: a register that has an " +
          "effect, a frame, a DMA, a write-back.",
      )}
    </>
  );
}
