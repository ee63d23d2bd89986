/** `VirtioRecorder`: order and content of steps, who owns what at each step, and that it only watches. */

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import fc from "fast-check";
import { checkExperiment } from "../../../explorer/recording/check_experiment.ts";
import { type Action, BREAKS, type Experiment } from "../../../explorer/recording/experiment.ts";
import { Layout, statisticsSection } from "../../../explorer/recording/layout.ts";
import { Recording } from "../../../explorer/recording/recording.ts";
import type { Step } from "../../../explorer/recording/step.ts";
import { VirtioRecorder } from "../../../explorer/recorder/virtio/recorder.ts";
import { STATISTICS } from "../../../explorer/recorder/virtio/port.ts";
import { UsageError } from "../../../mod.ts";
import { UnrecordedVirtio } from "../../support/unrecorded_virtio.ts";
import { checkSteps, freeBuffers } from "../../support/virtio_owners.ts";

const OPEN: Action = { do: "open" };

function experiment(settings: Partial<Experiment>, ...actions: readonly Action[]): Experiment {
  const small = { device: "virtio", entries: 16, buffers: 256, batch: 4 } as const;
  return checkExperiment({ ...small, ...settings, actions: [OPEN, ...actions] });
}

/** Records an experiment; `after` is called with the recording after each action. */
async function record(
  experiment: Experiment,
  after: (recording: Recording, action: number) => void = () => {},
): Promise<{ steps: Step[]; recording: Recording }> {
  const steps: Step[] = [];
  using recorder = new VirtioRecorder(experiment, (step) => steps.push(step));
  const recording = new Recording(new Layout(recorder.begin.sections), recorder.begin.state);
  for (const [i, action] of experiment.actions.entries()) {
    const from = steps.length;
    await recorder.act(action);
    recording.push(...steps.slice(from));
    after(recording, i);
  }
  return { steps, recording };
}

/** The steps of an experiment after the initialisation. */
async function stepsOf(
  settings: Partial<Experiment>,
  ...actions: readonly Action[]
): Promise<Step[]> {
  let opened = 0;
  const { steps } = await record(experiment(settings, ...actions), ({ end }, action) => {
    if (action === 0) opened = end;
  });
  return steps.slice(opened);
}

const frame = (port = 0, times = 1, kind: "udp" | "jumbo" | "foreign" = "udp"): Action => {
  return { do: "frame", port, frame: kind, times };
};
const round = (port: number): Action => ({ do: "round", port });
const receive = (port: number): Action => ({ do: "receive", port });
const transmit = (port: number): Action => ({ do: "transmit", port });

const kinds = (steps: readonly Step[]) => steps.map(({ kind, actor }) => `${actor} ${kind}`);
const titles = (steps: readonly Step[]) => steps.map(({ title }) => title);

Deno.test("VirtioRecorder tells an initialisation in the order of section 3.1.1", async () => {
  const { steps } = await record(experiment({ ports: 1 }));
  const chapters = steps.map(({ chapter }) => chapter).filter((c, i, all) => c !== all[i - 1]);
  assertEquals(chapters, [
    "open()",
    "reset",
    "features",
    "queues",
    "start",
    "open()",
    "waitForLink()",
  ]);
  const status = titles(steps).filter((title) => title.startsWith("write device_status"));
  assertEquals(status, [
    "write device_status = 0",
    "write device_status = ACKNOWLEDGE",
    "write device_status = ACKNOWLEDGE | DRIVER",
    "write device_status = ACKNOWLEDGE | DRIVER | FEATURES_OK",
    "write device_status = ACKNOWLEDGE | DRIVER | DRIVER_OK | FEATURES_OK",
  ]);
  const features = titles(steps).filter((title) => /_feature/.test(title));
  assertMatch(features[0], /^read device_feature: CSUM, EVENT_IDX, MAC, MRG_RXBUF, .*VERSION_1/);
  assertMatch(features[1], /^write driver_feature = MAC, MRG_RXBUF, .*VERSION_1/);
  assert(!features[1].includes("EVENT_IDX"));
  const at = (title: string) => {
    const i = titles(steps).findIndex((is) => is.startsWith(title));
    assert(i >= 0, title);
    return i;
  };
  const order = [
    ...["receiveq1: descriptor 0", "receiveq1: descriptor 15", "write queue_desc"],
    ...["transmitq1: 8 chains", "write device_status = ACKNOWLEDGE | DRIVER | DRIVER_OK"],
    ...["receiveq1: avail.idx = 16", "receiveq1: used.flags is 0", "notify the device: receiveq1"],
    ...["controlq: descriptor 0", "notify the device: controlq", "executes VIRTIO_NET_CTRL_RX_PR"],
    ...["controlq: used.idx = 1", "controlq: used.idx is 1", "waitForLink returns"],
  ].map(at);
  assertEquals(order, order.toSorted((a, b) => a - b));
  for (const step of steps) {
    if (step.kind === "call" || step.kind === "return") continue;
    assert(step.why, step.title);
    if (step.kind !== "configuration") assertMatch(step.section ?? "", /^VirtIO \d/, step.title);
  }
});

Deno.test("VirtioRecorder follows a frame from wire to wire, and its buffer back to the pool", async () => {
  const reclaim: Action = { do: "reclaim", port: 1 };
  const steps = await stepsOf(
    {},
    ...[round(0), round(1), frame(), receive(0), transmit(1), round(1), reclaim],
  );
  const ofFrame = steps.slice(2); // after the first rounds
  assertEquals(kinds(ofFrame), [
    ...["wire arrive", "device decide", "device fetch", "device fetch"], // available entry, descriptor
    ...["device dma-write", "device dma-write", "device write-back", "device write-back"],
    "device look", // avail.flags
    ...["program call", "driver look", "driver look", "driver touch", "driver return"],
    ...["program touch", "program call", "driver arm", "driver write", "driver look"],
    ...["driver write", "driver return"],
    "device write-back", // used.flags
    ...["device fetch", "device fetch", "device fetch", "device dma-read", "device dma-read"],
    ...["device send", "device write-back", "device write-back", "device look"],
    "device write-back",
    ...["program call", "driver look", "driver free", "driver return"],
  ]);
  const about = ofFrame.filter(({ frame }) => frame === 1).map(({ kind }) => kind);
  assertEquals(about, [
    ...["arrive", "decide", "fetch", "fetch", "dma-write", "dma-write", "write-back", "write-back"],
    ...["look", "look", "touch", "touch", "arm", "fetch", "dma-read", "send", "free"],
  ]);
  const [arrived, sent] = ["arrive", "send"].map((kind) => {
    return [...ofFrame.find((step) => step.kind === kind)!.bytes!];
  });
  arrived[1]++;
  assertEquals(sent, arrived, "one byte was touched");
});

/** Actions in any order, of which those that are impossible are left out. */
const ACTIONS = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant("frame" as const),
      port: fc.nat(1),
      frame: fc.constantFrom(
        "udp",
        "tcp",
        "jumbo",
        "vlan",
        "broadcast",
        "short",
        "long",
        "foreign",
      ),
      times: fc.integer({ min: 1, max: 6 }),
    }),
    fc.record({ do: fc.constant("round" as const), port: fc.nat(1) }),
    fc.record({ do: fc.constant("forward" as const), port: fc.nat(1) }),
    fc.record({
      do: fc.constantFrom("receive", "transmit", "reclaim"),
      port: fc.nat(1),
      queue: fc.nat(1),
    }),
    fc.record({ do: fc.constant("hoard" as const), buffers: fc.constantFrom(0, 2, 100, 256) }),
    fc.record({ do: fc.constantFrom("free", "close", "open") }),
  ),
  { maxLength: 60 },
);

Deno.test("VirtioRecorder knows who owns what at each step, and changes nothing", async () => {
  await fc.assert(
    fc.asyncProperty(
      ACTIONS,
      fc.record({
        budget: fc.constantFrom(1, 3, 64),
        batch: fc.constantFrom(1, 4, 32),
        dropEnable: fc.boolean(),
        promiscuous: fc.boolean(),
      }),
      async (actions, settings) => {
        const all = experiment({ ...settings, queues: 2 }, ...actions as Action[]);
        using plain = new UnrecordedVirtio(all);
        const possible: Action[] = [], free: number[] = [];
        for (const action of all.actions) {
          if (!await plain.act(action)) continue;
          possible.push(action);
          free.push(plain.pool.freeCount);
        }
        const { steps, recording } = await record({ ...all, actions: possible }, (recording, i) => {
          recording.moveTo(recording.end - 1);
          assertEquals(freeBuffers(recording), free[i], `after ${possible[i].do}`);
        });
        plain.statistics().forEach((counts, port) => {
          const { layout, state } = recording;
          const recorded = [...layout.view(state, statisticsSection(port))];
          assertEquals(recorded, STATISTICS.map((name) => counts[name]));
        });
        const sent = steps.filter(({ kind }) => kind === "send").map(({ bytes }) => [...bytes!]);
        assertEquals(sent, plain.sent.map((bytes) => [...bytes]));
        assertEquals(steps.filter(({ kind }) => kind === "violation"), []);
        checkSteps(recording, all);
      },
    ),
    { numRuns: 25 },
  );
});

Deno.test("VirtioRecorder makes the same steps each time", async () => {
  const all = experiment({}, frame(0, 5), { do: "forward", port: 0 }, round(1));
  const [first, second] = [await record(all), await record(all)].map(({ steps }) => {
    return steps.map(({ stack: _, ...step }) => ({ ...step, changes: [...step.changes] }));
  });
  // Addresses in descriptors depend on what this process has allocated before.
  const without = (steps: typeof first) => steps.map(({ descriptor: _, changes: __, ...s }) => s);
  assertEquals(without(first), without(second));
});

Deno.test("VirtioRecorder shows when notifications are suppressed", async () => {
  const steps = await stepsOf(
    { budget: 1, batch: 2 },
    ...[round(0), frame(0, 4)],
    ...[receive(0), transmit(1), round(1), receive(0), transmit(1), round(1), round(1), round(1)],
  );
  const about = titles(steps).filter((title) => /^transmitq1: used.flags|^notify/.test(title));
  assertEquals(about, [
    "transmitq1: used.flags is 0", // the driver looks
    "notify the device: transmitq1",
    "transmitq1: used.flags = NO_NOTIFY", // the device has one chain left
    "transmitq1: used.flags is NO_NOTIFY",
    "transmitq1: used.flags = 0", // after its last chain
  ]);
});

Deno.test("VirtioRecorder shows a frame that waits for chains, or is dropped without", async () => {
  const free: Action = { do: "free" };
  // The second call posts what the first one has received.
  const actions = [frame(0, 17), receive(0), free, receive(0), free, round(0)];
  const last = (steps: Step[], kind: string) => steps.find((step) => step.kind === kind);
  const waiting = await stepsOf({}, ...actions);
  assertEquals(last(waiting, "wait")?.frame, 17);
  assert(
    titles(waiting).includes("receiveq1: used.flags = 0"),
    "the device asks for a notification",
  );
  assert(titles(waiting).includes("notify the device: receiveq1"));
  const written = waiting.filter(({ kind, frame }) => kind === "dma-write" && frame === 17);
  assertEquals(written.length, 2);
  const dropped = await stepsOf({ dropEnable: true }, ...actions);
  assertEquals(last(dropped, "drop")?.decision?.by, "avail.idx");
  assertEquals(last(dropped, "wait"), undefined);
});

Deno.test("VirtioRecorder says why the device or the driver drops a frame", async () => {
  const [foreign] = (await stepsOf({ promiscuous: false }, frame(0, 1, "foreign")))
    .filter(({ kind }) => kind === "drop");
  assertEquals([foreign.actor, foreign.decision?.by], ["device", "mac"]);
  assertMatch(foreign.why!, /not for 52:54:00:00:00:01/);
  const jumbo = await stepsOf({}, frame(0, 1, "jumbo"), receive(0));
  const [first] = jumbo.filter(({ kind }) => kind === "drop");
  assertEquals([first.actor, first.decision?.by, first.frame], ["driver", "rxTooLong", 1]);
  assert(titles(jumbo).some((title) => title.endsWith("num_buffers 3")));
  const empty = await stepsOf({}, { do: "hoard", buffers: 0 }, frame(), receive(0));
  const [noBuffer] = empty.filter(({ kind }) => kind === "drop");
  assertEquals([noBuffer.actor, noBuffer.decision?.by], ["driver", "rxNoBuffer"]);
});

Deno.test("VirtioRecorder: each rule that is broken lights up, with its section", async () => {
  const sections = [];
  for (const rule of BREAKS) {
    const steps = await stepsOf({}, { do: "break", port: 1, rule }, { do: "close" }, OPEN);
    const broken = steps.filter(({ kind }) => kind === "violation");
    assertEquals(broken.length, 1, rule);
    sections.push([broken[0].rule!.register, broken[0].section]);
  }
  assertEquals(sections, [
    ["avail.idx", "VirtIO 2.7.13.3"],
    ["queue_notify", "VirtIO 3.1.1"],
    ["desc[1].addr", "VirtIO 2.7.5"],
  ]);
});

Deno.test("VirtioRecorder refuses what is not possible with a sentence", async () => {
  const refused = async (message: string, settings: Partial<Experiment>, ...actions: Action[]) => {
    await assertRejects(() => stepsOf(settings, ...actions), UsageError, message);
  };
  await refused("VirtIO devices do not support the option `interrupts`", { interrupts: true });
  await refused("has no interrupts: it polls", {}, { do: "interrupt", port: 0 });
  await refused("the program has no batch", {}, transmit(0));
  await refused("still has a batch", {}, frame(), receive(0), receive(0));
  await refused("needs two ports", { ports: 1 }, { do: "forward", port: 0 });
  await refused("the devices are open", {}, OPEN);
  await refused("the devices are closed", {}, { do: "close" }, receive(0));
  const rule: Action = { do: "break", port: 0, rule: "tail-beyond-end" };
  await refused("has broken a rule", {}, rule, receive(0));
});
