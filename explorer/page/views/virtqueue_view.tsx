/**
 * The parts of a virtqueue in memory: descriptor table, available ring and used ring.
 *
 * @module
 */

import { useState } from "preact/hooks";
import type { RingName } from "../../recording/layout.ts";
import { type Player, usePlayer } from "../player.ts";
import { ringTitle } from "./rings/words.ts";
import { type Scene, sceneOf, stepDescriptor } from "./scene.ts";
import { isSameRing } from "./selection.ts";
import { ChainTable } from "./virtqueue/chain_table.tsx";
import { RingStrip } from "./virtqueue/ring_strip.tsx";
import { virtqueuesOf, virtqueueState } from "./virtqueue/virtqueue_state.ts";

/** Flag in both rings: the other side need not be told of new entries. */
const SUPPRESSED = 1;

/** The choice of the virtqueue that the step is about. */
const OF_STEP = "the step's virtqueue";

/** A virtqueue at the current step: that of the step, or one that is chosen. */
export function VirtqueueView({ player }: { player: Player }) {
  usePlayer(player);
  const [chosen, setChosen] = useState<RingName | undefined>(undefined);
  const scene = sceneOf(player), names = virtqueuesOf(scene);
  if (names.length === 0) return <p class="nothing">This device has no virtqueues.</p>;
  const ofStep = stepDescriptor(scene);
  const name = chosen ?? names.find((name) => ofStep && isSameRing(name, ofStep)) ?? names[0];
  const choose = (title: string) => setChosen(names.find((name) => ringTitle(name) === title));
  return (
    <div class="virtqueues">
      <select
        aria-label="Virtqueue"
        value={chosen === undefined ? OF_STEP : ringTitle(chosen)}
        onChange={({ currentTarget }) => choose(currentTarget.value)}
      >
        {[OF_STEP, ...names.map(ringTitle)].map((title) => (
          <option key={title} value={title}>{title}</option>
        ))}
      </select>
      <Virtqueue scene={scene} name={name} />
    </div>
  );
}

/** One virtqueue. */
function Virtqueue({ scene, name }: { scene: Scene; name: RingName }) {
  const { isEnabled, available, used } = virtqueueState(scene, name);
  const ofStep = stepDescriptor(scene);
  const current = ofStep && isSameRing(ofStep, name) ? ofStep.index : undefined;
  return (
    <div class="virtqueue">
      <h3>Virtqueue: {ringTitle(name)}{isEnabled ? "" : ", not enabled"}</h3>
      <div class="virtqueue-parts">
        <div>
          <RingStrip
            title="Available ring"
            writer="driver"
            section="VirtIO 2.7.6"
            ring={available}
            flagsInWords={available.flags & SUPPRESSED
              ? "NO_INTERRUPT, the driver polls and needs no interrupts"
              : "the device interrupts after a used entry"}
          />
          <RingStrip
            title="Used ring"
            writer="device"
            section="VirtIO 2.7.8"
            ring={used}
            flagsInWords={used.flags & SUPPRESSED
              ? "NO_NOTIFY, the device looks by itself and needs no notifications"
              : "the driver notifies after an available entry"}
          />
        </div>
        <ChainTable scene={scene} name={name} current={current} />
      </div>
    </div>
  );
}
