import { type Player, usePlayer } from "../player.ts";
export function StatisticsView({ player }: { player: Player }) {
  usePlayer(player);
  return <p class="empty">StatisticsView</p>;
}
