/**
 * The statistics registers of all ports at the current step.
 *
 * @module
 */

import { statisticsSection } from "../../recording/layout.ts";
import { type Player, usePlayer } from "../player.ts";
import { registerNamed } from "./register/fields.ts";
import { cellsOf, changedCells, type Scene, sceneOf } from "./scene.ts";

/** The statistics at the current step. */
export function StatisticsView({ player }: { player: Player }) {
  usePlayer(player);
  return <StatisticsOf scene={sceneOf(player)} />;
}

/** The statistics of a scene; those that the step changes are marked. */
function StatisticsOf({ scene }: { scene: Scene }) {
  const { statistics, ports } = scene;
  if (statistics.length === 0) return <p class="nothing">No statistics are recorded.</p>;
  const values = ports.map((_, port) => cellsOf(scene, statisticsSection(port)));
  const changed = ports.map((_, port) => changedCells(scene, statisticsSection(port)));
  return (
    <div class="statistics">
      <table>
        <thead>
          <tr>
            <th scope="col">Register</th>
            {ports.map((_, port) => <th key={port} scope="col" class="number">port {port}</th>)}
            <th scope="col">Meaning</th>
          </tr>
        </thead>
        <tbody>
          {statistics.map((name, i) => (
            <tr key={name}>
              <th scope="row">{name}</th>
              {values.map((cells, port) => (
                <td key={port} class={lookOf(cells[i], changed[port].has(i))}>{cells[i]}</td>
              ))}
              <td class="meaning">{meaningOf(name)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function lookOf(value: number, isChanged: boolean): string {
  return `number${value === 0 ? " zero" : ""}${isChanged ? " changed" : ""}`;
}

/** The meaning of a register by its name, with or without an index: `QPRC[0]`. */
function meaningOf(name: string): string {
  return registerNamed(name.replace(/\[.*/, ""))?.meaning ?? "";
}
