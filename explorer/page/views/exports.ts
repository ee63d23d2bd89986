/**
 * Exports: what is seen, and the frames of the recording, as files that the browser saves.
 *
 * @module
 */

import type { Player } from "../player.ts";
import { pcapOf } from "./exports/pcap.ts";
import { svgOf } from "./exports/svg.ts";

/** Saves the pictures of the current step as `step-N.svg`. */
export function exportSvg(player: Player): void {
  const blob = new Blob([svgOf(player)], { type: "image/svg+xml" });
  save(blob, `step-${player.position + 1}.svg`);
}

/** Saves all frames of the recording as `frames.pcap`. */
export function exportPcap(player: Player): void {
  save(
    new Blob([pcapOf(player.recording)], { type: "application/vnd.tcpdump.pcap" }),
    "frames.pcap",
  );
}

function save(blob: Blob, name: string): void {
  const link = document.createElement("a"), url = URL.createObjectURL(blob);
  link.href = url;
  link.download = name;
  link.click();
  URL.revokeObjectURL(url);
}
