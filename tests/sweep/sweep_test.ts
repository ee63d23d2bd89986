/** A small part of the sweep, which `deno task sweep` runs whole: signals end programs in order. */

import { assert, assertEquals } from "@std/assert";
import { Plain, plainTest } from "../support/plain_ports.ts";
import { draw, randomNumbers, type Run, SIGNALS, Sweep, type Way } from "./sweep.ts";
import { TARGETS } from "./targets.ts";

const SEED = 20;
/** Programs that take longer than the rest together. */
const SLOW = ["selftest", "demo", "example"];
/** Runs that each sweep must have: a way, a signal, and when it is sent. */
const FIXED: readonly (readonly [Way, string, number])[] = [
  ["pair", "INT", 1],
  ["alone", "KILL", 1],
  ["pty", "HUP", 1],
  ["alone", "TERM", 0.7],
];

plainTest("programs end in order at random signals and moments", async (directory) => {
  await using plain = await Plain.start(directory, "generator:rate=5000");
  await plain.sim.command("start");
  const sweep = new Sweep(plain, directory), random = randomNumbers(SEED);
  const [fwd] = TARGETS, names = Object.keys(SIGNALS);
  const runs: Run[] = FIXED.map(([way, signal, moment]) => {
    return { target: fwd, way, signal, moment, gap: 20, short: false };
  });
  for (const target of TARGETS.filter(({ name }) => !SLOW.includes(name))) {
    runs.push(draw(target, names[Math.floor(random() * names.length)], random));
  }
  for (const run of runs) {
    const failures = await sweep.run(run);
    assertEquals(failures, [], `${run.target.name} ${run.signal} ${run.way} at ${run.moment}`);
  }
});

Deno.test("randomNumbers() repeats its numbers for a seed", () => {
  const one = randomNumbers(7), two = randomNumbers(7), other = randomNumbers(8);
  const numbers = Array.from({ length: 100 }, one);
  assertEquals(Array.from({ length: 100 }, two), numbers);
  assert(numbers.every((n) => n >= 0 && n < 1));
  assert(numbers.some((n) => n < 0.2) && numbers.some((n) => n > 0.8));
  assert(Array.from({ length: 100 }, other).join() !== numbers.join());
});
