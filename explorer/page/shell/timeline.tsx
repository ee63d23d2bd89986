/**
 * The timeline: all steps at a glance, to scrub on.
 *
 * @module
 */

import { useLayoutEffect, useRef } from "preact/hooks";
import { moveTo } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import { ACTOR_WORDS, ACTORS } from "../kinds.ts";
import { useObservable } from "../observable.ts";
import { usePlayer } from "../player.ts";
import type { Chapter } from "../step_index.ts";
import { drawTimeline } from "../timeline_drawing.ts";

/** Lanes by actor with all steps, chapters above them, and the cursor. */
export function Timeline({ explorer }: { explorer: Explorer }) {
  useObservable(explorer);
  const { recording } = usePlayer(explorer.player);
  const { first, end } = recording;
  const { chapters } = explorer.index;
  return (
    <section class="timeline" aria-label="Timeline">
      <div class="lanes-names" aria-hidden="true">
        <span></span>
        <span>Events</span>
        {ACTORS.map((actor) => <span key={actor}>{ACTOR_WORDS[actor]}</span>)}
      </div>
      <div class="lanes">
        <div class="chapters">
          {chapters.map((chapter, i) => (
            <ChapterButton
              key={chapter.from}
              explorer={explorer}
              chapter={chapter}
              to={chapters[i + 1]?.from ?? end}
            />
          ))}
        </div>
        <Lanes explorer={explorer} />
      </div>
      {first > 0 && (
        <p class="gone">Steps 1 to {first} are gone: the page keeps the newest ones only.</p>
      )}
    </section>
  );
}

interface ChapterButtonProps {
  readonly explorer: Explorer;
  readonly chapter: Chapter;
  readonly to: number;
}

/** The least part of the timeline that has room for a chapter's title. */
const LEAST_PART = 0.04;

function ChapterButton({ explorer, chapter, to }: ChapterButtonProps) {
  const { index, player: { position } } = explorer;
  const left = index.unitOf(chapter.from) / index.units;
  const part = index.unitOf(to) / index.units - left;
  return (
    <button
      type="button"
      tabIndex={-1}
      class={position >= chapter.from && position < to ? "current" : ""}
      style={{ left: `${100 * left}%`, width: `${100 * part}%` }}
      onClick={() => moveTo(explorer, chapter.from)}
      title={chapter.title}
      aria-label={chapter.title}
    >
      {part > LEAST_PART && chapter.title}
    </button>
  );
}

function Lanes({ explorer }: { explorer: Explorer }) {
  const { index, player: { recording, position, step } } = explorer;
  const { first, end } = recording;
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    const draw = () => drawTimeline(canvas.current!, recording, index);
    const sizes = new ResizeObserver(draw); // which calls it once at the beginning
    sizes.observe(canvas.current!);
    const theme = new MutationObserver(draw);
    theme.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => {
      sizes.disconnect();
      theme.disconnect();
    };
  }, [recording, index, first, end]);
  const scrub = (event: PointerEvent) => {
    const { left, width } = canvas.current!.getBoundingClientRect();
    moveTo(explorer, index.stepAt((event.clientX - left) / width * index.units));
  };
  const at = (index.unitOf(position) + index.unitOf(position + 1)) / 2;
  return (
    <div
      class="lanes-box"
      role="slider"
      tabIndex={0}
      aria-label="Step"
      aria-valuemin={first + 1}
      aria-valuemax={end}
      aria-valuenow={position + 1}
      aria-valuetext={`step ${position + 1} of ${end}: ${step?.title ?? ""}`}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        scrub(event);
      }}
      onPointerMove={(event) => event.buttons === 1 && scrub(event)}
    >
      <canvas ref={canvas}></canvas>
      <div class="cursor" style={{ left: `${100 * at / Math.max(1, index.units)}%` }}></div>
    </div>
  );
}
