/** Experiments from outside: each setting that is not valid gives a sentence with what it can be. */

import { assertEquals, assertThrows } from "@std/assert";
import { checkAction, checkExperiment } from "../../../explorer/recording/check_experiment.ts";
import { type Action, DEFAULTS } from "../../../explorer/recording/experiment.ts";
import { UsageError } from "../../../src/errors.ts";

const INVALID: readonly (readonly [unknown, string])[] = [
  [5, "an experiment is an object with settings, not 5"],
  [{ device: "e1000" }, '`device` is one of 82599, X540, X550, virtio, not "e1000"'],
  [{ ports: 3 }, "`ports` is one of 1, 2, not 3"],
  [{ entries: 100 }, "`entries` is a power of two: 64 to 4096, or 16 to 256 for virtio, not 100"],
  [{ batch: 0 }, "`batch` is a whole number from 1 to 32, not 0"],
  [{ bufferSize: 1024 }, "`bufferSize` is one of 2048, 4096, not 1024"],
  [{ promiscuous: "yes" }, '`promiscuous` is one of true, false, not "yes"'],
  [
    { buffers: 100 },
    "`buffers` is 100, and 2 receive ring(s) of 64 descriptors need 128: use more buffers, fewer " +
    "queues or smaller rings",
  ],
  [
    { actions: [] },
    '`actions` is a list of at most 10000 actions that begins with "open", not an object',
  ],
  [
    { actions: [{ do: "open" }, { do: "jump" }] },
    "an action does one of open, frame, round, receive, transmit, free, reclaim, forward, hoard, " +
    'statistics, interrupt, hybrid, throttle, sleep, break, close, not "jump"',
  ],
  [
    { ports: 1, actions: [{ do: "open" }, { do: "round", port: 1 }] },
    '`port` of the action "round" is the number of a port: from 0, less than `ports`, not 1',
  ],
  [
    { actions: [{ do: "open" }, { do: "frame", port: 0, frame: "arp" }] },
    '`frame` of the action "frame" is one of udp, tcp, foreign, broadcast, multicast, vlan, short, ' +
    'long, jumbo, damaged, ping, not "arp"',
  ],
  [
    { speed: 1 },
    "an experiment has no `speed`: it has device, ports, entries, batch, queues, " +
    "buffers, bufferSize, dropEnable, promiscuous, interrupts, budget, actions",
  ],
];

for (const [value, sentence] of INVALID) {
  Deno.test(`checkExperiment() refuses ${JSON.stringify(value)}`, () => {
    assertThrows(() => checkExperiment(value), UsageError, sentence);
  });
}

Deno.test("checkExperiment() fills in what is left out", () => {
  assertEquals(checkExperiment({ ports: 1 }), { ...DEFAULTS, ports: 1 });
});

Deno.test("checkAction() names a part that the action does not have", () => {
  const action = { do: "free", port: 0 } as unknown as Action;
  assertThrows(
    () => checkAction(DEFAULTS, action),
    UsageError,
    'the action "free" has no `port`: it has no parts',
  );
});
