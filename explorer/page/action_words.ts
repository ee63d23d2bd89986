/**
 * Actions, frames and rules in words.
 *
 * @module
 */

import type { Action, Break, FrameKind } from "../recording/experiment.ts";

/** What kinds of frames are called. */
export const FRAME_WORDS: Readonly<Record<FrameKind, string>> = {
  udp: "UDP",
  tcp: "TCP",
  foreign: "for another station",
  broadcast: "broadcast",
  multicast: "multicast",
  vlan: "with a VLAN tag",
  short: "too short",
  long: "too long",
  jumbo: "jumbo",
  damaged: "with a wrong checksum",
  ping: "ping",
};

/** What the rules are called that an experiment can break. */
export const RULE_WORDS: Readonly<Record<Break, string>> = {
  "tail-beyond-end": "tail beyond the ring's end",
  "te-before-ring": "transmit enable before the ring",
  "buffer-outside-map": "buffer outside the DMA map",
};

/** Returns what an action does, in a few words. */
export function actionWords(action: Action): string {
  const queue = "queue" in action && action.queue ? `, queue ${action.queue}` : "";
  const port = "port" in action ? `port ${action.port}${queue}` : "";
  switch (action.do) {
    case "open":
      return "open the devices";
    case "frame": {
      const flow = action.flow === undefined ? "" : `, flow ${action.flow}`;
      return `${action.times ?? 1} × frame: ${FRAME_WORDS[action.frame]}, to ${port}${flow}`;
    }
    case "round":
      return `round of the device, ${port}`;
    case "receive":
      return `receive, ${port}`;
    case "transmit":
      return `transmit, ${port}`;
    case "free":
      return "free the batch";
    case "reclaim":
      return `reclaim, ${port}`;
    case "forward":
      return `forward from ${port}`;
    case "hoard":
      return `leave ${action.buffers} buffers in the pool`;
    case "statistics":
      return `statistics, ${port}`;
    case "interrupt":
      return `wait for an interrupt, ${port}`;
    case "hybrid":
      return `hybrid mode, ${port}`;
    case "throttle":
      return `throttle to ${action.microseconds} µs, ${port}`;
    case "sleep":
      return `${action.milliseconds} ms pass`;
    case "break":
      return `break: ${RULE_WORDS[action.rule]}, ${port}`;
    case "close":
      return "close the devices";
  }
}
