/** The bench of interrupts: that it measures, and what it refuses. */

import { assert, assertEquals } from "@std/assert";
import { assertRefused, PROJECT, run } from "./processes.ts";

const BENCH = [Deno.execPath(), "run", "--quiet", "-A", `${PROJECT}bench/interrupts.ts`];
const SHORT = ["--seconds=1", "--packets=3", "--silence=50", "--rounds=1", "--json"];

Deno.test("bench/interrupts.ts measures the forwarder with interrupts and without", async () => {
  const { code, stdout, stderr } = await run([...BENCH, ...SHORT], { milliseconds: 120000 });
  assertEquals(stderr, "");
  assertEquals(code, 0);
  const { silence, ratio, interrupts, polling } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assertEquals(silence, 50);
  for (const way of [interrupts, polling]) {
    assertEquals([way.microseconds.length, way.mpps.length], [3, 1]);
    assert([...way.microseconds, ...way.mpps, ratio].every((n) => n > 0), stdout);
  }
  assert(interrupts.idle < polling.idle, stdout);
});

Deno.test("bench/interrupts.ts refuses what cannot be with one sentence", async (t) => {
  const cases: [rule: string, command: string[], sentence: RegExp][] = [
    ["devices", [...BENCH, "vfio-user:a"], /no devices/],
    ["no packets", [...BENCH, "--packets=0"], /--packets .* from 2 to 1000/],
    ["one core", ["taskset", "-c", "0", ...BENCH], /two cores/],
  ];
  for (const [rule, command, sentence] of cases) {
    await t.step(rule, async () => assertRefused(await run(command), sentence));
  }
});
