/**
 * The thread in which the software NIC runs, as `sim/main.ts` runs it. It sends its state several times a
 * second while a page looks on; otherwise it only moves frames.
 *
 * @module
 */

import { visible } from "../../../native/files.ts";
import { err } from "../../../programs/output.ts";
import { UsageError } from "../../../src/errors.ts";
import { Loop } from "../../../sim/loop.ts";
import type { Options } from "../../../sim/options.ts";
import { type Port, Ports, startSenders } from "../../../sim/port.ts";
import { Report } from "../../../sim/report.ts";
import type { LiveState } from "../../recording/live.ts";
import type { Section } from "../../recording/layout.ts";
import { ModelControl, type SharedControl } from "./model_control.ts";
import { ModelState } from "./model_state.ts";

/** Milliseconds between two states. */
const PERIOD_MS = 200;
/** The most violations that a state has. */
const MAX_VIOLATIONS = 100;

/** What the thread gets, once. */
export interface ModelTask {
  readonly options: Options;
  readonly control: SharedControl;
}

/** The whole state of the model. */
export interface Snapshot extends Omit<LiveState, "type" | "cells"> {
  readonly sections: Record<string, Section>;
  readonly state: Uint32Array<ArrayBuffer>;
}

/** What the thread reports. */
export type ModelReport =
  /** The ports are served. */
  | { readonly type: "ready" }
  | { readonly type: "snapshot"; readonly snapshot: Snapshot }
  /** The ports are closed, and why if nobody asked for that. */
  | { readonly type: "ended"; readonly failure?: ModelFailure };

/** An error as plain values. */
export interface ModelFailure {
  /** Whether the user can fix it. */
  readonly usage: boolean;
  readonly message: string;
  readonly stack: string;
}

/** The worker's global scope, as the standard defines it. */
interface Scope {
  onmessage: (event: MessageEvent<ModelTask>) => void;
  postMessage(message: ModelReport, transfer?: readonly ArrayBuffer[]): void;
  close(): void;
}

const scope = self as unknown as Scope;

/** Runs the ports until the main thread stops them. */
async function runModel({ options, control: shared }: ModelTask): Promise<void> {
  const control = new ModelControl(shared);
  using ports = new Ports(options, (line) => err.print(visible(line)));
  const report = new Report(ports.all, false);
  const state = new ModelState(ports.all, options.deviceId);
  const loop = new Loop(ports.all, control.fd);
  const start = performance.now();
  let next = 0;
  scope.postMessage({ type: "ready" });
  await loop.run((now) => {
    report.complaints();
    startSenders(ports.all);
    loop.paused = control.paused;
    const rounds = control.takeRounds();
    if (loop.paused) { for (let i = 0; i < rounds; i++) loop.round(); }
    if (control.takeLook()) next = 0;
    if (control.watched && now >= next) {
      next = now + PERIOD_MS;
      const snapshot = look(ports.all, state, loop.paused, (performance.now() - start) / 1000);
      scope.postMessage({ type: "snapshot", snapshot }, [snapshot.state.buffer]);
    }
    return !control.stopped;
  });
}

function look(
  ports: readonly Port[],
  state: ModelState,
  paused: boolean,
  seconds: number,
): Snapshot {
  const cells = state.view(); // first: it brings the layout up to date
  return {
    sections: state.layout.sections,
    state: cells,
    seconds,
    paused,
    connected: ports.map(({ server }) => server.connected),
    counters: ports.map(({ nic }) => ({ ...nic.counters })),
    violations: ports.flatMap(({ nic }, port) =>
      nic.rules.violations.map(({ register, section, rule, detail }) => ({
        ...{ port, register, section, rule, detail },
      }))
    ).slice(-MAX_VIOLATIONS),
  };
}

scope.onmessage = async ({ data }) => {
  try {
    await runModel(data);
    scope.postMessage({ type: "ended" });
  } catch (error) {
    const { message, stack = "" } = error instanceof Error ? error : new Error(String(error));
    const failure = { usage: error instanceof UsageError, message, stack };
    scope.postMessage({ type: "ended", failure });
  }
  scope.close();
};
