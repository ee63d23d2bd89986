import { type Player, usePlayer } from "../player.ts";
export function RegistersTable({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">RegistersTable</p>;
}
