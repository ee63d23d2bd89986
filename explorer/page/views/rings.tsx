import { type Player, usePlayer } from "../player.ts";
export function Rings({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">Rings</p>;
}
