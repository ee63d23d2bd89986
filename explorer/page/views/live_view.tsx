import { type Player, usePlayer } from "../player.ts";
export function LiveView({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">LiveView</p>;
}
