/** The index of a recording, and what views read from it. */

import { assertEquals } from "@std/assert";
import { changedBytes, frameAt } from "../../../../explorer/page/views/packet/frame_bytes.ts";
import { RecordingIndex } from "../../../../explorer/page/views/recording_index.ts";
import { Layout } from "../../../../explorer/recording/layout.ts";
import { Recording } from "../../../../explorer/recording/recording.ts";
import type { Kind, Step } from "../../../../explorer/recording/step.ts";

const NOTHING = { actor: "driver", port: 0, title: "", changes: new Uint32Array() } as const;

function access(kind: "read" | "write", name: string, index = 0, times = 1): Step {
  return { ...NOTHING, kind, times, register: { name, index, offset: 0, old: 0, value: 0 } };
}

function moved(kind: Kind, frame: number, bytes: number[], port = 0): Step {
  return { ...NOTHING, kind, port, frame, bytes: Uint8Array.from(bytes) };
}

function recordingOf(steps: Step[], most?: number): Recording {
  const recording = new Recording(new Layout(), new Uint32Array(), most);
  recording.push(...steps);
  return recording;
}

Deno.test("RecordingIndex.counts() counts accesses up to a step, and those of one step as often", () => {
  const recording = recordingOf([
    access("write", "RDT"),
    access("read", "LINKS", 0, 5),
    access("write", "RDT"),
    access("write", "RDT", 1),
  ]);
  const index = RecordingIndex.of(recording);
  const counts = (name: string, copy: number, step: number) => {
    const { reads, writes } = index.counts(0, name, copy, step);
    return [reads, writes];
  };
  assertEquals(counts("RDT", 0, -1), [0, 0]);
  assertEquals(counts("RDT", 0, 1), [0, 1]);
  assertEquals(counts("RDT", 0, 3), [0, 2]);
  assertEquals(counts("LINKS", 0, 3), [5, 0]);
  assertEquals(index.accessed(0, "RDT", 2), [0]);
  assertEquals(index.accessed(0, "RDT", 3), [0, 1]);
  assertEquals(index.accessed(1, "RDT", 3), []);
});

Deno.test("RecordingIndex.of() follows a recording that grows and loses its oldest steps", () => {
  const recording = recordingOf([access("write", "RDT"), access("write", "RDT")], 8);
  assertEquals(RecordingIndex.of(recording).counts(0, "RDT", 0, 1).writes, 2);
  for (let i = 0; i < 8; i++) recording.push(access("write", "TDT"));
  const index = RecordingIndex.of(recording);
  assertEquals(index.from, recording.first);
  const { writes } = index.counts(0, "TDT", 0, recording.end - 1);
  assertEquals(
    writes + index.counts(0, "RDT", 0, recording.end - 1).writes,
    recording.end - recording.first,
  );
});

Deno.test("frameAt() shows the last frame before a step that is about none", () => {
  const recording = recordingOf([
    access("write", "CTRL"),
    moved("arrive", 1, [1, 2, 3]),
    access("read", "CTRL"),
  ]);
  assertEquals(frameAt(recording, 0), undefined);
  assertEquals(frameAt(recording, 2)?.frame, 1);
});

Deno.test("frameAt() shows bytes as they are at the step, and changedBytes() what the program changed", () => {
  const recording = recordingOf([
    moved("arrive", 1, [1, 2, 3]),
    moved("touch", 1, [1, 9, 3]),
    moved("arrive", 2, [7]),
  ]);
  const [before, after] = [0, 1].map((step) => frameAt(recording, step)!);
  assertEquals([...before.bytes], [1, 2, 3]);
  assertEquals([...changedBytes(before)], []);
  assertEquals([...changedBytes(after)], [1]);
  assertEquals([...frameAt(recording, 2, 1)!.bytes], [1, 9, 3]); // the one that was chosen
});

Deno.test("frameAt() shows which bytes of a frame over several buffers a step moves", () => {
  const recording = recordingOf([
    moved("arrive", 1, [1, 2, 3, 4, 5]),
    moved("dma-write", 1, [1, 2]),
    moved("dma-write", 1, [3, 4]),
    moved("dma-write", 1, [5]),
  ]);
  const ranges = [1, 2, 3].map((step) => frameAt(recording, step)?.moved);
  assertEquals(ranges, [[0, 2], [2, 4], [4, 5]]);
  assertEquals([...frameAt(recording, 3)!.bytes], [1, 2, 3, 4, 5]);
});

Deno.test("frameAt() joins the parts of a frame whose arrival is gone", () => {
  const recording = recordingOf([moved("dma-read", 3, [1, 2]), moved("dma-read", 3, [3])]);
  assertEquals([...frameAt(recording, 1)!.bytes], [1, 2, 3]);
});
