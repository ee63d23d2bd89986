/**
 * The packet, the registers or virtqueues, and the statistics, in tabs.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import type { LessonStep } from "../../recording/lesson.ts";
import type { Player } from "../player.ts";
import { PacketView } from "../views/packet_view.tsx";
import { RegistersTable } from "../views/registers_table.tsx";
import { StatisticsView } from "../views/statistics_view.tsx";
import { ringsOf } from "../views/rings/ring_state.ts";
import { sceneOf } from "../views/scene.ts";
import { virtqueuesOf } from "../views/virtqueue/virtqueue_state.ts";
import { VirtqueueView } from "../views/virtqueue_view.tsx";
import { Tabs } from "./tabs.tsx";

/** Tabs of the 82599, of VirtIO, and of a trace, which has nothing but registers. */
const NAMES = ["Packet", "Registers", "Statistics"];
const VIRTIO_NAMES = ["Packet", "Virtqueues", "Statistics"];
const TRACE_NAMES = ["Registers"];

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
  const [chosen, setOpen] = useState("Packet");
  const names = namesOf(player), open = names.includes(chosen) ? chosen : names[0];
  const wanted = look && LOOKS[look];
  useEffect(() => {
    if (wanted !== undefined) setOpen(wanted);
  }, [wanted]);
  return (
    <section class={`panel data ${wanted === open ? "looked-at" : ""}`} aria-label="Data">
      <Tabs label="Data" names={names} open={open} onOpen={setOpen}>
        {open === "Packet" && <PacketView player={player} />}
        {open === "Registers" && <RegistersTable player={player} />}
        {open === "Virtqueues" && <VirtqueueView player={player} />}
        {open === "Statistics" && <StatisticsView player={player} />}
      </Tabs>
    </section>
  );
}

/** Returns the tabs for what is recorded. */
function namesOf(player: Player): readonly string[] {
  const scene = sceneOf(player);
  if (virtqueuesOf(scene).length > 0) return VIRTIO_NAMES;
  return ringsOf(scene).length > 0 || player.begin.ports.length === 0 ? NAMES : TRACE_NAMES;
}
