/** The place that two recordings of the same actions share. */

import { assertEquals } from "@std/assert";
import { placeOf, stepAt } from "../../../explorer/page/same_place.ts";

const BEFORE = {
  chapters: [
    { title: "open · port 0", from: 0 },
    { title: "the device · port 0", from: 100 },
    { title: "receive() · port 0", from: 110 },
    { title: "the device · port 0", from: 120 },
  ],
};
const AFTER = { chapters: BEFORE.chapters.map(({ title, from }) => ({ title, from: 2 * from })) };

Deno.test("stepAt() finds the same chapter, and as many steps into it", () => {
  const place = placeOf(BEFORE, 123)!;
  assertEquals(place, { title: "the device · port 0", nth: 1, offset: 3 });
  assertEquals(stepAt(AFTER, place, 300), 243);
  assertEquals(stepAt(BEFORE, place, 130), 123);
});

Deno.test("stepAt() stays in the chapter where that has become shorter", () => {
  assertEquals(stepAt(BEFORE, { title: "the device · port 0", nth: 0, offset: 50 }, 130), 109);
  assertEquals(stepAt(BEFORE, { title: "the device · port 0", nth: 1, offset: 50 }, 130), 129);
});

Deno.test("stepAt() takes the last chapter of the title, or the first step", () => {
  assertEquals(stepAt(BEFORE, { title: "the device · port 0", nth: 5, offset: 0 }, 130), 120);
  assertEquals(stepAt(BEFORE, { title: "transmit() · port 1", nth: 0, offset: 4 }, 130), 0);
});

Deno.test("placeOf() returns nothing before the first step", () => {
  assertEquals(placeOf(BEFORE, -1), undefined);
});
