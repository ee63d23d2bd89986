/** Interrupts: armed, caused, sent, masked and throttled. */

import { assert, assertEquals } from "@std/assert";
import type { Action } from "../../../explorer/recording/experiment.ts";
import { afterOpen, recordOpen } from "../../support/recording.ts";

const SETTINGS = { ports: 1, interrupts: true, dropEnable: true } as const;
const FRAME: Action = { do: "frame", port: 0, frame: "udp" };

/** Records actions; returns kinds and titles of what happens to interrupts. */
async function interruptsOf(actions: readonly Action[]): Promise<string[]> {
  const { steps, errors } = await recordOpen(actions, SETTINGS);
  assertEquals(errors, []);
  return afterOpen(steps).filter(({ kind, register }) => {
    return ["cause", "interrupt", "call", "return", "arrive"].includes(kind) ||
      register?.name === "EIMS_EX";
  }).map(({ kind, title }) => `${kind}: ${title}`);
}

Deno.test("An armed vector sends a message when a frame is written back", async () => {
  assertEquals(await interruptsOf([{ do: "interrupt", port: 0 }, FRAME]), [
    "call: wait(…)",
    "write: write EIMS_EX[0]",
    "call: rxQueues[0].receive(batch)",
    "return: rxQueues[0].receive returns: 0 packets",
    "return: wait returns: the time is over",
    "arrive: frame 1: 60 bytes",
    "cause: cause of vector 0",
    "interrupt: message of vector 0",
  ]);
});

Deno.test("A cause that is pending sends its message as soon as its vector is armed", async () => {
  const steps = await interruptsOf([FRAME, { do: "interrupt", port: 0 }]);
  assertEquals(steps.slice(0, 5), [
    "arrive: frame 1: 60 bytes",
    "cause: cause of vector 0",
    "call: wait(…)",
    "write: write EIMS_EX[0]",
    "interrupt: message of vector 0",
  ]);
  assertEquals(steps.at(-1), "return: wait returns: woken");
});

Deno.test("A vector that is not armed sends no message", async () => {
  const steps = await interruptsOf([FRAME, FRAME]);
  assert(!steps.some((step) => step.startsWith("interrupt")));
  assertEquals(steps.filter((step) => step.startsWith("cause")).length, 2);
});

Deno.test("EITR holds a message back until its interval is over", async () => {
  const steps = await interruptsOf([
    { do: "throttle", port: 0, microseconds: 1000 },
    ...[{ do: "interrupt", port: 0 }, FRAME, { do: "receive", port: 0 }, { do: "free" }] as const,
    ...[{ do: "interrupt", port: 0 }, FRAME, { do: "sleep", milliseconds: 2 }] as const,
  ]);
  const messages = steps.filter((step) => step.includes("message"));
  assertEquals(messages, [
    "interrupt: message of vector 0",
    "cause: message of vector 0 is held back",
    "interrupt: message of vector 0",
  ]);
});

Deno.test("The hybrid mode polls while packets come, and arms the vector when none do", async () => {
  const steps = await interruptsOf([
    { do: "frame", port: 0, frame: "udp", times: 9 },
    { do: "hybrid", port: 0 },
    FRAME,
  ]);
  const told = steps.filter((step) => /^(return|write|interrupt)/.test(step));
  assertEquals(told, [
    "return: rxQueues[0].receive returns: 8 packets",
    "return: sleepIfIdle returns: packets have come lately",
    "return: rxQueues[0].receive returns: 1 packet",
    "return: sleepIfIdle returns: packets have come lately",
    "return: rxQueues[0].receive returns: 0 packets",
    "write: write EIMS_EX[0]",
    "interrupt: message of vector 0", // the cause of the frames that polling has found
    "return: rxQueues[0].receive returns: 0 packets",
    "return: sleepIfIdle returns: woken",
    "return: rxQueues[0].receive returns: 0 packets",
    "write: write EIMS_EX[0]",
    "return: rxQueues[0].receive returns: 0 packets",
    "return: sleepIfIdle returns: the program sleeps",
    "interrupt: message of vector 0",
  ]);
});

Deno.test("Without interrupts, waiting for one is refused with a sentence", async () => {
  for (const what of ["interrupt", "hybrid"] as const) {
    const { errors } = await recordOpen([{ do: what, port: 0 }], { ports: 1 });
    assertEquals(errors, ["the devices have no interrupts: set `interrupts` of the experiment"]);
  }
});
