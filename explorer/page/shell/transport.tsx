/**
 * The player's buttons.
 *
 * @module
 */

import { moveBy, moveTo, togglePlay } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import { useObservable } from "../observable.ts";
import { usePlayer } from "../player.ts";
import { Icon } from "./icon.tsx";

/** Speeds in steps a second. */
const PACES = [1, 4, 15, 60, 240, Infinity];

/** First, back, play, forward, last, speed, and the number of the step. */
export function Transport({ explorer }: { explorer: Explorer }) {
  useObservable(explorer);
  const { speed, position, recording } = usePlayer(explorer.player);
  const atStart = position <= recording.first;
  const atEnd = position >= recording.end - 1;
  return (
    <div class="transport" role="toolbar" aria-label="Steps">
      <button
        type="button"
        disabled={atStart}
        onClick={() => moveTo(explorer, 0)}
        aria-label="First step"
        title="First step (Home)"
      >
        <Icon name="first" />
      </button>
      <button
        type="button"
        disabled={atStart}
        onClick={() => moveBy(explorer, -1)}
        aria-label="Previous step"
        title="Previous step (←)"
      >
        <Icon name="back" />
      </button>
      <button type="button" class="play" onClick={() => togglePlay(explorer)} title="Space">
        <Icon name={speed > 0 ? "pause" : "play"} /> {speed > 0 ? "Pause" : "Play"}
      </button>
      <button
        type="button"
        disabled={atEnd}
        onClick={() => moveBy(explorer, 1)}
        aria-label="Next step"
        title="Next step (→)"
      >
        <Icon name="forward" />
      </button>
      <button
        type="button"
        disabled={atEnd}
        onClick={() => moveTo(explorer, Infinity)}
        aria-label="Last step"
        title="Last step (End)"
      >
        <Icon name="last" />
      </button>
      <select
        aria-label="Speed"
        value={String(explorer.pace)}
        onChange={({ currentTarget }) => explorer.pace = Number(currentTarget.value)}
      >
        {PACES.map((pace) => (
          <option key={pace} value={String(pace)}>
            {pace === Infinity ? "as fast as it can" : `${pace} ${pace === 1 ? "step" : "steps"}/s`}
          </option>
        ))}
      </select>
      <span class="count">
        step <b>{position + 1}</b> of {recording.end}
      </span>
    </div>
  );
}
