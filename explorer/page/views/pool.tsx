/**
 * The pool: a cell for each buffer, by who has it.
 *
 * @module
 */

import { useState } from "preact/hooks";
import { useObservable } from "../observable.ts";
import { type Player, usePlayer } from "../player.ts";
import { descriptorState, frameIn } from "./rings/ring_state.ts";
import { type Scene, sceneOf } from "./scene.ts";
import { selection } from "./selection.ts";
import { BUFFER_LOOKS, buffersOf, countBuffers } from "./pool/pool_state.ts";
import { CELL, PoolRow } from "./pool/pool_row.tsx";

/** Buffers of a row. */
const ROW = 20;

/** The pool at the current step. */
export function Pool({ player }: { player: Player }) {
  usePlayer(player);
  return <PoolOf scene={sceneOf(player)} />;
}

/** The pool of a scene. */
function PoolOf({ scene }: { scene: Scene }) {
  const { buffer, descriptor } = useObservable(selection);
  const [hovered, setHovered] = useState<number | undefined>(undefined);
  const buffers = buffersOf(scene), count = buffers.length;
  if (count === 0) return <p class="nothing">The pool is not known.</p>;
  const selected = buffer ?? (descriptor && descriptorState(scene, descriptor)?.buffer);
  const current = scene.step?.buffer, shown = hovered ?? selected ?? current;
  const words = shown === undefined ? "" : wordsOf(scene, buffers, shown);
  const rows = Array.from({ length: Math.ceil(count / ROW) }, (_, row) => row);

  const keyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") return selection.selectBuffer(undefined);
    const to = target(event.key, selected ?? current ?? 0, count);
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // the page's keys move in the recording
    selection.selectBuffer(to);
  };

  return (
    <div class="pool">
      <h3>Pool of {count} buffers</h3>
      <Counts counts={countBuffers(buffers)} />
      <p class="pool-words" aria-hidden="true">{words}</p>
      <svg
        class="pool-cells"
        viewBox={`0 0 ${ROW * CELL} ${rows.length * CELL}`}
        role="slider"
        tabindex={0}
        aria-label="Buffers of the pool"
        aria-valuemin={0}
        aria-valuemax={count - 1}
        aria-valuenow={selected ?? current ?? 0}
        aria-valuetext={words || "no buffer selected"}
        onKeyDown={keyDown}
        onPointerMove={(event) => setHovered(under(event, count))}
        onPointerLeave={() => setHovered(undefined)}
        onClick={(event) => selection.selectBuffer(under(event, count))}
      >
        {rows.map((row) => (
          <PoolRow
            key={row}
            row={row}
            states={statesOf(buffers.subarray(row * ROW, (row + 1) * ROW))}
          />
        ))}
        {selected !== undefined && <Frame buffer={selected} look="pool-selected" />}
        {current !== undefined && <Frame buffer={current} look="pool-current" />}
      </svg>
    </div>
  );
}

function Frame({ buffer, look }: { buffer: number; look: string }) {
  const x = buffer % ROW * CELL, y = Math.floor(buffer / ROW) * CELL;
  return <rect class={look} x={x} y={y} width={CELL} height={CELL} />;
}

function Counts({ counts }: { counts: readonly number[] }) {
  return (
    <ul class="legend pool-legend" aria-label="Buffers by state">
      {BUFFER_LOOKS.map(({ name, words, shape }, state) => (
        <li key={name} class={counts[state] === 0 ? "legend-none" : ""}>
          <svg class="swatch" viewBox="0 0 10 10" aria-hidden="true">
            <path class={`buffer-${name}`} d={`M0,0${shape}`} fill-rule="evenodd" />
          </svg>
          <b>{counts[state]}</b> {words}
        </li>
      ))}
    </ul>
  );
}

/** The states of a row's buffers as text, a digit each: a value that a row can be compared by. */
function statesOf(buffers: Uint32Array): string {
  return buffers.join("");
}

function wordsOf(scene: Scene, buffers: Uint32Array, buffer: number): string {
  const frame = frameIn(scene, buffer);
  const { words } = BUFFER_LOOKS[buffers[buffer]];
  return `buffer ${buffer}: ${words}${frame === undefined ? "" : `, frame ${frame}`}`;
}

/** Returns the buffer under the pointer. */
function under(event: MouseEvent, count: number): number | undefined {
  const box = (event.currentTarget as SVGElement).getBoundingClientRect(), cell = box.width / ROW;
  const column = Math.floor((event.clientX - box.left) / cell);
  const buffer = Math.floor((event.clientY - box.top) / cell) * ROW + column;
  return column >= 0 && column < ROW && buffer >= 0 && buffer < count ? buffer : undefined;
}

/** Returns the buffer that a key leads to; undefined if the key leads to none. */
function target(key: string, from: number, count: number): number | undefined {
  const limit = (buffer: number) => Math.max(0, Math.min(buffer, count - 1));
  switch (key) {
    case "ArrowRight":
      return limit(from + 1);
    case "ArrowLeft":
      return limit(from - 1);
    case "ArrowDown":
      return limit(from + ROW);
    case "ArrowUp":
      return limit(from - ROW);
    case "Home":
      return 0;
    case "End":
      return count - 1;
  }
  return undefined;
}
