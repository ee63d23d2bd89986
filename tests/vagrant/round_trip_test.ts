/**
 * `round_trip.ts`, which `up_test.ts` runs in a machine, on the software NIC: it detects errors.
 */

import { assertEquals } from "@std/assert";
import {
  assertFailed,
  ffiOnly,
  type Result,
  run,
  Sim,
  TemporaryDirectory,
} from "../support/processes.ts";
import { startForwarder, stopProgram } from "../support/programs.ts";

/** Runs it with a forwarder at the other ends of two cables. */
async function roundTrip(forwarderOptions: readonly string[]): Promise<Result> {
  await using directory = await TemporaryDirectory.make();
  await using sim = await Sim.start(directory, ["cable:1", "cable:2", "cable:1", "cable:2"]);
  const [a, b, forwarderA, forwarderB] = sim.addresses;
  await using forwarder = await startForwarder([forwarderA, forwarderB], forwarderOptions);
  const result = await run(ffiOnly("tests/vagrant/round_trip.ts", ["--count=2000", a, b]));
  await stopProgram(forwarder);
  await sim.quit();
  return result;
}

Deno.test("round_trip.ts succeeds if packets come back in order and changed in byte 1", async () => {
  const { code, stdout, stderr } = await roundTrip([]);
  assertEquals([code, stderr], [0, ""]);
  const trips = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assertEquals(trips.map(({ packets, foreign }) => [packets, foreign]), [[2000, 0], [2000, 0]]);
});

Deno.test("round_trip.ts fails if packets come back unchanged", async () => {
  assertFailed(
    await roundTrip(["--no-touch"]),
    1,
    /expected packet 0, and packet 0 arrived, which has \d+ in byte 1, not 1/,
  );
});
