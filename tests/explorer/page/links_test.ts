/** Permanent links. */

import { assertEquals, assertThrows } from "@std/assert";
import { linkTo, readLink } from "../../../explorer/page/links.ts";
import { DEFAULTS, type Experiment } from "../../../explorer/recording/experiment.ts";
import { UsageError } from "../../../src/errors.ts";

const EXPERIMENT: Experiment = {
  ...DEFAULTS,
  device: "X550",
  queues: 4,
  promiscuous: false,
  actions: [
    { do: "open" },
    { do: "frame", port: 0, frame: "vlan", flow: 3 },
    { do: "receive", port: 0, queue: 2 },
    { do: "break", port: 1, rule: "te-before-ring" },
    { do: "close" },
  ],
};
const LINK =
  "x=device:X550,queues:4,promiscuous:false;open;frame:0:vlan::3;receive:0:2;break:1:te-before-ring;close&step=7";

Deno.test("linkTo() writes settings that differ, actions in order, and the step from 1", () => {
  assertEquals(linkTo({ experiment: EXPERIMENT, step: 6 }), LINK);
  assertEquals(linkTo({ lesson: "rss", step: 0 }), "lesson=rss&step=1");
  assertEquals(linkTo({ step: -1 }), "");
});

Deno.test("readLink() returns what linkTo() was given", () => {
  assertEquals(readLink(LINK), { experiment: EXPERIMENT, step: 6 });
  assertEquals(readLink(encodeURI(LINK)), { experiment: EXPERIMENT, step: 6 });
  assertEquals(readLink("lesson=rss&step=1"), { lesson: "rss", step: 0 });
  assertEquals(readLink(""), {});
});

Deno.test("readLink() refuses what it does not know, with a sentence that names it", () => {
  const refused: Record<string, string> = {
    "y=1": "`y`",
    "step=0": "`step`",
    "step=1e3": '"1e3"',
    "x=size:3;open": "`size`",
    "x=device:i40e;open": "`device`",
    "x=;open;fly": '"fly"',
    "x=;open;round:0:1": '"round:0:1"',
    "x=;open;frame:0:odd": "`frame`",
    "x=;open;round:2": "`port`",
    "x=": "`actions`",
    "lesson=%": '"%"',
  };
  for (const [link, named] of Object.entries(refused)) {
    assertThrows(() => readLink(link), UsageError, named);
  }
});
