import { type Player, usePlayer } from "../player.ts";
export function VirtqueueView({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">VirtqueueView</p>;
}
