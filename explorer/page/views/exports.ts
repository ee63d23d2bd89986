import type { Player } from "../player.ts";
export function exportSvg(_: Player): void {}
export function exportPcap(_: Player): void {}
