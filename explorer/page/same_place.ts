/**
 * The place in a recording that another recording of the same actions has as well.
 *
 * @module
 */

import { type Chapter, lastAtMost, type StepIndex } from "./step_index.ts";

/** A place: a chapter, and how far into it. */
export interface Place {
  readonly title: string;
  /** How many chapters with the same title are before it. */
  readonly nth: number;
  /** Steps from the chapter's beginning. */
  readonly offset: number;
}

type Chapters = Pick<StepIndex, "chapters">;

/** Returns the place of a step; undefined before the first chapter. */
export function placeOf({ chapters }: Chapters, step: number): Place | undefined {
  const number = lastAtMost(chapters, step, ({ from }) => from);
  if (number < 0) return undefined;
  const { title, from } = chapters[number];
  return { title, nth: alike(chapters.slice(0, number), title).length, offset: step - from };
}

/**
 * Returns the step at a place. Where the recording has fewer chapters of that title, it is in the last
 * one; 0 if it has none.
 *
 * @param end The number of steps.
 */
export function stepAt({ chapters }: Chapters, place: Place, end: number): number {
  const { title, nth, offset } = place, found = alike(chapters, title);
  const chapter = found[Math.min(nth, found.length - 1)];
  if (chapter === undefined) return 0;
  const next = chapters[chapters.indexOf(chapter) + 1]?.from ?? end;
  return Math.min(chapter.from + offset, next - 1);
}

function alike(chapters: readonly Chapter[], title: string): readonly Chapter[] {
  return chapters.filter((chapter) => chapter.title === title);
}
