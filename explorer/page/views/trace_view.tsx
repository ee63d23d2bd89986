import { type Player, usePlayer } from "../player.ts";
export function TraceView({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">TraceView</p>;
}
