/**
 * A lesson on its recording: which step of the recording each of its steps is at.
 *
 * @module
 */

import type { Lesson, LessonStep, Target } from "../recording/lesson.ts";
import type { Recording } from "../recording/recording.ts";
import type { Step } from "../recording/step.ts";

/** A lesson, and how far one is. */
export class LessonGuide {
  readonly lesson: Lesson;
  /** Number of the recording's step for each of the lesson's steps; -1 where there is none. */
  #positions: readonly number[] = [];
  #current = 0;

  /** Begins a lesson at its first step. */
  constructor(lesson: Lesson) {
    this.lesson = lesson;
  }

  /** Number of the lesson's step, from 0. */
  get current(): number {
    return this.#current;
  }

  /** The lesson's step. */
  get step(): LessonStep {
    return this.lesson.steps[this.#current];
  }

  /** Number of the recording's step that the lesson's step is at; -1 if there is none. */
  get position(): number {
    return this.#positions[this.#current] ?? -1;
  }

  /** Looks up all steps in a recording. */
  locate(recording: Recording): void {
    this.#positions = targetPositions(this.lesson, recording);
  }

  /** Goes to a step of the lesson. Returns the number of the recording's step; -1 if there is none. */
  goTo(number: number): number {
    this.#current = Math.max(0, Math.min(number, this.lesson.steps.length - 1));
    return this.position;
  }

  /** Goes to the last step of the lesson that is at a step of the recording, or before it. */
  follow(position: number): void {
    const reached = this.#positions.findLastIndex((at) => at >= 0 && at <= position);
    this.#current = Math.max(0, reached);
  }
}

/** Returns where in a recording a lesson's steps are, in order; -1 for those that are not there. */
export function targetPositions(lesson: Lesson, recording: Recording): number[] {
  let next = recording.first;
  return lesson.steps.map(({ at }) => {
    const found = recording.find(next, (step) => isAt(step, at));
    if (found >= 0) next = found + 1;
    return found;
  });
}

/** Returns whether everything that a target gives holds for a step. */
export function isAt(step: Step, target: Target): boolean {
  const is = <T>(wanted: T | undefined, is: T | undefined) => wanted === undefined || wanted === is;
  return is(target.kind, step.kind) && is(target.port, step.port) &&
    is(target.register, step.register?.name) && is(target.ring, step.descriptor?.ring) &&
    is(target.queue, step.descriptor?.queue) && is(target.descriptor, step.descriptor?.index) &&
    is(target.frame, step.frame) && is(target.chapter, step.chapter) &&
    (target.title === undefined || step.title.includes(target.title));
}
