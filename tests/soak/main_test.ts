/**
 * `deno task soak` as a process, for some seconds with a fixed seed.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { Program, PROJECT, type Result, run, TemporaryDirectory } from "../support/processes.ts";

const SOAK = [Deno.execPath(), "run", "--quiet", "--no-check", "-A", "tests/soak/main.ts"];
/** On a busy machine, processes take long to start. */
const DEADLINE_MS = 300_000;

function soak(...options: string[]): Promise<Result> {
  return run([...SOAK, ...options], { cwd: PROJECT, milliseconds: DEADLINE_MS });
}

Deno.test("soak loses no packet without a reason, and adds up its totals in a file", async () => {
  await using directory = await TemporaryDirectory.make();
  const state = directory.file("totals.json");
  Deno.writeTextFileSync(state, JSON.stringify({ received: 5_000_000_000, phases: 7 }));
  // The third phase of this seed kills the NIC of a forwarder that reconnects.
  const options = ["--count=3", "--phase=1.5", "--rate=10000", "--seed=34", `--state=${state}`];
  const { code, stdout, stderr } = await soak(...options);
  assertEquals(stderr, "");
  assertMatch(
    stdout,
    /^1\. [^\n]+, 2 x 10\.0 kpps: [^\n]+ missed 0, dropped 0, in flight 0, lost 0,/,
  );
  assertMatch(stdout, /^2\. [^\n]+, line rate: /m);
  assertMatch(stdout, /^3\. 1 queue, reconnect, [^\n]+, faults: [^\n]+\n.*NIC killed 1;/m);
  assertMatch(
    stdout,
    /^totals, seed 34: [^\n]+ lost 0, reordered 0, corrupt 0, violations 0, other defects 0$/m,
  );
  assertEquals(code, 0, stdout);
  const { received, phases, lost } = JSON.parse(Deno.readTextFileSync(state));
  assert(received > 5_000_000_000, JSON.stringify({ received }));
  assertEquals({ phases, lost }, { phases: 10, lost: 0 });
});

Deno.test("soak ends at SIGINT with totals", async () => {
  await using program = Program.start([...SOAK, "--phase=0.5", "--rate=10000"], { cwd: PROJECT });
  await program.line((line) => line.startsWith("1. "));
  program.kill("SIGINT");
  const { code, stdout, stderr } = await program.finish(DEADLINE_MS);
  assertEquals(stderr, "");
  assertMatch(stdout, /^totals, seed 1: \d+ phases, [^\n]+ lost 0,/m);
  assertEquals(code, 0, stdout);
});

Deno.test("soak refuses wrong options with one sentence", async () => {
  const cases: [option: string, sentence: RegExp][] = [
    ["--minutes=never", /--minutes takes a number/],
    ["--state=/dev/null/totals", /--state \/dev\/null\/totals: Not a directory/],
    ["--state=/proc/version", /--state \/proc\/version: .* is not valid JSON/],
  ];
  for (const [option, sentence] of cases) {
    const { code, stderr } = await soak(option);
    assertMatch(stderr, /^error: [^\n]+\n$/);
    assertMatch(stderr, sentence);
    assertEquals(code, 2);
  }
});
