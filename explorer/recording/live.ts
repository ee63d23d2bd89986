/**
 * Messages between the page and a server whose software NIC a driver in another process uses. They are
 * sent as JSON over a WebSocket.
 *
 * @module
 */

import type { Section } from "./layout.ts";

/**
 * From the server, first: the ports, and their state so far as the device knows it. It comes again when
 * the layout has changed: a driver has enabled or disabled a queue.
 */
export interface LiveBegin {
  readonly type: "begin";
  readonly sections: Record<string, Section>;
  readonly state: readonly number[];
  /** Names of the statistics registers in the sections for statistics. */
  readonly statistics: readonly string[];
  readonly device: string;
  /** The address that a program opens, for each port. */
  readonly ports: readonly string[];
}

/** From the server, several times a second, and after each command. */
export interface LiveState {
  readonly type: "state";
  /** Seconds since the server started. */
  readonly seconds: number;
  /** Whether the device is paused: it does no rounds but those that are asked for. */
  readonly paused: boolean;
  /** For each port: whether a driver is connected. */
  readonly connected: readonly boolean[];
  /** For each port: frames received, missed, filtered and sent since the start, by name. */
  readonly counters: readonly Record<string, number>[];
  /** Violations of the datasheet's rules so far, newest last, at most 100. */
  readonly violations: readonly {
    readonly port: number;
    readonly register: string;
    readonly section: string;
    readonly rule: string;
    readonly detail: string;
  }[];
  /** Changed cells since the last message: cell and value, in twos. */
  readonly cells: readonly number[];
}

/** From the page. */
export type LiveCommand =
  | { readonly type: "pause" }
  | { readonly type: "resume" }
  /** One round of each port, while paused. */
  | { readonly type: "round" };
