/**
 * The page on a live run.
 *
 * @module
 */

import { useMemo } from "preact/hooks";
import { Player } from "../player.ts";
import { LiveView } from "../views/live_view.tsx";
import { ThemeButton } from "./theme_button.tsx";
import { TooNarrow } from "./too_narrow.tsx";

/** The page on the software NIC of the server that it came from. */
export function LiveApp() {
  const player = useMemo(() => new Player(), []);
  return (
    <>
      <TooNarrow />
      <div class="app">
        <header class="header">
          <h1>
            ixy.ts explorer <span>live run</span>
          </h1>
          <ThemeButton />
        </header>
        <main class="live">
          <LiveView player={player} />
        </main>
      </div>
    </>
  );
}
