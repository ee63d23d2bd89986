/** Where in a recording the steps of a lesson are. */

import { assertEquals } from "@std/assert";
import { isAt, LessonGuide } from "../../../explorer/page/lesson_guide.ts";
import { Layout } from "../../../explorer/recording/layout.ts";
import type { Lesson } from "../../../explorer/recording/lesson.ts";
import { Recording } from "../../../explorer/recording/recording.ts";
import type { Kind, Step } from "../../../explorer/recording/step.ts";

function step(kind: Kind, title: string): Step {
  return { kind, actor: "device", port: 1, title, changes: new Uint32Array(0) };
}

const RECORDING = new Recording(new Layout(), new Uint32Array(0));
RECORDING.push(step("arrive", "a"), step("decide", "b"), step("arrive", "c"), step("send", "d"));

const LESSON: Lesson = {
  id: "test",
  title: "A test",
  goal: "None.",
  experiment: {},
  steps: [
    { at: { kind: "arrive" }, text: "" },
    { at: { kind: "arrive" }, text: "" },
    { at: { kind: "drop" }, text: "" },
    { at: { title: "d", port: 1 }, text: "" },
  ],
};

Deno.test("LessonGuide.goTo() returns the step after that of the lesson's step before; -1 without one", () => {
  const guide = new LessonGuide(LESSON);
  guide.locate(RECORDING);
  assertEquals([0, 1, 2, 3, 4].map((i) => guide.goTo(i)), [0, 2, -1, 3, 3]);
});

Deno.test("LessonGuide.follow() chooses the last lesson's step at a position or before it", () => {
  const guide = new LessonGuide(LESSON);
  guide.locate(RECORDING);
  const currents = [0, 1, 2, 3].map((position) => {
    guide.follow(position);
    return guide.current;
  });
  assertEquals(currents, [0, 0, 1, 3]);
});

Deno.test("isAt() asks for everything that a target gives", () => {
  const last = RECORDING.at(3)!;
  assertEquals(isAt(last, {}), true);
  assertEquals(isAt(last, { kind: "send", port: 1, title: "d" }), true);
  assertEquals(isAt(last, { kind: "send", port: 0 }), false);
  assertEquals(isAt(last, { register: "RDT" }), false);
});
