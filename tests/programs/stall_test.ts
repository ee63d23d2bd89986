/** What a program reports while it waits without progress. */

import { assertEquals } from "@std/assert";
import { reportUnsent, Stall } from "../../programs/stall.ts";
import type { LinkStatus, TxQueue } from "../../src/device.ts";

Deno.test("Stall reports each wait once, with the reason, and is over after the limit", () => {
  const lines: string[] = [], start = performance.now();
  let link: LinkStatus = { up: true, megabits: 10000 }, progress = 0;
  let missing = undefined as string | undefined;
  const device = { address: "A\n", linkStatus: () => link };
  const wait = {
    progress: () => progress,
    missing: () => missing,
    reason: "no server listens",
    seconds: 5,
  };
  const stall = new Stall(device, wait, 20, (line) => lines.push(line));
  const look = (seconds: number) => stall.look(start + 1000 * seconds);
  assertEquals([look(100), lines], [false, []], "waits for nothing");
  missing = "3 of 4 packets are not sent";
  assertEquals([look(104.9), lines], [false, []]);
  for (const at of [105.1, 110]) assertEquals([look(at), lines.length], [false, 1]);
  const first =
    "A\\u000a: no progress for 5 s, 3 of 4 packets are not sent: link up at 10 Gbit/s: ";
  assertEquals(lines, [`${first}no server listens`]);
  progress++;
  assertEquals([look(119), lines.length], [false, 1], "progress");
  link = { up: false, megabits: 0, reason: "no cable" };
  assertEquals([look(138), lines.length], [false, 2]);
  assertEquals(lines[1].slice(-21), ": link down: no cable");
  assertEquals([look(140), lines.length], [true, 2]);
});

Deno.test("reportUnsent() reports packets that stay in transmit rings, after half a second", () => {
  const lines: string[] = [];
  const device = (pending: number[]) => ({
    address: `A${pending}`,
    linkStatus: () => ({ up: true, megabits: 0 }),
    checkAlive: () => {},
    txQueues: pending.map((pending) => ({ pending, reclaim: () => 0 }) as TxQueue),
  });
  reportUnsent([device([0, 0]), device([3, 4]), device([])], (line) => lines.push(line));
  assertEquals(lines, ["warning: A3,4: has not sent the last 7 packets: link up"]);
});
