/**
 * The lessons, and the one that is open.
 *
 * @module
 */

import { LESSONS } from "../../lessons/mod.ts";
import { moveToFound } from "../commands.ts";
import type { Explorer } from "../explorer.ts";
import type { LessonGuide } from "../lesson_guide.ts";
import { useObservable } from "../observable.ts";
import { usePlayer } from "../player.ts";
import { Prose } from "./prose.tsx";

/** The list of lessons, or the open lesson's step. */
export function LessonsPanel({ explorer }: { explorer: Explorer }) {
  const { lesson } = useObservable(explorer);
  if (lesson !== undefined) return <OpenLesson explorer={explorer} guide={lesson} />;
  return (
    <>
      <p class="lessons-hint">
        Begin with lesson 1, or experiment: see Actions and Settings.
      </p>
      <ol class="lessons">
        {LESSONS.map((lesson) => (
          <li key={lesson.id}>
            <button type="button" onClick={() => explorer.teach(lesson)} title={lesson.goal}>
              {lesson.title}
            </button>
          </li>
        ))}
      </ol>
    </>
  );
}

function OpenLesson({ explorer, guide }: { explorer: Explorer; guide: LessonGuide }) {
  const { position } = usePlayer(explorer.player);
  const { lesson, current, step } = guide;
  const last = lesson.steps.length - 1;
  return (
    <article class="lesson">
      <header>
        <h2>{lesson.title}</h2>
        <button type="button" onClick={() => explorer.closeLesson()}>All lessons</button>
      </header>
      {current === 0 && <p class="goal">{lesson.goal}</p>}
      <Prose text={step.text} />
      {step.question !== undefined && (
        <details key={current}>
          <summary>
            <Prose text={step.question.ask} />
          </summary>
          <Prose text={step.question.answer} />
        </details>
      )}
      {guide.position < 0 && !explorer.busy && <p class="note">The recording has no such step.</p>}
      {guide.position >= 0 && guide.position !== position && (
        <button
          type="button"
          onClick={() => moveToFound(explorer, guide.position)}
        >
          Back to this step
        </button>
      )}
      <footer>
        <button
          type="button"
          disabled={current === 0}
          onClick={() => explorer.showLessonStep(current - 1)}
        >
          ‹ Previous
        </button>
        <progress max={last + 1} value={current + 1} aria-label="Progress"></progress>
        <span>
          {current + 1} of {last + 1}
        </span>
        <button
          type="button"
          class="primary"
          disabled={current === last}
          onClick={() => explorer.showLessonStep(current + 1)}
        >
          Next ›
        </button>
      </footer>
    </article>
  );
}
