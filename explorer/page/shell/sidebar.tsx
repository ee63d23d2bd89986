/**
 * Lessons and experiments, above the list of steps.
 *
 * @module
 */

import { useState } from "preact/hooks";
import type { Explorer } from "../explorer.ts";
import { ActionPanel } from "./action_panel.tsx";
import { LessonsPanel } from "./lessons_panel.tsx";
import { SettingsPanel } from "./settings_panel.tsx";
import { Tabs } from "./tabs.tsx";

const NAMES = ["Lessons", "Actions", "Settings"];

/** Three tabs. A click on the open one closes it, so that the list has all the room. */
export function Sidebar({ explorer }: { explorer: Explorer }) {
  const [open, setOpen] = useState<string | undefined>("Lessons");
  return (
    <section class="panel sidebar" aria-label="Lessons and experiments">
      <Tabs
        label="Lessons and experiments"
        names={NAMES}
        open={open}
        onOpen={(name) => setOpen(name === open ? undefined : name)}
      >
        {open === "Lessons" && <LessonsPanel explorer={explorer} />}
        {open === "Actions" && <ActionPanel explorer={explorer} />}
        {open === "Settings" && <SettingsPanel explorer={explorer} />}
      </Tabs>
    </section>
  );
}
