/**
 * The pictures of the current state.
 *
 * @module
 */

import type { Explorer } from "../explorer.ts";
import { Pool } from "../views/pool.tsx";
import { Rings } from "../views/rings.tsx";
import { TraceView } from "../views/trace_view.tsx";

/** Rings and pool; of a trace, how it compares with this driver. */
export function Pictures({ explorer }: { explorer: Explorer }) {
  const { player, lesson, trace } = explorer;
  if (trace !== undefined) {
    return (
      <section class="panel comparison" aria-label="Trace">
        <TraceView player={player} />
      </section>
    );
  }
  const look = lesson?.step.look;
  return (
    <section class="panel pictures" aria-label="Rings and buffers">
      <div class={look === "ring" ? "looked-at" : ""}>
        <Rings player={player} />
      </div>
      <div class={look === "pool" ? "looked-at" : ""}>
        <Pool player={player} />
      </div>
    </section>
  );
}
