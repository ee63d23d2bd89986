/** What becomes of frames: dropped, kept, or too long for a buffer, each with its reason. */

import { assert, assertEquals } from "@std/assert";
import type { Action, FrameKind } from "../../../explorer/recording/experiment.ts";
import { statisticsSection } from "../../../explorer/recording/layout.ts";
import {
  afterOpen,
  type Recorded,
  recordingOf,
  recordOpen,
  wayOf,
} from "../../support/recording.ts";

/** Frames that a port without promiscuous mode gets, one of each kind. */
const KINDS: readonly FrameKind[] = [
  ...[
    "short",
    "long",
    "foreign",
    "multicast",
    "udp",
    "tcp",
    "ping",
    "damaged",
    "broadcast",
  ] as const,
];

/** Records a frame of each kind. */
function recordKinds(): Promise<Recorded> {
  const actions = KINDS.map((frame): Action => ({ do: "frame", port: 0, frame }));
  return recordOpen(actions, { ports: 1, promiscuous: false });
}

const DROPS: readonly (readonly [FrameKind, by: string, counter?: string])[] = [
  ["short", "RUC", "RUC"],
  ["long", "MAXFRS", "ROC"],
  ["foreign", "RAL"],
  ["multicast", "MCSTCTRL.MFE"],
];

for (const [kind, by, counter] of DROPS) {
  Deno.test(`A ${kind} frame is dropped by ${by}`, async () => {
    const recorded = await recordKinds(), frame = KINDS.indexOf(kind) + 1;
    assertEquals(wayOf(recorded.steps, frame), ["arrive", "drop"]);
    const number = recorded.steps.findIndex((step) => step.frame === frame && step.kind === "drop");
    const { decision, why } = recorded.steps[number];
    assert(decision!.by.startsWith(by), decision!.by);
    assert(decision!.section !== "" && why!.endsWith("."), JSON.stringify(decision));
    if (counter === undefined) return;
    const recording = recordingOf(recorded), place = recorded.begin.statistics.indexOf(counter);
    const count = () => recording.layout.view(recording.state, statisticsSection(0))[place];
    recording.moveTo(number - 1);
    assertEquals(count(), 0);
    recording.moveTo(number);
    assertEquals(count(), 1);
  });
}

Deno.test("Frames for the port are accepted, and damaged ones, whose checksum is not the MAC's", async () => {
  const { steps, errors } = await recordKinds();
  assertEquals(errors, []);
  assertEquals(steps.filter(({ kind }) => kind === "violation"), []);
  for (const kind of ["udp", "tcp", "ping", "damaged", "broadcast"] as const) {
    const way = wayOf(steps, KINDS.indexOf(kind) + 1);
    assertEquals(way, ["arrive", "decide", "fetch", "dma-write", "write-back"], kind);
  }
});

Deno.test("In promiscuous mode frames for other stations, and those with a VLAN tag, are accepted", async () => {
  const { steps } = await recordOpen([
    { do: "frame", port: 0, frame: "foreign" },
    { do: "frame", port: 0, frame: "vlan" },
  ], { ports: 1 });
  const decisions = steps.filter(({ kind }) => kind === "decide");
  assertEquals(decisions.map(({ decision }) => decision!.by), ["FCTRL.UPE", "FCTRL.UPE"]);
});

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

Deno.test("A pool that is empty gets back the buffers that another port has sent", async () => {
  const { steps, errors } = await recordOpen([
    { do: "frame", port: 0, frame: "udp", times: 8 },
    { do: "forward", port: 0 },
    { do: "round", port: 1 },
    { do: "hoard", buffers: 0 },
    { do: "frame", port: 0, frame: "udp" },
    { do: "receive", port: 0 },
  ]);
  assertEquals(errors, []);
  const last = afterOpen(steps).slice(-12).map(({ kind, port }) => `${kind} ${port}`);
  const frees = Array(8).fill("free 1");
  assertEquals(last, ["look 1", ...frees, "look 0", "look 0", "return 0"]);
});
