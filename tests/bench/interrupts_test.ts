/** The interrupt bench: what it measures and refuses. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { beyond } from "../../bench/interrupts.ts";
import { assertRefused, PROJECT, run } from "../support/processes.ts";

const BENCH = [Deno.execPath(), "run", "--quiet", "-A", `${PROJECT}bench/interrupts.ts`];
const SHORT = ["--seconds=1", "--packets=3", "--silence=50", "--rounds=1", "--json"];

Deno.test("bench/interrupts.ts measures the forwarder with interrupts and without", async () => {
  const { code, stdout, stderr } = await run([...BENCH, ...SHORT], { milliseconds: 120000 });
  const report = JSON.parse(stdout.trim().split("\n").at(-1)!);
  // Limits may be exceeded here: they are for an otherwise idle machine.
  const sentences: string[] = report.beyond;
  const complaints = stderr.split("\n").filter((line) => !line.startsWith("bench: "));
  assertEquals(complaints, [...sentences.map((text) => `over the limit: ${text}`), ""]);
  assertEquals(code, sentences.length > 0 ? 1 : 0);
  const { silence, ratio, interrupts, polling } = report;
  assertEquals(silence, 50);
  for (const way of [interrupts, polling]) {
    assertEquals([way.microseconds.length, way.mpps.length], [3, 1]);
    assert([...way.microseconds, ...way.mpps, ratio].every((n) => n > 0), stdout);
  }
  assert(interrupts.idle < polling.idle, stdout);
});

Deno.test("beyond() names each limit that is exceeded", () => {
  const kept = { idle: 0.0199, microseconds: [...Array(9).fill(999), 5000], ratio: 0.95 };
  assertEquals(beyond(kept), []);
  assertMatch(
    beyond({ ...kept, idle: 0.02 }).join(),
    /^idle, it takes 2\.00 % [^,]*, not below 2 %$/,
  );
  assertMatch(
    beyond({ ...kept, microseconds: [200, 1000, 1000] }).join(),
    /2 packets of 3 take 1000 µs/,
  );
  assertMatch(
    beyond({ ...kept, ratio: 0.949 }).join(),
    /0\.949 of the polling rate, not 0\.95$/,
  );
  assertEquals(beyond({ idle: NaN, microseconds: [NaN], ratio: NaN }).length, 3);
});

Deno.test("bench/interrupts.ts refuses invalid command lines and one core with one sentence", async (t) => {
  const cases: [rule: string, command: string[], sentence: RegExp][] = [
    ["devices", [...BENCH, "vfio-user:a"], /no operands/],
    ["no packets", [...BENCH, "--packets=0"], /--packets .* from 2 to 1000/],
    ["one core", ["taskset", "-c", "0", ...BENCH], /two cores/],
  ];
  for (const [rule, command, sentence] of cases) {
    await t.step(rule, async () => assertRefused(await run(command), sentence));
  }
});
