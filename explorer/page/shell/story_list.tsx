/**
 * The list of all steps. Only the rows in view are in the page, so it may have any number.
 *
 * @module
 */

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import { moveTo } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import { useObservable } from "../observable.ts";
import { usePlayer } from "../player.ts";
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
  const [view, setView] = useState({ top: 0, height: 400 });
  const current = explorer.index.rowOf(position);

  useLayoutEffect(() => {
    const measure = () => setView(viewOf(box.current!));
    const sizes = new ResizeObserver(measure);
    sizes.observe(box.current!);
    return () => sizes.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (bringIntoView(box.current!, current)) setView(viewOf(box.current!));
  }, [current, rows]);

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
        onScroll={({ currentTarget }) => setView(viewOf(currentTarget))}
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

function viewOf(box: HTMLElement): { top: number; height: number } {
  return { top: box.scrollTop, height: box.clientHeight };
}

/** Scrolls, if the row is not in view. Returns whether it has. */
function bringIntoView(box: HTMLElement, row: number): boolean {
  const top = row * ROW;
  const from = box.scrollTop + ROW;
  const to = box.scrollTop + box.clientHeight - 3 * ROW;
  if (row < 0 || top >= from && top <= to) return false;
  // A step further on, the list moves by as little; after a jump the row is in the middle.
  const near = top > to && top < to + 3 * ROW;
  box.scrollTop = near ? box.scrollTop + top - to : top - box.clientHeight / 2;
  return true;
}
