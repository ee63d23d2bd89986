/** What becomes of frames: dropped, kept, or too long for a buffer, each with its reason. */

import { assert, assertEquals } from "@std/assert";
import type { Action, Experiment, FrameKind } from "../../../explorer/recording/experiment.ts";
import type { Step } from "../../../explorer/recording/step.ts";
import { statisticsSection } from "../../../explorer/recording/layout.ts";
import { afterOpen, recordingOf, recordOpen, wayOf } from "../../support/recording.ts";

/** Records one frame, and returns the steps after the devices are open. */
async function stepsOf(
  frame: FrameKind,
  settings: Partial<Experiment> = {},
): Promise<Step[]> {
  const { steps, errors } = await recordOpen([{ do: "frame", port: 0, frame }], {
    ports: 1,
    ...settings,
  });
  assertEquals(errors, []);
  assertEquals(steps.filter(({ kind }) => kind === "violation"), []);
  return afterOpen(steps);
}

const DROPS: readonly (readonly [FrameKind, string, string, Partial<Experiment>?])[] = [
  ["short", "RUC", "RUC"],
  ["long", "MAXFRS", "ROC"],
  ["foreign", "RAL", "", { promiscuous: false }],
  ["multicast", "MCSTCTRL.MFE", "", { promiscuous: false }],
];

for (const [frame, by, counter, settings] of DROPS) {
  Deno.test(`A ${frame} frame is dropped by ${by}`, async () => {
    const recorded = await recordOpen([{ do: "frame", port: 0, frame }], { ports: 1, ...settings });
    const recording = recordingOf(recorded), drop = recorded.steps.at(-1)!;
    assertEquals(wayOf(recorded.steps, 1), ["arrive", "drop"]);
    assert(drop.decision!.by.startsWith(by), drop.decision!.by);
    assert(drop.decision!.section !== "" && drop.why!.endsWith("."), JSON.stringify(drop.decision));
    if (counter === "") return;
    recording.moveTo(recording.end);
    const place = recorded.begin.statistics.indexOf(counter);
    assertEquals(recording.layout.view(recording.state, statisticsSection(0))[place], 1);
  });
}

for (const frame of ["udp", "tcp", "ping", "vlan", "damaged", "broadcast"] as const) {
  Deno.test(`A ${frame} frame is accepted`, async () => {
    const steps = await stepsOf(frame, { promiscuous: frame === "vlan" });
    assertEquals(wayOf(steps, 1), ["arrive", "decide", "fetch", "dma-write", "write-back"]);
  });
}

Deno.test("A jumbo frame takes several descriptors, and the driver drops it", async () => {
  const actions: Action[] = [{ do: "frame", port: 0, frame: "jumbo" }, { do: "receive", port: 0 }];
  const { steps } = await recordOpen(actions, { ports: 1 });
  const limit = afterOpen(steps).find(({ register, kind }) => {
    return register?.name === "MAXFRS" && kind === "write";
  });
  assert(limit !== undefined && limit.why!.includes("experiment"));
  assertEquals(wayOf(steps, 1), [
    ...["arrive", "decide", "fetch", "dma-write", "fetch", "dma-write", "fetch", "dma-write"],
    ...["write-back", "write-back", "write-back", "look", "look", "look"],
  ]);
  const returned = steps.at(-1)!;
  assertEquals(returned.title, "rxQueues[0].receive returns: 0 packets");
});

Deno.test("Without descriptors frames wait in order, and go on when there are some", async () => {
  const settings = { ports: 1, batch: 32, dropEnable: false } as const;
  const { steps, errors } = await recordOpen([
    { do: "frame", port: 0, frame: "udp", times: 65 },
    { do: "receive", port: 0 },
    { do: "round", port: 0 },
  ], settings);
  assertEquals(errors, []);
  assertEquals(
    wayOf(steps, 63),
    ["arrive", "decide", "fetch", "dma-write", "write-back", "look"].slice(0, 5),
  );
  for (const frame of [64, 65]) {
    const way = ["arrive", "decide", "wait", "fetch", "dma-write", "write-back"];
    assertEquals(wayOf(steps, frame), way, `frame ${frame}`);
  }
  const wait = steps.find(({ kind }) => kind === "wait")!;
  assert(wait.why!.includes("waits in packet buffer 0"), wait.why);
});

Deno.test("Without descriptors and with DROP_EN frames are dropped", async () => {
  const { steps } = await recordOpen([{ do: "frame", port: 0, frame: "udp", times: 65 }], {
    ports: 1,
    dropEnable: true,
  });
  assertEquals(wayOf(steps, 64), ["arrive", "decide", "drop"]);
  const drop = steps.at(-1)!;
  assertEquals([drop.kind, drop.decision!.by], ["drop", "SRRCTL[0].DROP_EN"]);
  assert(!afterOpen(steps).some(({ register }) => register?.name === "SRRCTL"));
});

Deno.test("With an empty pool the driver drops packets", async () => {
  const { steps } = await recordOpen([
    { do: "hoard", buffers: 0 },
    { do: "frame", port: 0, frame: "udp", times: 2 },
    { do: "receive", port: 0 },
    { do: "statistics", port: 0 },
  ], { ports: 1 });
  const arms = afterOpen(steps).filter(({ kind }) => kind === "arm");
  assertEquals(arms.map(({ buffer }) => buffer), [0, 1]); // the same buffers again
  assertEquals(wayOf(steps, 1).at(-1), "look");
  assert(steps.some(({ title }) => title === "rxQueues[0].receive returns: 0 packets"));
});
