/** Recordings as a whole: owners, going back, permanence, and that recording changes nothing. */

import { assertEquals } from "@std/assert";
import { checkExperiment } from "../../../explorer/recording/check_experiment.ts";
import type { Experiment } from "../../../explorer/recording/experiment.ts";
import type { Report } from "../../../explorer/recording/messages.ts";
import type { Step } from "../../../explorer/recording/step.ts";
import { BUFFER } from "../../../explorer/recording/layout.ts";
import { assertOwnership } from "../../support/ownership.ts";
import { record, recordingOf } from "../../support/recording.ts";
import { runUnrecorded } from "../../support/unrecorded.ts";

/** Traffic both ways, with rings that wrap, a full ring, and frames that are dropped. */
const TRAFFIC: Partial<Experiment> = {
  batch: 16,
  queues: 2,
  buffers: 600,
  actions: [
    { do: "open" },
    ...Array.from({ length: 8 }, () =>
      [
        { do: "frame", port: 0, frame: "udp", times: 20 },
        { do: "frame", port: 1, frame: "tcp", times: 3 },
        { do: "forward", port: 0 },
        { do: "round", port: 1 },
        { do: "forward", port: 1 },
        { do: "forward", port: 0 },
        { do: "round", port: 0 },
      ] as const).flat(),
    { do: "frame", port: 0, frame: "short" },
    { do: "frame", port: 0, frame: "jumbo" },
    { do: "frame", port: 0, frame: "udp", times: 150 },
    { do: "receive", port: 0, queue: 1 },
    { do: "free" },
    { do: "round", port: 0 },
    { do: "forward", port: 0 },
    { do: "round", port: 1 },
    { do: "reclaim", port: 1 },
    { do: "statistics", port: 0 },
    { do: "close" },
  ],
};

Deno.test("At every step each buffer is in one place, and owners fit head and tail", async () => {
  const recorded = await record(TRAFFIC);
  assertEquals(recorded.errors, []);
  assertEquals(recorded.steps.filter(({ kind }) => kind === "violation"), []);
  const recording = recordingOf(recorded);
  assertOwnership(recording, checkExperiment(TRAFFIC));
  recording.moveTo(recording.end);
  const pool = recording.layout.view(recording.state, "pool/owners");
  assertEquals(pool.filter((owner) => owner !== BUFFER.FREE).length, 0, "all buffers come back");
});

Deno.test("With a budget of 1 owners fit head and tail as well", async () => {
  const experiment: Partial<Experiment> = {
    budget: 1,
    buffers: 200,
    actions: [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", times: 70 },
      ...Array(9).fill({ do: "forward", port: 0 }),
      ...Array(20).fill({ do: "round", port: 1 }),
      { do: "reclaim", port: 1 },
    ],
  };
  assertOwnership(recordingOf(await record(experiment)), checkExperiment(experiment));
});

Deno.test("Stepping back gives the state that stepping there gave", async () => {
  const recording = recordingOf(await record(TRAFFIC)), every = 101;
  const states: Uint32Array[] = [];
  for (let number = 0; number < recording.end; number += every) {
    recording.moveTo(number);
    states.push(recording.state.slice());
  }
  recording.moveTo(recording.end);
  for (let at = states.length - 1; at >= 0; at--) {
    recording.moveTo(at * every);
    assertEquals(recording.state, states[at], `step ${at * every}`);
  }
});

Deno.test("No step says that a cell had another value than the step before left", async () => {
  const { begin, steps } = await record(TRAFFIC), state = begin.state.slice();
  for (const [number, { changes, title }] of steps.entries()) {
    for (let i = 0; i < changes.length; i += 3) {
      const [cell, old, value] = changes.subarray(i, i + 3);
      assertEquals(state[cell], old, `step ${number}, ${title}: cell ${cell}`);
      state[cell] = value;
    }
  }
});

/** Records in a thread of its own, as the page does. */
async function recordInWorker(experiment: Partial<Experiment>): Promise<Step[]> {
  const url = new URL("../../../explorer/recorder/worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" }), steps: Step[] = [];
  const done = Promise.withResolvers<void>();
  worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
    if (data.type === "steps") steps.push(...data.steps);
    else if (data.type === "error") done.reject(new Error(data.message));
    else if (data.type === "idle") done.resolve();
  });
  worker.postMessage({ type: "run", experiment });
  await done.promise;
  worker.terminate();
  return steps;
}

Deno.test("A worker records the same steps each time", async () => {
  const bare = (steps: readonly Step[]) => steps.map(({ stack: _, ...step }) => step);
  const actions = [{ do: "open" }, { do: "frame", port: 0, frame: "udp", times: 9 }, {
    do: "receive",
    port: 0,
  }] as const;
  const run = async () => bare(await recordInWorker({ ports: 1, interrupts: true, actions }));
  const first = await run(), second = await run();
  assertEquals(first.length, second.length);
  first.forEach((step, i) => assertEquals(step, second[i], `step ${i}`));
});

for (const device of ["82599", "X550"] as const) {
  Deno.test(`Recording changes nothing for an ${device}: frames, statistics and registers`, async () => {
    const actions = [
      { do: "open" },
      { do: "frame", port: 0, frame: "udp", times: 50 },
      ...Array(8).fill({ do: "forward", port: 0 }),
      { do: "round", port: 1 },
      { do: "reclaim", port: 1 },
      { do: "statistics", port: 0 },
      { do: "statistics", port: 1 },
    ];
    const experiment = checkExperiment({ device, dropEnable: true, actions });
    const recorded = await record(experiment), plain = await runUnrecorded(experiment);
    const sent = recorded.steps.filter(({ kind }) => kind === "send").map(({ bytes }) => bytes);
    assertEquals(sent, plain.sent);
    const results = recorded.steps.filter(({ title }) => title.startsWith("statistics returns"));
    assertEquals(
      results.map(({ title }) => title.slice("statistics returns: ".length)),
      plain.statistics,
    );
    const recording = recordingOf(recorded);
    recording.moveTo(recording.end);
    for (const [port, registers] of plain.registers.entries()) {
      const cells = recording.layout.view(recording.state, `port${port}/registers`);
      for (const [name, [word, value]] of registers) assertEquals(cells[word], value, name);
    }
  });
}
