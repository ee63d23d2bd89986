/**
 * The initialisation of a port by the project's driver, to compare a trace with.
 *
 * @module
 */

import { useEffect, useState } from "preact/hooks";
import { DEFAULTS } from "../../../recording/experiment.ts";
import type { Report } from "../../../recording/messages.ts";
import type { Step } from "../../../recording/step.ts";
import { Engine } from "../../engine.ts";
import { type Usage, usageOf } from "./usage.ts";

/** What is recorded, or a sentence about why it is not; undefined as long as it is recorded. */
type OwnUsage = readonly Usage[] | string | undefined;

/** A hook: records the driver's initialisation, and returns how it uses registers. */
export function useOwnDriver(): OwnUsage {
  const [usage, setUsage] = useState<OwnUsage>(undefined);
  useEffect(() => {
    const steps: Step[] = [];
    const take = (report: Report) => {
      if (report.type === "steps") { for (const step of report.steps) steps.push(step); }
      else if (report.type === "idle") setUsage(usageOf(steps, 0));
      else if (report.type === "error") setUsage(report.message);
    };
    const engine = new Engine(take);
    engine.send({ type: "run", experiment: { ...DEFAULTS, ports: 1 } });
    return () => engine.close();
  }, []);
  return usage;
}
