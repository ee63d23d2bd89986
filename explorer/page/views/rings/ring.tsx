/**
 * One ring as a circle: owners of descriptors, pointers, the current and the selected descriptor. It is a
 * slider over the descriptors, for keyboards and screen readers.
 *
 * @module
 */

import { useState } from "preact/hooks";
import { selection } from "../selection.ts";
import type { Scene } from "../scene.ts";
import { descriptorAt, HEIGHT, separators, wedge, WIDTH } from "./geometry.ts";
import { patternOf } from "./patterns.tsx";
import { Middle } from "./middle.tsx";
import { Pointers } from "./pointers.tsx";
import { descriptorState, type RingState } from "./ring_state.ts";
import { descriptorWords, ringTitle } from "./words.ts";

/** The most descriptors between which there are lines. */
const MOST_SEPARATED = 128;
/** Descriptors of a long way. */
const PAGE = 8;

interface RingProps {
  readonly scene: Scene;
  readonly state: RingState;
  /** Index of the descriptor that the current step is about. */
  readonly current: number | undefined;
  /** Index of the selected descriptor. */
  readonly selected: number | undefined;
  /** Whether the circle is small: pointers have no names then. */
  readonly isSmall: boolean;
}

/** One ring. */
export function Ring({ scene, state, current, selected, isSmall }: RingProps) {
  const [hovered, setHovered] = useState<number | undefined>(undefined);
  const { name, entries, owners, runs } = state;
  const shown = hovered ?? selected ?? current;
  const words = shown === undefined ? "" : wordsOf(scene, state, shown);
  const select = (index: number) => selection.selectDescriptor({ ...name, index });

  const keyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") return selection.selectDescriptor(undefined);
    const to = target(event.key, selected ?? current ?? state.next, entries);
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation(); // the page's keys move in the recording
    select(to);
  };

  return (
    <figure class={runs ? "ring" : "ring ring-off"}>
      <svg
        viewBox={`${-WIDTH / 2} ${-HEIGHT / 2} ${WIDTH} ${HEIGHT}`}
        role="slider"
        tabindex={0}
        aria-label={`Descriptors of ${ringTitle(name)}`}
        aria-valuemin={0}
        aria-valuemax={entries - 1}
        aria-valuenow={selected ?? current ?? 0}
        aria-valuetext={words === "" ? "no descriptor selected" : `descriptor ${words}`}
        onKeyDown={keyDown}
        onPointerMove={(event) => setHovered(under(event, entries))}
        onPointerLeave={() => setHovered(undefined)}
        onClick={(event) => {
          const index = under(event, entries);
          if (index !== undefined) select(index);
        }}
      >
        <g class="ring-owners">
          {owners.map(({ owner, from, to }) => {
            const path = wedge(from, to, entries);
            return (
              <g key={from}>
                <path class={`owner-${owner}`} d={path} />
                <path class="pattern" d={path} fill={patternOf(owner)} />
              </g>
            );
          })}
          {entries <= MOST_SEPARATED && <path class="ring-lines" d={separators(entries)} />}
        </g>
        {selected !== undefined && (
          <path class="ring-selected" d={wedge(selected, selected + 1, entries, 5)} />
        )}
        {current !== undefined && (
          <path class="ring-current" d={wedge(current, current + 1, entries, 4)} />
        )}
        {hovered !== undefined && (
          <path class="ring-hovered" d={wedge(hovered, hovered + 1, entries, 2)} />
        )}
        {runs && <Pointers state={state} named={!isSmall} />}
        <Middle state={state} isSmall={isSmall} />
      </svg>
      {isSmall || <figcaption aria-hidden="true">{words}</figcaption>}
    </figure>
  );
}

function wordsOf(scene: Scene, { name }: RingState, index: number): string {
  const descriptor = descriptorState(scene, { ...name, index });
  return descriptor === undefined ? "" : descriptorWords(descriptor);
}

/** Returns the descriptor under the pointer. */
function under(event: MouseEvent, entries: number): number | undefined {
  const box = (event.currentTarget as SVGElement).getBoundingClientRect(),
    scale = WIDTH / box.width;
  const dx = event.clientX - box.left - box.width / 2,
    dy = event.clientY - box.top - box.height / 2;
  return descriptorAt(dx * scale, dy * scale, entries);
}

/** Returns the descriptor that a key leads to; undefined if the key leads to none. */
function target(key: string, from: number, entries: number): number | undefined {
  const wrap = (index: number) => (index + entries) % entries;
  switch (key) {
    case "ArrowRight":
    case "ArrowDown":
      return wrap(from + 1);
    case "ArrowLeft":
    case "ArrowUp":
      return wrap(from - 1);
    case "PageDown":
      return wrap(from + PAGE);
    case "PageUp":
      return wrap(from - PAGE);
    case "Home":
      return 0;
    case "End":
      return entries - 1;
  }
  return undefined;
}
