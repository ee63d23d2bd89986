/** The bench of starts: what it prints, and when it exits with 1. */

import { assert, assertEquals } from "@std/assert";
import { DEVICE } from "../../sim/nic/boards.ts";
import { PROJECT, run } from "../support/processes.ts";

const BOARDS = Object.keys(DEVICE).length;
const BENCH = [
  ...[Deno.execPath(), "run", "--quiet", "--allow-ffi", "--allow-read"],
  `${PROJECT}bench/starts.ts`,
];

Deno.test("bench/starts.ts opens and links every card, and prints times", async () => {
  const { code, stdout } = await run([...BENCH, `--starts=${4 * BOARDS}`, "--json"], {
    milliseconds: 60000,
  });
  const { cards, problems } = JSON.parse(stdout);
  assertEquals([code, problems, cards.length], [0, {}, BOARDS + 1]);
  for (const { board, starts, opened, linked, passed, closed, linkMilliseconds } of cards) {
    const all = board === "all" ? 4 * BOARDS : 4;
    assertEquals([starts, opened, linked, passed, closed], Array(5).fill(all));
    assert(linkMilliseconds.length === 5 && linkMilliseconds[0] > 0, board);
    assertEquals(linkMilliseconds, linkMilliseconds.toSorted((a: number, b: number) => a - b));
  }
  const table = await run([...BENCH, `--starts=${BOARDS}`], { milliseconds: 60000 });
  assertEquals([table.code, table.stdout.trim().split("\n").length], [0, BOARDS + 2]);
});

Deno.test("bench/starts.ts names the rules that were broken or what failed, and exits with 1", async () => {
  const options = ["--starts=4", "--pauses=1", "--pause=60000"];
  const { code, stdout } = await run([...BENCH, ...options], { milliseconds: 60000 });
  assertEquals(code, 1);
  assert(/^\d+ × \w+: /m.test(stdout), stdout);
});
