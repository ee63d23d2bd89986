/**
 * The packet, the registers and the statistics, in tabs.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import type { LessonStep } from "../../recording/lesson.ts";
import type { Player } from "../player.ts";
import { PacketView } from "../views/packet_view.tsx";
import { RegistersTable } from "../views/registers_table.tsx";
import { StatisticsView } from "../views/statistics_view.tsx";
import { Tabs } from "./tabs.tsx";

const NAMES = ["Packet", "Registers", "Statistics"];

/** The tab that a lesson's step asks for. */
const LOOKS: Partial<Record<NonNullable<LessonStep["look"]>, string>> = {
  packet: "Packet",
  statistics: "Statistics",
};

interface DataTabsProps {
  readonly player: Player;
  /** What the lesson's step asks to look at. */
  readonly look: LessonStep["look"];
}

/** What the rings do not show. */
export function DataTabs({ player, look }: DataTabsProps) {
  const [open, setOpen] = useState("Packet");
  const wanted = look && LOOKS[look];
  useEffect(() => {
    if (wanted !== undefined) setOpen(wanted);
  }, [wanted]);
  return (
    <section class={`panel data ${wanted === open ? "looked-at" : ""}`} aria-label="Data">
      <Tabs label="Data" names={NAMES} open={open} onOpen={setOpen}>
        {open === "Packet" && <PacketView player={player} />}
        {open === "Registers" && <RegistersTable player={player} />}
        {open === "Statistics" && <StatisticsView player={player} />}
      </Tabs>
    </section>
  );
}
