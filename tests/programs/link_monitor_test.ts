/** What programs say about links. */

import { assertEquals } from "@std/assert";
import type { LinkStatus } from "../../mod.ts";
import { LinkMonitor } from "../../programs/link_monitor.ts";

const UP: LinkStatus = { up: true, megabits: 10000 };
const DOWN: LinkStatus = { up: false, megabits: 0, reason: "no light arrives" };

Deno.test("LinkMonitor.look() prints a link that is down at the first look, and each change", () => {
  const cases: [states: LinkStatus[], lines: string[]][] = [
    [[UP, UP], []],
    [[{ up: true, megabits: 0 }], []],
    [[DOWN, DOWN, UP, UP, DOWN], [
      "link down: no light arrives",
      "link up at 10 Gbit/s",
      "link down: no light arrives",
    ]],
    [[UP, { up: true, megabits: 100 }, { up: true, megabits: 2500 }, { up: true, megabits: 0 }], [
      "link up at 100 Mbit/s",
      "link up at 2.5 Gbit/s",
      "link up",
    ]],
    [[DOWN, { ...DOWN, reason: "no module is in the cage" }, { up: false, megabits: 0 }], [
      "link down: no light arrives",
      "link down: no module is in the cage",
      "link down: check the cable and the other end",
    ]],
  ];
  for (const [states, lines] of cases) {
    const printed: string[] = [];
    let now = UP;
    const other = { address: "other", linkStatus: () => UP };
    const monitor = new LinkMonitor([other, { address: "a", linkStatus: () => now }], (line) => {
      printed.push(line);
    });
    for (now of states) {
      monitor.look();
      assertEquals(monitor.down, now.up ? [] : [1]);
    }
    assertEquals(printed, lines.map((line) => `a: ${line}`));
  }
});

Deno.test("LinkMonitor.look() prints each warning about a module once", () => {
  const printed: string[] = [];
  const module = {
    ...{ kind: "unknown", vendor: "", part: "", serial: "", megabits: [10000] },
    warnings: ["the checksums of its memory are wrong"],
  };
  const monitor = new LinkMonitor(
    [{ address: "a", linkStatus: () => ({ ...UP, module }) }],
    (line) => {
      printed.push(line);
    },
  );
  monitor.look();
  monitor.look();
  assertEquals(printed, ["warning: a: the checksums of its memory are wrong"]);
});
