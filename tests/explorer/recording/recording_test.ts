/** A recording that is full: the oldest steps go, and state and cursor stay right. */

import { assert, assertEquals } from "@std/assert";
import { Layout } from "../../../explorer/recording/layout.ts";
import { Recording } from "../../../explorer/recording/recording.ts";
import type { Step } from "../../../explorer/recording/step.ts";

const MOST = 80;

/** A step that counts its only cell up. */
function count(number: number): Step {
  const changes = Uint32Array.of(0, number, number + 1);
  return { kind: "idle", actor: "device", port: 0, title: `${number}`, changes };
}

function made(): Recording {
  const layout = new Layout();
  layout.add("cell", 1);
  return new Recording(layout, new Uint32Array(1), MOST);
}

Deno.test("Recording.push() keeps a bounded number of steps, the newest ones, under their numbers", () => {
  const recording = made();
  for (let i = 0; i < 1000; i++) {
    recording.push(count(i));
    assert(recording.end - recording.first <= MOST);
  }
  assertEquals(recording.end, 1000);
  assertEquals(recording.at(999)!.title, "999");
  assertEquals(recording.at(recording.first)!.title, `${recording.first}`);
  assertEquals(recording.at(recording.first - 1), undefined);
});

Deno.test("Recording.moveTo() gives the state of each step that is kept, also after others are gone", () => {
  const recording = made();
  for (let i = 0; i < 500; i++) recording.push(count(i));
  for (const step of [499, recording.first, 450, 499]) {
    recording.moveTo(step);
    assertEquals([recording.position, recording.state[0]], [step, step + 1]);
  }
  recording.moveTo(0); // is gone: before the first one that is kept
  assertEquals([recording.position, recording.state[0]], [recording.first - 1, recording.first]);
});

Deno.test("Recording.push() moves a cursor on a step that goes to the oldest one that stays", () => {
  const recording = made();
  recording.push(count(0));
  recording.moveTo(0);
  for (let i = 1; i <= MOST; i++) recording.push(count(i));
  assertEquals(recording.position, recording.first);
  assertEquals(recording.state[0], recording.first + 1);
});
