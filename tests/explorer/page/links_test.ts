/** Permanent links. */

import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { linkTo, readLink } from "../../../explorer/page/links.ts";
import { checkExperiment } from "../../../explorer/recording/check_experiment.ts";
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
    "x=__proto__:5;open": "`__proto__`",
    "x=entries:64:5;open": '"64:5"',
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

/** Parts of links, and what is near to them. */
const WORDS = [
  ...[
    "lesson",
    "step",
    "x",
    "=",
    "&",
    ":",
    ",",
    ";",
    "%",
    "%3B",
    "%zz",
    "__proto__",
    "constructor",
  ],
  ...["device", "virtio", "X550", "ports", "entries", "queues", "buffers", "interrupts", "true"],
  ...["open", "frame", "udp", "jumbo", "round", "receive", "break", "te-before-ring", "hoard"],
  ...[
    "0",
    "1",
    "8",
    "64",
    "128",
    "-1",
    "1e9",
    "0x10",
    "99999999999999999999",
    "NaN",
    " ",
    "\ud800",
  ],
];

/** A link with some of its characters replaced. */
const damaged = fc.tuple(
  fc.constantFrom(LINK, "lesson=rss&step=1", "x=;open"),
  fc.array(fc.tuple(fc.nat(), fc.constantFrom(...WORDS)), { minLength: 1, maxLength: 3 }),
).map(([link, places]) =>
  places.reduce<string>((text, [place, word]) => {
    const at = place % (text.length + 1);
    return text.slice(0, at) + word + text.slice(at + place % 3);
  }, link)
);

Deno.test("readLink() returns a valid target, which linkTo() writes again, or refuses the link", () => {
  const made = fc.array(fc.constantFrom(...WORDS), { maxLength: 20 }).map((words) =>
    words.join("")
  );
  const anything = fc.oneof(fc.string({ unit: "binary" }), made, damaged);
  fc.assert(
    fc.property(anything, (link) => {
      try {
        const target = readLink(link), { experiment } = target;
        if (experiment !== undefined) assertEquals(checkExperiment(experiment), experiment);
        if (target.lesson === undefined) assertEquals(readLink(linkTo(target)), target);
      } catch (error) {
        assertInstanceOf(error, UsageError);
      }
    }),
    { numRuns: 3000 },
  );
});
