import { type Player, usePlayer } from "../player.ts";
export function RegisterView({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">RegisterView</p>;
}
