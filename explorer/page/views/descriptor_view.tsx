import { type Player, usePlayer } from "../player.ts";
export function DescriptorView({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">DescriptorView</p>;
}
