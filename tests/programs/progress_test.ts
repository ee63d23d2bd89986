/**
 * The progress of long work, as a process prints it, with and without a terminal. util-linux's
 * `script` is the terminal.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { PROJECT, run, TemporaryDirectory } from "../support/processes.ts";

const WORKER = `
import { Progress } from "${PROJECT}programs/progress.ts";
{
  using progress = new Progress("worker");
  progress.show("thinking");
  for (let done = 0; done < 4; done++) {
    progress.show("counting sheep", { done, total: 4, unit: "sheep" });
    progress.print(() => console.log("sheep " + done));
  }
}
console.log("over");`;

/** Runs the worker, on a terminal with so many columns or without one. */
async function work(
  columns: number | undefined,
  env: Record<string, string> = {},
  text = WORKER,
) {
  await using directory = await TemporaryDirectory.make();
  const file = directory.file("worker.ts");
  await Deno.writeTextFile(file, text);
  const config = `--config=${PROJECT}deno.json`;
  const command = [Deno.execPath(), "run", "--quiet", "-A", config, file];
  const clean = { CI: "", TERM: "xterm", ...env };
  if (columns === undefined) return await run(command, { env: clean });
  const script = `stty rows 24 columns ${columns}; ${command.join(" ")}`;
  return await run(["script", "-qec", script, "/dev/null"], { env: clean });
}

const PLAIN = ["worker: thinking", "worker: counting sheep, 0 of 4 sheep"];

Deno.test("Progress prints a line for each stage on the standard error without a terminal", async () => {
  const { code, stdout, stderr } = await work(undefined);
  assertEquals([code, stdout], [0, "sheep 0\nsheep 1\nsheep 2\nsheep 3\nover\n"]);
  assertEquals(stderr, PLAIN.map((line) => `${line}\n`).join(""));
});

Deno.test("Progress draws a bar on a terminal below printed lines, and removes it", async () => {
  const { code, stdout } = await work(80);
  assertEquals(code, 0);
  assertMatch(stdout, /worker: \[-{20}\] 0 of 4 sheep: counting sheep/);
  assertMatch(stdout, /worker: \[#{15}-{5}\] 3 of 4 sheep: counting sheep/);
  // deno-lint-ignore no-control-regex
  assert(!/\x1b\[[0-9;]*m/.test(stdout), "there are no colours");
  assertEquals(screenOf(stdout), ["sheep 0", "sheep 1", "sheep 2", "sheep 3", "over"]);
});

Deno.test("Progress cuts the bar's line at the width of the terminal", async () => {
  const { stdout } = await work(40);
  assertMatch(stdout, /worker: \[-{20}\] 0 of 4 s\r?\n/);
  assertEquals(screenOf(stdout), ["sheep 0", "sheep 1", "sheep 2", "sheep 3", "over"]);
});

Deno.test("Progress draws an empty or a full bar of amounts that are not between nothing and all", async () => {
  for (const [amount, marks] of [["0, total: 0", 0], ["-1, total: 4", 0], ["5, total: 4", 20]]) {
    const text = WORKER.replace("{ done, total: 4,", `{ done: ${amount},`);
    const { code, stdout } = await work(80, {}, text);
    assertEquals(code, 0, stdout);
    const bar = "#".repeat(Number(marks)).padEnd(20, "-");
    assert(stdout.includes(`worker: [${bar}] `), stdout);
  }
});

Deno.test("Progress prints lines under CI, and on a terminal that cannot redraw or has no size", async () => {
  const cases: [columns: number, env: Record<string, string>][] = [
    [80, { CI: "true" }],
    [80, { TERM: "dumb" }],
    [0, {}],
  ];
  for (const [columns, env] of cases) {
    const { stdout } = await work(columns, env);
    const lines = stdout.trim().split("\r\n");
    assertEquals(lines, [...PLAIN, "sheep 0", "sheep 1", "sheep 2", "sheep 3", "over"]);
  }
});

/** Returns what a terminal shows after a text with newlines, erased lines and cursor movements. */
function screenOf(text: string): string[] {
  const lines = [""];
  let row = 0, column = 0;
  // deno-lint-ignore no-control-regex
  for (const [token, count, action] of text.matchAll(/\x1b\[\??(\d*)([A-Za-z])|[^]/g)) {
    if (token === "\n") row++;
    else if (token === "\r") column = 0;
    else if (action === "A") row -= Number(count || 1);
    else if (action === "G") column = 0;
    else if (action === "K") lines[row] = "";
    else if (action === undefined) {
      lines[row] = (lines[row] ?? "").slice(0, column).padEnd(column) + token;
      column++;
    }
    lines[row] ??= "";
  }
  return lines.filter((line) => line !== "");
}
