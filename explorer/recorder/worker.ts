/**
 * The worker of the page: records experiments in a thread of its own. It is the entry of the bundle
 * `engine.js`.
 *
 * @module
 */

import { checkExperiment } from "../recording/check_experiment.ts";
import type { Experiment } from "../recording/experiment.ts";
import type { Report, Request } from "../recording/messages.ts";
import { UsageError } from "../../src/errors.ts";
import { familyOf } from "./families.ts";
import { sentenceOf, Session } from "./session.ts";

/** The scope of a worker, of which this file needs two members. */
interface WorkerScope {
  postMessage(report: Report): void;
  addEventListener(type: "message", listener: (event: MessageEvent<Request>) => void): void;
}

const scope = globalThis as unknown as WorkerScope;

let session: Session | undefined;
/** The experiment that was run last. */
let experiment: Partial<Experiment> = {};
/** Requests are served one after another. */
let served: Promise<void> = Promise.resolve();

function report(what: Report): void {
  scope.postMessage(what);
}

async function serve(request: Request): Promise<void> {
  switch (request.type) {
    case "run":
      session?.[Symbol.dispose]();
      session = undefined;
      experiment = request.experiment;
      session = new Session(experiment, report);
      return await session.run();
    case "act":
      if (session) return await session.act(request.action);
      throw new UsageError("nothing is recorded: run an experiment first");
    case "measure": {
      const checked = checkExperiment({ ...experiment, actions: [{ do: "open" }] });
      const family = familyOf(checked.device);
      return report({ type: "measured", ...await family.measure(checked, request.milliseconds) });
    }
  }
}

scope.addEventListener("message", ({ data }) => {
  served = served.then(() => serve(data)).catch((error) => {
    report({ type: "error", message: sentenceOf(error) });
  });
});
