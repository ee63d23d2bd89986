/**
 * The page: what is where.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import { runKey } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import { useObservable } from "../observable.ts";
import { DataTabs } from "./data_tabs.tsx";
import { Header } from "./header.tsx";
import { HelpDialog } from "./help_dialog.tsx";
import { JumpBar } from "./jump_bar.tsx";
import { Pictures } from "./pictures.tsx";
import { Prose } from "./prose.tsx";
import { Sidebar } from "./sidebar.tsx";
import { SourcePanes } from "./source_panes.tsx";
import { StepDetail } from "./step_detail.tsx";
import { StoryList } from "./story_list.tsx";
import { Timeline } from "./timeline.tsx";
import { TooNarrow } from "./too_narrow.tsx";
import { Transport } from "./transport.tsx";

/** The page on a recording. */
export function App({ explorer }: { explorer: Explorer }) {
  useObservable(explorer);
  const [help, setHelp] = useState(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === "?") setHelp(true);
      else if (runKey(explorer, event)) event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [explorer]);
  const { player, message, trace, lesson } = explorer;
  const look = lesson?.step.look;
  return (
    <>
      <TooNarrow />
      <div class="app">
        <Header explorer={explorer} onHelp={() => setHelp(true)} />
        {message !== undefined && (
          <div class="message" role="alert">
            <Prose text={message} />
            <button type="button" onClick={() => explorer.complain()}>Close</button>
          </div>
        )}
        <section class="controls" aria-label="Player">
          <Transport explorer={explorer} />
          <JumpBar explorer={explorer} />
        </section>
        <Timeline explorer={explorer} />
        <main class={trace === undefined ? "columns" : "columns of-trace"}>
          <div class="column">
            <Sidebar explorer={explorer} />
            <StoryList explorer={explorer} />
          </div>
          <div class="column">
            <Pictures explorer={explorer} />
            <StepDetail player={player} look={look} />
          </div>
          <div class="column">
            {trace === undefined && <SourcePanes player={player} look={look} />}
            <DataTabs player={player} look={look} />
          </div>
        </main>
        <HelpDialog open={help} onClose={() => setHelp(false)} />
      </div>
    </>
  );
}
