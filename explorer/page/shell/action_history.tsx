/**
 * The actions so far.
 *
 * @module
 */

import { actionWords } from "../action_words.ts";
import { FIRST_EXPERIMENT } from "../first_experiment.ts";
import type { Explorer } from "../explorer.ts";

/** The list of actions; from any on they can be taken back. */
export function ActionHistory({ explorer }: { explorer: Explorer }) {
  const { experiment, busy } = explorer;
  const { actions } = experiment;
  const keep = (count: number) =>
    explorer.change({ ...experiment, actions: actions.slice(0, count) });
  return (
    <>
      <h2>So far</h2>
      <ol class="history">
        {actions.map((action, i) => (
          <li key={i}>
            <span>{actionWords(action)}</span>
            {i > 0 && (
              <button
                type="button"
                disabled={busy}
                aria-label={`Take back from here: ${actionWords(action)}`}
                title="Take back this action and those after it"
                onClick={() => keep(i)}
              >
                ×
              </button>
            )}
          </li>
        ))}
      </ol>
      <p>
        <button type="button" disabled={busy} onClick={() => keep(1)}>Only open</button>
        <button type="button" disabled={busy} onClick={() => explorer.run(FIRST_EXPERIMENT)}>
          First experiment
        </button>
      </p>
    </>
  );
}
