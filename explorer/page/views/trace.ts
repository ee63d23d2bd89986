/**
 * A trace of register accesses, as `sim --trace FILE` writes it, as a recording: a driver's accesses with
 * the values that registers had when they were seen last.
 *
 * @module
 */

import { REGISTERS } from "../../../ixgbe/registers.ts";
import { parseTrace, TraceError, type TraceEvent } from "../../../sim/pci/trace_line.ts";
import { nameOf, offsetOf, type Register } from "../../../src/registers.ts";
import { Layout, registerSection } from "../../recording/layout.ts";
import type { Begin } from "../../recording/messages.ts";
import type { Step } from "../../recording/step.ts";
import { registerNamed } from "./register/fields.ts";

/** Words of BAR0 that a section for registers has. */
const CELLS = 0x20000 / 4;
/** The most ports that a trace may have. */
const MOST_PORTS = 64;
/** The longest file that is read, in bytes: some 250,000 lines. The tab stands still meanwhile. */
const MOST_BYTES = 10_000_000;

/**
 * Reads a trace file.
 *
 * @throws {Error} as {@linkcode readTrace}; also if the file is too long, or cannot be read.
 */
export async function openTrace(file: File): Promise<ReturnType<typeof readTrace>> {
  const { name, size } = file;
  if (size > MOST_BYTES) {
    throw new Error(
      `${name} has ${Math.round(size / 1e6)} MB, and at most ${
        MOST_BYTES / 1e6
      } MB can be shown: ` +
        "keep a part of its lines, for example by `head -n 200000`.",
    );
  }
  return readTrace(name, await file.text());
}

/**
 * Reads a trace.
 *
 * @param name Name of the file, for messages.
 * @returns The beginning of a recording, and its steps: one for each line. Reads of a register that find
 * the same value again, one after the other, are one step.
 * @throws {Error} with a sentence if the file is not a trace, or a line is damaged.
 */
export function readTrace(name: string, text: string): { begin: Begin; steps: Step[] } {
  const events = parse(name, text);
  const ports = events.reduce((most, { port }) => Math.max(most, port), 0) + 1;
  if (ports > MOST_PORTS) {
    throw new Error(`${name} has a port ${ports - 1}: at most 63 can be shown.`);
  }
  const layout = new Layout();
  for (let port = 0; port < ports; port++) layout.add(registerSection(port), CELLS);
  const state = new Uint32Array(layout.length);
  for (let port = 0; port < ports; port++) reset(layout.view(state, registerSection(port)));
  const begin: Begin = {
    type: "begin",
    sections: layout.sections,
    state,
    statistics: [],
    device: "82599",
    ports: Array.from({ length: ports }, (_, port) => `port ${port} of the trace`),
  };
  return { begin, steps: stepsOf(events, layout, state.slice()) };
}

function parse(name: string, text: string): TraceEvent[] {
  if (text.trim() === "") throw new Error(`${name} is empty: it has no line of a trace.`);
  try {
    return parseTrace(text.replaceAll("\r\n", "\n")); // mail and editors change ends of lines
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    throw new Error(`${name} cannot be opened: ${error.message}.`, { cause: error });
  }
}

/** Sets registers to their values after reset. */
function reset(cells: Uint32Array): void {
  for (const register of Object.values(REGISTERS as Readonly<Record<string, Register>>)) {
    for (let i = 0; i < register.count; i++) cells[offsetOf(register, i) >>> 2] = register.reset;
  }
}

function stepsOf(events: readonly TraceEvent[], layout: Layout, state: Uint32Array): Step[] {
  const steps: Step[] = [];
  for (const event of events) {
    const step = stepOf(event, layout, state), last = steps.at(-1);
    if (last !== undefined && isSameRead(last, step)) {
      steps[steps.length - 1] = { ...last, times: (last.times ?? 1) + 1 };
    } else {
      steps.push(step);
    }
    for (let i = 0; i < step.changes.length; i += 3) state[step.changes[i]] = step.changes[i + 2];
  }
  return steps;
}

/** Whether a step reads what the step before has read, with the same value. */
function isSameRead(last: Step, step: Step): boolean {
  return last.kind === "read" && step.kind === "read" && last.port === step.port &&
    last.register!.offset === step.register!.offset &&
    last.register!.value === step.register!.value;
}

function stepOf(event: TraceEvent, layout: Layout, state: Uint32Array): Step {
  const { port, seconds } = event;
  const why = `${seconds.toFixed(6)} seconds after the beginning of the trace.`;
  const base = { actor: "driver", port, why, changes: new Uint32Array() } as const;
  switch (event.kind) {
    case "read":
    case "write":
      return accessStep(event, layout, state, why);
    case "interrupt": {
      const title = `interrupt of vector ${event.vector}`;
      return { ...base, kind: "interrupt", actor: "device", title };
    }
    case "bus master":
      return { ...base, kind: "configuration", title: `bus master ${event.on ? "on" : "off"}` };
    case "reset":
      return { ...base, kind: "configuration", title: `reset (${event.reset})` };
    case "gone":
      return { ...base, kind: "configuration", title: "the driver's process has gone" };
  }
}

type AccessEvent = TraceEvent & { kind: "read" | "write" };

function accessStep(event: AccessEvent, layout: Layout, state: Uint32Array, why: string): Step {
  const { kind, port, register: name, index, offset, value } = event;
  const register = registerNamed(name), cell = offset >>> 2;
  const at = cell < CELLS ? layout.sections[registerSection(port)].start + cell : -1;
  const old = at < 0 ? 0 : state[at];
  const title = `${kind} ${register === undefined ? name : nameOf(register, index)}`;
  return {
    kind,
    actor: "driver",
    port,
    title,
    why,
    ...(register !== undefined && { section: register.section }),
    register: { name, index, offset, old, value },
    changes: at < 0 ? new Uint32Array() : Uint32Array.of(at, old, value),
  };
}
