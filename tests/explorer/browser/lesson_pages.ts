/**
 * Lessons in the page, each from its first step to its last one. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { LESSONS } from "../../../explorer/lessons/mod.ts";
import type { Lesson } from "../../../explorer/recording/lesson.ts";
import type { PageTests, Rig } from "./rig.ts";

/** A test for each lesson. All are in one tab, which is quicker. */
export const LESSON_PAGES: PageTests = Object.fromEntries(
  LESSONS.map((lesson) => [
    `The lesson ${lesson.id} runs through`,
    (rig: Rig) => runThrough(rig, lesson),
  ]),
);

async function runThrough(rig: Rig, { id, steps }: Lesson): Promise<void> {
  const explorer = await rig.openLesson(id), panel = explorer.page.getByRole("article");
  const shows = async (wanted: string) => {
    const shown = words(await panel.innerText());
    assert(shown.includes(words(wanted)), `${shown} contains: ${wanted}`);
  };
  let before = -1;
  for (const [i, { text, question }] of steps.entries()) {
    const { current, at } = await explorer.lesson();
    assertEquals(current, i);
    assert(at > before, `step ${i + 1} of ${id} is in the recording`);
    assertEquals(await explorer.position(), at);
    before = at;
    await shows(text);
    if (question !== undefined) {
      await shows(question.ask);
      await panel.locator("summary").click();
      await shows(question.answer);
    }
    await explorer.press(".");
  }
  assertEquals((await explorer.lesson()).current, steps.length - 1);
  explorer.assertNoErrors();
}

/** Returns a text without the marks of code, and with single spaces. */
function words(text: string): string {
  return text.replaceAll("`", "").replaceAll(/\s+/g, " ").trim();
}
