/**
 * What is recorded for who comes without a link.
 *
 * @module
 */

import { DEFAULTS, type Experiment } from "../recording/experiment.ts";

/** Initialisation, and three frames from wire to wire. */
export const FIRST_EXPERIMENT: Experiment = {
  ...DEFAULTS,
  actions: [
    { do: "open" },
    { do: "frame", port: 0, frame: "udp", times: 3 },
    { do: "round", port: 0 },
    { do: "forward", port: 0 },
    { do: "round", port: 1 },
    { do: "reclaim", port: 1 },
    { do: "statistics", port: 0 },
  ],
};
