/** The rows of the table of registers. */

import { assert, assertEquals } from "@std/assert";
import { RecordingIndex } from "../../../../explorer/page/views/recording_index.ts";
import { registerRows } from "../../../../explorer/page/views/register/register_rows.ts";
import type { Scene } from "../../../../explorer/page/views/scene.ts";
import { Layout, registerSection } from "../../../../explorer/recording/layout.ts";
import { Recording } from "../../../../explorer/recording/recording.ts";
import type { Step } from "../../../../explorer/recording/step.ts";
import { RDT, REGISTERS } from "../../../../ixgbe/registers.ts";
import { offsetOf, type Register } from "../../../../src/registers.ts";

/** A recording in which RDT[1] is written twice, from registers as they are after reset. */
function recordingOf(): Recording {
  const layout = new Layout(), { start } = layout.add(registerSection(0), 0x20000 / 4);
  const state = new Uint32Array(layout.length);
  for (const register of Object.values(REGISTERS as Record<string, Register>)) {
    for (let i = 0; i < register.count; i++) state[offsetOf(register, i) >>> 2] = register.reset;
  }
  const recording = new Recording(layout, state), offset = offsetOf(RDT, 1);
  const write = (old: number, value: number): Step => ({
    kind: "write",
    actor: "driver",
    port: 0,
    title: "write RDT[1]",
    register: { name: "RDT", index: 1, offset, old, value },
    changes: Uint32Array.of(start + (offset >>> 2), old, value),
  });
  recording.push(write(0, 63), write(63, 5));
  return recording;
}

/** Returns the rows at a step, for a search. */
function rowsAt(recording: Recording, step: number, search: string) {
  recording.moveTo(step);
  const { layout, state } = recording;
  const scene: Scene = { layout, state, ports: ["0"], statistics: [], step: recording.at(step) };
  return registerRows(scene, RecordingIndex.of(recording), step, 0, search);
}

Deno.test("registerRows() lists what was accessed or differs from reset, with counts up to the step", () => {
  const recording = recordingOf();
  assertEquals(rowsAt(recording, -1, ""), []);
  const [row, ...others] = rowsAt(recording, 1, "");
  assertEquals(others, []);
  assertEquals(row.register, RDT as Register);
  assertEquals(row.copies, [{ index: 1, value: 5, reads: 0, writes: 2, isCurrent: true }]);
});

Deno.test("registerRows() searches name, section, meaning and fields for all words", () => {
  const recording = recordingOf();
  const found = (search: string) =>
    rowsAt(recording, 1, search).map(({ register }) => register.name);
  assertEquals(found("receive tail"), ["RDT"]);
  assert(found("8.2.3.8.5").includes("RDT"));
  assert(found("jumboen").includes("HLREG0"));
  assertEquals(found("no such register"), []);
});

Deno.test('registerRows() finds the tails by "owns"', () => {
  const rows = rowsAt(recordingOf(), 1, "descriptor owns");
  assertEquals(rows.map(({ register }) => register.name), ["RDT", "TDT"]);
});

Deno.test("RecordingIndex.nextAccess() goes round the accesses of a copy, or of all copies", () => {
  const index = RecordingIndex.of(recordingOf());
  assertEquals([-1, 0, 1].map((step) => index.nextAccess(0, "RDT", 1, step)), [0, 1, 0]);
  assertEquals(index.nextAccess(0, "RDT", undefined, 0), 1);
  assertEquals(index.nextAccess(0, "RDT", 0, 0), -1);
  assertEquals(index.nextAccess(1, "RDT", 1, 0), -1);
});
