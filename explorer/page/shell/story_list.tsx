/**
 * The list of all steps. Only the rows in view are in the page, so it may have any number.
 *
 * @module
 */

import { useLayoutEffect, useReducer, useRef } from "preact/hooks";
import { moveTo } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import { useObservable } from "../observable.ts";
import { usePlayer } from "../player.ts";
import { useScrollView } from "../scroll_view.ts";
import { StoryRow } from "./story_row.tsx";

/** Height of a row in CSS pixels, as the style sheet has it. */
const ROW = 21;
/** Rows beyond the view, on each side. */
const SPARE = 4;

/** Steps under their chapters. A run of alike steps is one row, which can be unfolded. */
export function StoryList({ explorer }: { explorer: Explorer }) {
  useObservable(explorer);
  const { recording, position } = usePlayer(explorer.player);
  const { rows, chapters } = explorer.index;
  const box = useRef<HTMLDivElement>(null);
  const [, draw] = useReducer((n: number, _: void) => n + 1, 0);
  const view = useScrollView(box, draw);
  const current = explorer.index.rowOf(position);
  useLayoutEffect(() => {
    if (current >= 0 && view.reveal(current * ROW, ROW, 3 * ROW, rows.length * ROW)) draw();
  }, [current, rows, view.height]);

  const first = Math.max(0, Math.floor(view.top / ROW) - SPARE);
  const last = Math.min(rows.length, Math.ceil((view.top + view.height) / ROW) + SPARE);
  return (
    <section class="panel story" aria-label="Steps">
      <header>
        <h2>What happens</h2>
        {chapters.length > 0 && (
          <select
            aria-label="Go to chapter"
            value={chapters.findLast(({ from }) => from <= position)?.from ?? ""}
            onChange={({ currentTarget }) => moveTo(explorer, Number(currentTarget.value))}
          >
            {chapters.map(({ from, title }) => <option key={from} value={from}>{title}</option>)}
          </select>
        )}
      </header>
      {recording.first > 0 && <p class="gone">The oldest {recording.first} steps are gone.</p>}
      <div
        class="rows"
        ref={box}
        role="listbox"
        tabIndex={0}
        aria-label="All steps"
        aria-activedescendant={`row-${current}`}
      >
        <div class="rows-all" style={{ height: `${rows.length * ROW}px` }}>
          <div class="rows-shown" style={{ transform: `translateY(${first * ROW}px)` }}>
            {rows.slice(first, last).map((row, i) => (
              <StoryRow
                key={`${row.type}${row.from}`}
                explorer={explorer}
                row={row}
                number={first + i}
                current={first + i === current ? position : -1}
              />
            ))}
          </div>
        </div>
      </div>
    </section>
  );
}
