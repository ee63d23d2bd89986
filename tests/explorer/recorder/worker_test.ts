/** The worker: requests and reports. */

import { assert, assertEquals } from "@std/assert";
import type { Report, Request } from "../../../explorer/recording/messages.ts";

/** Sends requests one after another; returns the reports until `last` says that it was the last one. */
async function reportsOf(
  requests: readonly Request[],
  last: (report: Report) => boolean,
): Promise<Report[]> {
  const url = new URL("../../../explorer/recorder/worker.ts", import.meta.url);
  const worker = new Worker(url, { type: "module" }), reports: Report[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  worker.addEventListener("message", ({ data }: MessageEvent<Report>) => {
    reports.push(data);
    if (last(data)) resolve();
  });
  for (const request of requests) worker.postMessage(request);
  await promise;
  worker.terminate();
  return reports;
}

Deno.test("A worker refuses what it cannot do with a sentence, and goes on", async () => {
  const reports = await reportsOf([
    { type: "act", action: { do: "free" } },
    { type: "run", experiment: { ports: 3 } as never },
    { type: "run", experiment: { ports: 1 } as never },
    { type: "act", action: { do: "round", port: 0 } },
    { type: "measure", milliseconds: 20 },
  ], ({ type }) => type === "measured");
  const types = reports.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]);
  assertEquals(types, ["error", "begin", "steps", "idle", "steps", "idle", "measured"]);
  assertEquals(reports.slice(0, 2).map((report) => report.type === "error" && report.message), [
    "nothing is recorded: run an experiment first",
    "`ports` is one of 1, 2, not 3",
  ]);
  const measured = reports.at(-1)!;
  assert(measured.type === "measured" && measured.packets > 0 && measured.milliseconds >= 20);
});
