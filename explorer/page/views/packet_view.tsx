import { type Player, usePlayer } from "../player.ts";
export function PacketView({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">PacketView</p>;
}
