/**
 * All rings of all ports as circles, with a table that says the same in words.
 *
 * @module
 */

import { type Player, usePlayer } from "../player.ts";
import { useObservable } from "../observable.ts";
import { linkOf, type Scene, sceneOf, stepDescriptor } from "./scene.ts";
import { type DescriptorName, isSameRing, selection } from "./selection.ts";
import { NONE } from "../../recording/layout.ts";
import { DescriptorDetails } from "./rings/details.tsx";
import { Legend } from "./rings/legend.tsx";
import { Patterns } from "./rings/patterns.tsx";
import { Ring } from "./rings/ring.tsx";
import { ringsOf, type RingState, ringState } from "./rings/ring_state.ts";
import { RingTable } from "./rings/ring_table.tsx";
import { ringTitle } from "./rings/words.ts";

/** The most rings that are large enough for the names of pointers. */
const MOST_LARGE = 4;

/** The rings at the current step. */
export function Rings({ player }: { player: Player }) {
  usePlayer(player);
  return <RingsOf scene={sceneOf(player)} />;
}

/** The rings of a scene. */
function RingsOf({ scene }: { scene: Scene }) {
  const { descriptor: selected } = useObservable(selection);
  const current = stepDescriptor(scene);
  const states = ringsOf(scene).map((name) => ringState(scene, name));
  if (states.length === 0) return <p class="nothing">There is no ring yet.</p>;
  return (
    <div class="rings">
      <Patterns />
      <div class="rings-ports">
        {scene.ports.map((address, port) => (
          <Port
            key={port}
            scene={scene}
            port={port}
            address={address}
            link={linkOf(scene, port)}
            isCurrent={scene.step?.port === port}
            isSmall={states.length > MOST_LARGE}
            states={states.filter(({ name }) => name.port === port)}
            current={current}
            selected={selected}
          />
        ))}
      </div>
      <Legend
        hasVirtqueues={states[0].isVirtqueue}
        hasOwn={states.some(({ next }) => next !== NONE)}
      />
      <DescriptorDetails scene={scene} states={states} name={selected} />
      <RingTable states={states} />
    </div>
  );
}

interface PortProps {
  readonly scene: Scene;
  readonly port: number;
  readonly address: string;
  readonly link: string;
  readonly isCurrent: boolean;
  readonly isSmall: boolean;
  readonly states: readonly RingState[];
  readonly current: DescriptorName | undefined;
  readonly selected: DescriptorName | undefined;
}

function Port(properties: PortProps) {
  const { scene, port, address, link, isCurrent, isSmall, states, current, selected } = properties;
  const indexIn = (descriptor: DescriptorName | undefined, { name }: RingState) =>
    descriptor !== undefined && isSameRing(descriptor, name) ? descriptor.index : undefined;
  return (
    <section class={isCurrent ? "rings-port rings-port-current" : "rings-port"}>
      <h3 title={address}>
        Port {port} <span class="rings-link">{link}</span>
      </h3>
      <div class={isSmall ? "rings-circles rings-small" : "rings-circles"}>
        {states.map((state) => (
          <Ring
            key={ringTitle(state.name)}
            scene={scene}
            state={state}
            current={indexIn(current, state)}
            selected={indexIn(selected, state)}
            isSmall={isSmall}
          />
        ))}
      </div>
    </section>
  );
}
