/** A packet's way: the order and the content of its steps. */

import { assert, assertEquals } from "@std/assert";
import type { Action } from "../../../explorer/recording/experiment.ts";
import { BUFFER, OWNER } from "../../../explorer/recording/layout.ts";
import { afterOpen, recordingOf, recordOpen, wayOf } from "../../support/recording.ts";

/** A frame from port 0 to port 1, and its buffer back in the pool. */
const FORWARDED: readonly Action[] = [
  { do: "frame", port: 0, frame: "udp" },
  { do: "forward", port: 0 },
  { do: "round", port: 1 },
  { do: "reclaim", port: 1 },
];

Deno.test("A packet's way is recorded from wire to wire, and to the pool", async () => {
  const { steps, errors } = await recordOpen(FORWARDED);
  assertEquals(errors, []);
  assertEquals(wayOf(steps, 1, true), [
    ...["arrive 0", "decide 0", "fetch 0", "dma-write 0", "write-back 0", "look 0", "touch 1"],
    ...["arm 1", "fetch 1", "dma-read 1", "send 1", "write-back 1", "look 1", "free 1"],
  ]);
});

Deno.test("Calls of the program and tails of the driver frame a packet's way", async () => {
  const { steps } = await recordOpen(FORWARDED);
  const shown = afterOpen(steps).filter(({ kind, register }) => {
    return kind === "call" || kind === "return" || register?.name === "TDT";
  });
  assertEquals(shown.map(({ title }) => title), [
    ...["rxQueues[0].receive(batch)", "rxQueues[0].receive returns: 1 packet"],
    ...["txQueues[0].transmit(batch)", "write TDT[0]", "txQueues[0].transmit returns: 1 packet"],
    ...["txQueues[0].reclaim()", "txQueues[0].reclaim returns: 1 buffer"],
  ]);
});

Deno.test("Steps have the frame's bytes, the descriptor's words, and who acts", async () => {
  const { steps } = await recordOpen(FORWARDED);
  const step = (kind: string, ring?: string) => {
    return steps.find((step) => {
      return step.frame === 1 && step.kind === kind && (!ring || step.descriptor?.ring === ring);
    })!;
  };
  const arrived = step("arrive"), written = step("dma-write"), sent = step("send");
  assertEquals(written.bytes, arrived.bytes);
  assertEquals(sent.bytes!.length, 60);
  assertEquals(sent.bytes![1], arrived.bytes![1] + 1); // touched
  assertEquals([arrived.actor, written.actor, step("touch").actor], ["wire", "device", "program"]);
  const back = step("write-back", "rx").descriptor!;
  assertEquals([back.words[2] & 3, back.words[3] & 0xffff, back.writtenBack], [3, 60, true]);
  assert(back.old[1] !== back.words[1]); // the address
  const armed = step("arm").descriptor!;
  assertEquals([armed.ring, armed.words[2] & 0xffff], ["tx", 60]);
  assertEquals(step("decide").decision!.by, "FCTRL.UPE");
});

Deno.test("What the model does has its stack, and what no stack shows has its source", async () => {
  const { steps } = await recordOpen(FORWARDED);
  for (const { kind, actor, title, stack, source } of afterOpen(steps)) {
    assert(stack || source, `${kind}: ${title}`);
    if (stack && actor === "device") {
      assert(/\/sim\//.test(stack.split("\n")[0]), `${kind}: ${stack}`);
    }
  }
});

Deno.test("DD in one descriptor makes all descriptors of the run done", async () => {
  const recorded = await recordOpen([
    { do: "frame", port: 0, frame: "udp", times: 4 },
    { do: "forward", port: 0 },
    { do: "round", port: 1 },
  ]);
  const recording = recordingOf(recorded);
  const owners = () => [...recording.layout.view(recording.state, "port1/tx0/owners")].slice(0, 5);
  const at = recorded.steps.findIndex(({ kind, port }) => kind === "write-back" && port === 1);
  recording.moveTo(at - 1);
  assertEquals(owners(), [2, 2, 2, 2, 0]);
  recording.moveTo(at);
  assertEquals(owners(), [3, 3, 3, 3, 0]);
  assertEquals(recorded.steps[at].descriptor!.index, 3);
  assert(!recorded.steps.slice(at + 1).some(({ kind }) => kind === "write-back"));
});

Deno.test("A descriptor that was read is empty until it is armed, and armed until the tail is written", async () => {
  const recorded = await recordOpen(
    [{ do: "frame", port: 0, frame: "udp", times: 8 }, { do: "receive", port: 0 }],
  );
  const recording = recordingOf(recorded), { layout, state } = recording;
  const owner = () => layout.view(state, "port0/rx0/owners")[0];
  const at = (kind: string) => {
    return recorded.steps.findLastIndex((step) => {
      return step.kind === kind && (kind === "write" || step.descriptor?.index === 0);
    });
  };
  const looked = recorded.steps[at("look")];
  recording.moveTo(at("look"));
  assertEquals([owner(), layout.view(state, "pool/owners")[looked.buffer!]], [
    OWNER.DRIVER,
    BUFFER.PROGRAM,
  ]);
  recording.moveTo(at("arm"));
  assertEquals(owner(), OWNER.ARMED);
  recording.moveTo(at("write"));
  assertEquals([recording.at(recording.position)!.title, owner()], ["write RDT[0]", OWNER.DEVICE]);
});

Deno.test("With a budget of 1, each frame is a round of its own", async () => {
  const frames: Action = { do: "frame", port: 0, frame: "udp", times: 3 };
  const kinds = async (budget: number) => {
    const { steps } = await recordOpen([frames], { budget, ports: 1 });
    return afterOpen(steps).map(({ kind }) => kind).filter((kind) =>
      /arrive|write-back/.test(kind)
    );
  };
  const one = await kinds(1), all = await kinds(64);
  assertEquals(one, Array(3).fill(["arrive", "write-back"]).flat());
  assertEquals(all, [...Array(3).fill("arrive"), ...Array(3).fill("write-back")]);
});

Deno.test("A round with nothing to do, and time that passes, are steps", async () => {
  const { steps } = await recordOpen([{ do: "round", port: 0 }, { do: "sleep", milliseconds: 5 }]);
  assertEquals(steps.slice(-2).map(({ kind, actor }) => [kind, actor]), [
    ["idle", "device"],
    ["idle", "program"],
  ]);
});

Deno.test("Buffers that the program keeps are its own until it returns them", async () => {
  const settings = { ports: 1, buffers: 128 } as const;
  const recorded = await recordOpen(
    [{ do: "hoard", buffers: 10 }, { do: "hoard", buffers: 128 }],
    settings,
  );
  const recording = recordingOf(recorded);
  const free = () => {
    const pool = recording.layout.view(recording.state, "pool/owners");
    return pool.filter((owner) => owner === BUFFER.FREE).length;
  };
  recording.moveTo(recording.end - 2);
  assertEquals(free(), 10);
  recording.moveTo(recording.end);
  assertEquals(free(), 64);
});

Deno.test("RSS spreads flows over queues, and the decision says how", async () => {
  const { steps } = await recordOpen([
    { do: "frame", port: 0, frame: "udp", times: 16 },
  ], { queues: 4, ports: 1, buffers: 512 });
  const decisions = steps.filter(({ kind }) => kind === "decide");
  const queues = new Set(decisions.map(({ title }) => /queue (\d)/.exec(title)![1]));
  assertEquals(decisions.length, 16);
  assert(queues.size > 2, [...queues].join());
  for (const { decision } of decisions) assert(/^RETA\[/.test(decision!.by), decision!.by);
});
