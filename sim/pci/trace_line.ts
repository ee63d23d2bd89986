/**
 * The lines of a trace: what one says, as text and as data. Nothing here needs a file or a device, so
 * a page can read traces, too.
 *
 * ```
 * 0.402113 0 read  LINKS 0x70000000
 * 0.402391 0 write EIMS_EX[0] 0x00000001
 * 0.407280 0 interrupt 0
 * ```
 *
 * @module
 */

import { hex, nameOf, offsetOf, type Register } from "../../src/registers.ts";
import type { ResetKind } from "../nic/nic.ts";
import { ALL } from "../registers/register_file.ts";

const MICROSECONDS = 6;
const REGISTERS: ReadonlyMap<string, Register> = new Map(
  ALL.map((register) => [register.name, register]),
);
/** Most characters of a damaged line that an error shows. */
const SHOWN = 60;

/** An access to a register. */
export interface TracedAccess {
  readonly kind: "read" | "write";
  /** Name in the datasheet, without index; an offset in BAR0 as `0x0001fffc` if no register is there. */
  readonly register: string;
  /** Index of the copy; 0 for a register without copies. */
  readonly index: number;
  /** Offset in BAR0, in bytes. */
  readonly offset: number;
  /** 32 bits. */
  readonly value: number;
}

/** What a line tells of, apart from time and port. */
export type Traced =
  | TracedAccess
  /** The message of an interrupt vector was sent. */
  | { readonly kind: "interrupt"; readonly vector: number }
  /** The driver turned bus mastering on or off. */
  | { readonly kind: "bus master"; readonly on: boolean }
  /** The port was reset, but not by a register. */
  | { readonly kind: "reset"; readonly reset: ResetKind }
  /** The client, whose driver used the port, has gone. */
  | { readonly kind: "gone" };

/** A line: time in seconds since the trace began, and number of the port. */
export type TraceEvent = Traced & { readonly seconds: number; readonly port: number };

/** A line that cannot be read. */
export class TraceError extends Error {
  /** Number of the line, from 1. */
  readonly line: number;

  constructor(line: number, reason: string) {
    super(`line ${line} of the trace ${reason}`);
    this.name = "TraceError";
    this.line = line;
  }
}

/** Returns the line of an event, without its end. */
export function formatLine(event: TraceEvent): string {
  return `${event.seconds.toFixed(MICROSECONDS)} ${event.port} ${format(event)}`;
}

function format(event: Traced): string {
  switch (event.kind) {
    case "read":
    case "write":
      return `${event.kind.padEnd(5)} ${nameIn(event)} ${hex(event.value)}`;
    case "interrupt":
      return `interrupt ${event.vector}`;
    case "bus master":
      return `bus master ${event.on ? "on" : "off"}`;
    case "reset":
      return `reset (${event.reset})`;
    case "gone":
      return "the client has gone";
  }
}

function nameIn({ register: name, index }: TracedAccess): string {
  const register = REGISTERS.get(name);
  return register ? nameOf(register, index) : name;
}

const LINE = /^(\d+\.\d+) (\d+) (.+)$/;
const ACCESS = /^(read|write) {1,2}(\S+) 0x([0-9a-f]{8})$/;
const NAME = /^([A-Z]\w*)(?:\[(\d+)\])?$/, OFFSET = /^0x([0-9a-f]{8})$/;
const INTERRUPT = /^interrupt (\d+)$/;
/** Lines without numbers. */
const PLAIN: ReadonlyMap<string, Traced> = new Map(
  ([
    { kind: "bus master", on: true },
    { kind: "bus master", on: false },
    { kind: "reset", reset: "power-on" },
    { kind: "reset", reset: "function" },
    { kind: "gone" },
  ] as const).map((event) => [format(event), event]),
);

/**
 * Reads a trace.
 *
 * @param text All of its lines.
 * @throws {TraceError} for the first line that is damaged, or whose end is missing.
 */
export function parseTrace(text: string): TraceEvent[] {
  const lines = text.split("\n"), rest = lines.pop();
  const events = lines.map((line, i) => parseLine(line, i + 1));
  if (rest) throw new TraceError(lines.length + 1, `has no end: ${shown(rest)}; remove it`);
  return events;
}

/**
 * Reads a line.
 *
 * @param line The line, without its end.
 * @param number Its number, from 1, for an error.
 * @throws {TraceError} if it is damaged, or names a register that does not exist.
 */
export function parseLine(line: string, number: number): TraceEvent {
  const [, seconds, port, what] = LINE.exec(line) ?? [];
  const event = what === undefined ? undefined : parse(what, number);
  if (event === undefined) {
    const reason = `is damaged: ${shown(line)} is not "SECONDS PORT read|write REGISTER VALUE", ` +
      "nor another line that --trace writes; remove it, or record the trace again";
    throw new TraceError(number, reason);
  }
  return { seconds: Number(seconds), port: Number(port), ...event };
}

function shown(line: string): string {
  return JSON.stringify(line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line);
}

function parse(what: string, number: number): Traced | undefined {
  const access = ACCESS.exec(what);
  if (access) return parseAccess(access, number);
  const interrupt = INTERRUPT.exec(what);
  return interrupt ? { kind: "interrupt", vector: Number(interrupt[1]) } : PLAIN.get(what);
}

function parseAccess(
  [, how, name, digits]: RegExpExecArray,
  number: number,
): TracedAccess | undefined {
  const kind = how as TracedAccess["kind"], value = parseInt(digits, 16);
  const bare = OFFSET.exec(name);
  if (bare) return { kind, register: name, index: 0, offset: parseInt(bare[1], 16), value };
  const [, register, copy] = NAME.exec(name) ?? [];
  if (register === undefined) return undefined;
  const found = REGISTERS.get(register), index = Number(copy ?? 0);
  if (found === undefined || index >= found.count || nameOf(found, index) !== name) {
    const reason =
      `names a register that the device does not have: ${name}; remove it, or record ` +
      "the trace again";
    throw new TraceError(number, reason);
  }
  return { kind, register, index, offset: offsetOf(found, index), value };
}
