/** Rules of the datasheet that an experiment breaks, and actions that are not possible. */

import { assertEquals } from "@std/assert";
import type { Action, Break } from "../../../explorer/recording/experiment.ts";
import { Session } from "../../../explorer/recorder/session.ts";
import { recordOpen } from "../../support/recording.ts";

const RULES: readonly (readonly [Break, readonly string[]])[] = [
  ["tail-beyond-end", ["RDT[0] 8.2.3.8.5 inside the ring"]],
  ["te-before-ring", [
    "TDLEN[1] 8.2.3.9.7 a multiple of 128 bytes, not 0",
    "TDBAL[1] 8.2.3.9.5 written only while TXDCTL.ENABLE is 0",
  ]],
  ["buffer-outside-map", [
    "RDBAL[0] 7.1.6.1 buffers of BSIZEPACKET bytes in memory the device may write",
  ]],
];

for (const [rule, broken] of RULES) {
  Deno.test(`Breaking "${rule}" is recorded with register, section and rule`, async () => {
    const { steps, errors } = await recordOpen([{ do: "break", port: 0, rule }], { ports: 1 });
    assertEquals(errors, []);
    const violations = steps.filter(({ kind }) => kind === "violation");
    assertEquals(
      violations.map(({ rule }) => `${rule!.register} ${rule!.section} ${rule!.rule}`),
      broken,
    );
  });
}

Deno.test("A rule that is broken again is recorded again", async () => {
  const again: Action = { do: "break", port: 0, rule: "tail-beyond-end" };
  const { steps } = await recordOpen([again, again], { ports: 1 });
  assertEquals(steps.filter(({ kind }) => kind === "violation").length, 2);
});

Deno.test("After a tail beyond the end the device goes on with the right one", async () => {
  const { steps } = await recordOpen([
    { do: "break", port: 0, rule: "tail-beyond-end" },
    { do: "frame", port: 0, frame: "udp" },
    { do: "receive", port: 0 },
  ], { ports: 1 });
  assertEquals(steps.at(-1)!.title, "rxQueues[0].receive returns: 1 packet");
});

const IMPOSSIBLE: readonly (readonly [Action, string])[] = [
  [{ do: "transmit", port: 0 }, "the program has no batch: receive one first"],
  [{ do: "free" }, "the program has no batch: receive one first"],
  [{ do: "forward", port: 0 }, "to forward needs two ports: set `ports` to 2"],
  [{ do: "open" }, "the devices are open: close them first"],
];

Deno.test("An action that is not possible is refused with a sentence, and the next one works", async () => {
  const errors: string[] = [];
  using session = new Session({ ports: 1 }, (report) => {
    if (report.type === "error") errors.push(report.message);
  });
  await session.run();
  for (const [action, sentence] of IMPOSSIBLE) {
    await session.act(action);
    assertEquals(errors.splice(0), [sentence]);
  }
  await session.act({ do: "receive", port: 0 });
  await session.act({ do: "close" });
  assertEquals(errors, []);
  for (const action of ["receive", "reclaim", "statistics"] as const) {
    await session.act({ do: action, port: 0 });
    assertEquals(errors.splice(0), ["the devices are closed: open them first"], action);
  }
  await session.act({ do: "open" });
  assertEquals(errors, []);
});
