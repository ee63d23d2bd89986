/** The benchmark as a program. */

import { assert, assertEquals } from "@std/assert";
import { assertRefused, PROJECT, run } from "./processes.ts";

function bench(...args: string[]) {
  const permissions = ["--no-prompt", "--allow-run", "--allow-read"];
  const program = `${PROJECT}bench/batches.ts`;
  return run([Deno.execPath(), "run", "--quiet", ...permissions, program, ...args], {
    milliseconds: 60000,
  });
}

Deno.test("The bench prints a line for each batch size, and JSON last", async () => {
  const { code, stdout, stderr } = await bench(
    ...["--batches=1,32", "--rounds=1", "--seconds=2", "--json"],
  );
  assertEquals([code, stderr], [0, ""]);
  const { results } = JSON.parse(stdout.trim().split("\n").at(-1)!);
  assertEquals(results.map(({ batch }: { batch: number }) => batch), [1, 32]);
  for (const { median, all } of results) assert(median > 0 && all.length === 1);
});

Deno.test("The bench refuses what cannot be with one sentence", async () => {
  assertRefused(await bench("--batches=0"), /numbers from 1 to 256/);
  assertRefused(await bench("--batches=1,257"), /numbers from 1 to 256/);
  assertRefused(await bench("--rounds=0"), /--rounds takes a whole number from 1 to 100/);
  assertRefused(await bench("--sizes=60"), /Unknown option '--sizes'/);
  assertRefused(await bench("0000:03:00.0"), /takes no devices/);
});
