/** A small part of the sweep, which `deno task sweep` runs whole: signals end programs in order. */

import { assertEquals } from "@std/assert";
import { Plain, plainTest } from "../support/plain_ports.ts";
import { Random } from "../support/random.ts";
import { draw, type Run, SIGNALS, Sweep, type Way } from "./sweep.ts";
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
  const sweep = new Sweep(plain, directory), random = new Random(SEED);
  const [fwd] = TARGETS, names = Object.keys(SIGNALS);
  const runs: Run[] = FIXED.map(([way, signal, moment]) => {
    return { target: fwd, way, signal, moment, gap: 20, short: false };
  });
  for (const target of TARGETS.filter(({ name }) => !SLOW.includes(name))) {
    runs.push(draw(target, random.pick(names), random));
  }
  for (const run of runs) {
    const failures = await sweep.run(run);
    assertEquals(failures, [], `${run.target.name} ${run.signal} ${run.way} at ${run.moment}`);
  }
});
