/**
 * `deno task soak` as a process, for some seconds with a fixed seed.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { PROJECT, type Result, run, TemporaryDirectory } from "../support/processes.ts";

function soak(...options: string[]): Promise<Result> {
  const program = [Deno.execPath(), "run", "--quiet", "--no-check", "-A", "tests/soak/main.ts"];
  return run([...program, ...options], { cwd: PROJECT, milliseconds: 60_000 });
}

Deno.test("soak loses no packet without a reason, and adds up its totals in a file", async () => {
  await using directory = await TemporaryDirectory.make();
  const state = directory.file("totals.json");
  Deno.writeTextFileSync(state, JSON.stringify({ received: 5_000_000_000, phases: 7 }));
  const options = ["--minutes=0.12", "--phase=2", "--rate=10000", "--seed=5", `--state=${state}`];
  const { code, stdout, stderr } = await soak(...options);
  assertEquals(stderr, "");
  assertMatch(
    stdout,
    /^1\. [^\n]+, 2 x 10\.0 kpps: [^\n]+ missed 0, dropped 0, in flight 0, lost 0,/,
  );
  assertMatch(stdout, /^2\. [^\n]+, line rate: /m);
  assertMatch(
    stdout,
    /^totals, seed 5: [^\n]+ lost 0, reordered 0, corrupt 0, violations 0, other defects 0$/m,
  );
  assertEquals(code, 0, stdout);
  const { received, phases, lost } = JSON.parse(Deno.readTextFileSync(state));
  assert(received > 5_000_000_000 && phases > 7, JSON.stringify({ received, phases }));
  assertEquals(lost, 0);
});

Deno.test("soak refuses wrong options with one sentence", async () => {
  const { code, stderr } = await soak("--minutes=never");
  assertMatch(stderr, /^error: --minutes takes [^\n]+\n$/);
  assertEquals(code, 2);
});
