/** Lessons on their recordings. What their texts say is checked by `lesson_texts_test.ts`. */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { LESSONS } from "../../explorer/lessons/mod.ts";
import { targetPositions } from "../../explorer/page/lesson_guide.ts";
import { Session } from "../../explorer/recorder/session.ts";
import { Layout } from "../../explorer/recording/layout.ts";
import type { Lesson } from "../../explorer/recording/lesson.ts";
import { Recording } from "../../explorer/recording/recording.ts";
import type { Kind, Step } from "../../explorer/recording/step.ts";

/** Records a lesson's experiment. */
async function recordingOf({ id, experiment }: Lesson): Promise<Recording> {
  let recording: Recording | undefined;
  using session = new Session(experiment, (report) => {
    if (report.type === "begin") {
      recording = new Recording(new Layout(report.sections), report.state);
    } else if (report.type === "steps") {
      recording!.push(...report.steps);
    } else {
      assertEquals(report, { type: "idle" }, id);
    }
  });
  await session.run();
  return recording!;
}

/** Returns the steps of a recording that are of one kind. */
function stepsOf(recording: Recording, kind: Kind): Step[] {
  const steps: Step[] = [];
  for (let i = recording.first; i < recording.end; i++) {
    const step = recording.at(i)!;
    if (step.kind === kind) steps.push(step);
  }
  return steps;
}

const recordings = new Map<string, Recording>();

for (const lesson of LESSONS) {
  const breaks = lesson.experiment.actions!.some((action) => action.do === "break");
  const rules = breaks ? "a broken rule" : "no broken rule";
  Deno.test(`The recording of the lesson ${lesson.id} has all its steps in order, and ${rules}`, async () => {
    const recording = await recordingOf(lesson);
    recordings.set(lesson.id, recording);
    const positions = targetPositions(lesson, recording);
    const missing = lesson.steps.filter((_, i) => positions[i] < 0).map(({ at }) => at);
    assertEquals(missing, []);
    const broken = stepsOf(recording, "violation").map(({ title }) => title);
    if (breaks) assert(broken.length > 0);
    else assertEquals(broken, []);
  });
}

Deno.test("The lesson rss has two frames of one flow in one queue, and another flow in another", () => {
  const [first, second, third] = stepsOf(recordings.get("rss")!, "write-back")
    .map(({ descriptor }) => descriptor!.queue);
  assertEquals(first, third);
  assertNotEquals(first, second);
});

Deno.test("The lesson nobody-polls loses no frame", () => {
  const recording = recordings.get("nobody-polls")!;
  assertEquals(stepsOf(recording, "drop"), []);
  assertEquals(stepsOf(recording, "write-back").map(({ frame }) => frame).at(-1), 66);
});

Deno.test("The lesson who-drops has a frame dropped at each place, in the order of its texts", () => {
  const frames = stepsOf(recordings.get("who-drops")!, "drop").map(({ frame }) => frame);
  assertEquals(frames, [1, 2, 3, 67]);
});
