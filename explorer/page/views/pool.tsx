import { type Player, usePlayer } from "../player.ts";
export function Pool({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">Pool</p>;
}
