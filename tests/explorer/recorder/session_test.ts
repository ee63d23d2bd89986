/** A session: what it reports, and in which portions. */

import { assert, assertEquals } from "@std/assert";
import { Session } from "../../../explorer/recorder/session.ts";
import type { Report } from "../../../explorer/recording/messages.ts";

Deno.test("A session reports the first steps soon, then more at once, and none twice", async () => {
  const reports: Report[] = [];
  using session = new Session({ ports: 1 }, (report) => reports.push(report));
  await session.run();
  assertEquals(reports[0].type, "begin");
  assertEquals(reports.at(-1)!.type, "idle");
  const portions = reports.slice(1, -1).map((report) =>
    report.type === "steps" ? report.steps : []
  );
  assert(portions[0].length < portions[1].length && portions[1].length < portions[2].length);
  assert(portions.every(({ length }) => length > 0 && length <= 1000));
  const steps = portions.flat();
  assertEquals(new Set(steps).size, steps.length);
});
