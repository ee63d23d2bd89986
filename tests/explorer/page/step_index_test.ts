/** The index over a recording: rows, chapters, jumps, and places on the timeline. */

import { assertEquals } from "@std/assert";
import { JUMPS } from "../../../explorer/page/jumps.ts";
import { StepIndex } from "../../../explorer/page/step_index.ts";
import { Layout } from "../../../explorer/recording/layout.ts";
import { Recording } from "../../../explorer/recording/recording.ts";
import type { Kind, Step } from "../../../explorer/recording/step.ts";

function step(kind: Kind, more: Partial<Step> = {}): Step {
  return { kind, actor: "driver", port: 0, title: kind, changes: new Uint32Array(0), ...more };
}

function write(name: string, index: number): Step {
  const register = { name, index, offset: 0, old: 0, value: 0 };
  return step("write", { register, chapter: "reset" });
}

function recordingOf(steps: Step[], most?: number): { recording: Recording; index: StepIndex } {
  const recording = new Recording(new Layout(), new Uint32Array(0), most);
  const index = new StepIndex(recording);
  for (const next of steps) {
    recording.push(next);
    index.update();
  }
  return { recording, index };
}

const TABLE = [write("CTRL", 0), ...[0, 1, 2, 3, 4, 5].map((i) => write("MTA", i)), step("arrive")];

Deno.test("StepIndex.rows folds writes to copies of a register, under their chapter", () => {
  const { index } = recordingOf(TABLE);
  assertEquals(index.rows, [
    { type: "chapter", from: 0, title: "reset · port 0" },
    { type: "step", from: 0, inRun: false },
    { type: "run", from: 1, run: { from: 1, to: 6, period: 1, unit: 1, units: 4 }, open: false },
    { type: "chapter", from: 7, title: "the device · port 0" },
    { type: "step", from: 7, inRun: false },
  ]);
});

Deno.test("StepIndex.toggle() unfolds a run and folds it; rowOf() finds a step in both", () => {
  const { index } = recordingOf(TABLE);
  assertEquals(index.rowOf(4), 2);
  index.toggle(1);
  assertEquals(index.rows.length, 11);
  assertEquals(index.rows[index.rowOf(4)], { type: "step", from: 4, inRun: true });
  index.toggle(1);
  assertEquals(index.rowOf(4), 2);
});

Deno.test("StepIndex.stepAt() finds the step again that unitOf() places on the timeline", () => {
  const { index } = recordingOf(TABLE);
  assertEquals(index.units, 1 + 4 + 3); // an access, a run, and another step
  for (let i = 0; i < TABLE.length; i++) {
    assertEquals(index.stepAt((index.unitOf(i) + index.unitOf(i + 1)) / 2), i);
  }
  assertEquals(index.stepAt(-1), 0);
  assertEquals(index.stepAt(100), 7);
});

Deno.test("StepIndex.jumpsTo() and stepsOf() list steps in order", () => {
  const { index } = recordingOf([
    step("arrive", { frame: 1 }),
    step("drop", { frame: 1 }),
    step("arrive", { frame: 2 }),
  ]);
  assertEquals(index.jumpsTo(JUMPS.findIndex(({ id }) => id === "frame")), [0, 2]);
  assertEquals(index.jumpsTo(JUMPS.findIndex(({ id }) => id === "drop")), [1]);
  assertEquals(index.stepsOf(1), [0, 1]);
  assertEquals(index.stepsOf(3), []);
});

Deno.test("StepIndex.update() lets go of steps that are gone from the recording", () => {
  const steps = Array.from({ length: 40 }, (_, i) => i < 20 ? write("MTA", i) : step("arrive"));
  const { recording, index } = recordingOf(steps, 32);
  assertEquals(recording.first > 0, true);
  assertEquals(index.runs[0], { from: recording.first, to: 19, period: 1, unit: 0, units: 4 });
  assertEquals(index.units, 4 + 20 * 3);
  assertEquals(index.stepAt(0), recording.first);
  assertEquals(index.jumpsTo(JUMPS.findIndex(({ id }) => id === "register"))[0], recording.first);
});
