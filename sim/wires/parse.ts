/**
 * Parses the command line's wire specifications, and makes the wires.
 *
 * @module
 */

import { UsageError } from "../../src/errors.ts";
import { FRAME } from "../frames/frame.ts";
import { cable } from "./cable.ts";
import { DatagramWire } from "./dgram.ts";
import { Generator } from "./generator.ts";
import { PcapWire } from "./pcap.ts";
import { MAX_FLOWS } from "./stream.ts";
import { TapWire } from "./tap.ts";
import { NoWire, type Wire } from "./wire.ts";

/** The forms of a specification, for messages. */
export const WIRE_FORMS: string =
  "generator[:rate=PPS][,size=BYTES][,flows=N][,latency=1], cable:N[,signal=1], " +
  "pcap:in=FILE,out=FILE[,rate=PPS], tap:NAME, dgram:LOCAL,REMOTE or none";

const MAX_RATE = 100e6;
const MAX_CABLES = 65535;

/** A parsed specification; nothing has been opened yet. */
export type WireSpec =
  | {
    readonly kind: "generator";
    readonly rate?: number;
    readonly size?: number;
    readonly latency?: number;
    readonly flows?: number;
  }
  | { readonly kind: "cable"; readonly number: number; readonly signal?: number }
  | {
    readonly kind: "pcap";
    readonly input?: string;
    readonly output?: string;
    readonly rate?: number;
  }
  | { readonly kind: "tap"; readonly name: string }
  | { readonly kind: "dgram"; readonly local: string; readonly remote: string }
  | { readonly kind: "none" };

/**
 * Parses one specification.
 *
 * @param text One of the forms in {@linkcode WIRE_FORMS}.
 * @throws {UsageError} if it is none of them.
 */
export function parseWire(text: string): WireSpec {
  const colon = text.indexOf(":");
  const kind = colon < 0 ? text : text.slice(0, colon);
  const rest = colon < 0 ? "" : text.slice(colon + 1);
  switch (kind) {
    case "generator": {
      const values = options(text, rest, ["rate", "size", "latency", "flows"]);
      return {
        kind,
        ...number(text, values, "rate", 1, MAX_RATE),
        ...number(text, values, "size", FRAME.MIN, FRAME.MAX),
        ...number(text, values, "latency", 0, 1),
        ...number(text, values, "flows", 1, MAX_FLOWS),
      };
    }
    case "cable": {
      const comma = rest.indexOf(","), end = comma < 0 ? rest.length : comma;
      const { n } = number(text, new Map([["n", rest.slice(0, end)]]), "n", 0, MAX_CABLES);
      const values = options(text, rest.slice(end + 1), ["signal"]);
      return { kind, number: n, ...number(text, values, "signal", 0, 1) };
    }
    case "pcap": {
      const values = options(text, rest, ["in", "out", "rate"]);
      const input = values.get("in");
      const output = values.get("out");
      if (input === undefined && output === undefined) {
        throw unknown(text, "in= or out= is missing");
      }
      return {
        kind,
        ...(input === undefined ? {} : { input }),
        ...(output === undefined ? {} : { output }),
        ...number(text, values, "rate", 1, MAX_RATE),
      };
    }
    case "tap":
      if (rest === "") throw unknown(text, "the device's name is missing");
      return { kind, name: rest };
    case "dgram": {
      const paths = rest.split(",");
      if (paths.length !== 2 || paths.includes("")) throw unknown(text, "it takes two paths");
      return { kind, local: paths[0], remote: paths[1] };
    }
    case "none":
      if (rest !== "") throw unknown(text, "it takes no options");
      return { kind };
    default:
      throw unknown(text, `"${kind}" is not a kind of wire`);
  }
}

/**
 * Makes the wires of all ports. It connects the ends of cables, and pairs generators: first with
 * second, third with fourth; an odd one checks its own stream.
 *
 * @param macs MAC addresses of the ports: destinations of their generators' frames.
 * @throws {UsageError} if a wire cannot be made; all others are closed then.
 */
export function makeWires(specs: readonly WireSpec[], macs: readonly Uint8Array[]): Wire[] {
  checkCables(specs);
  const loose = new Map<number, Wire>();
  const wires: Wire[] = [];
  try {
    specs.forEach((spec, i) => wires.push(makeWire(spec, i, macs[i], loose)));
  } catch (error) {
    for (const wire of wires) wire.close();
    throw error;
  }
  const generators = wires.filter((wire) => wire instanceof Generator);
  for (let i = 0; i + 1 < generators.length; i += 2) generators[i].pair(generators[i + 1]);
  return wires;
}

/** @param loose Second ends of cables whose first end is in use, by number. */
function makeWire(spec: WireSpec, id: number, mac: Uint8Array, loose: Map<number, Wire>): Wire {
  switch (spec.kind) {
    case "generator":
      return new Generator({
        id,
        size: spec.size,
        rate: spec.rate,
        destination: mac,
        latency: spec.latency === 1,
        flows: spec.flows,
      });
    case "cable": {
      const second = loose.get(spec.number);
      if (second !== undefined) return second;
      const [here, there] = cable(spec.signal === 1);
      loose.set(spec.number, there);
      return here;
    }
    case "pcap":
      return new PcapWire(spec);
    case "tap":
      return new TapWire(spec.name);
    case "dgram":
      return new DatagramWire(spec.local, spec.remote);
    case "none":
      return new NoWire();
  }
}

function checkCables(specs: readonly WireSpec[]): void {
  const ends = new Map<number, number>();
  for (const spec of specs) {
    if (spec.kind === "cable") ends.set(spec.number, (ends.get(spec.number) ?? 0) + 1);
  }
  for (const [number, count] of ends) {
    if (count !== 2) {
      throw new UsageError(`cable:${number} joins two ports, not ${count}: give it to two ports`);
    }
  }
}

/** Parses `name=value,name=value`. A comma that no option follows belongs to the value: a file's name. */
function options(text: string, rest: string, names: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  if (rest === "") return values;
  for (const part of rest.split(new RegExp(`,(?=(?:${names.join("|")})=)`))) {
    const equals = part.indexOf("=");
    const name = part.slice(0, Math.max(equals, 0));
    const value = part.slice(equals + 1);
    if (!names.includes(name) || value === "" || values.has(name)) {
      throw unknown(text, `"${part}" is not an option of this wire, or is there twice`);
    }
    values.set(name, value);
  }
  return values;
}

/** Parses the whole number `name`; returns an object to spread, empty if the option is absent. */
function number<K extends string>(
  text: string,
  values: Map<string, string>,
  name: K,
  min: number,
  max: number,
): Record<K, number> {
  const value = values.get(name);
  if (value === undefined) return {} as Record<K, number>;
  const result = /^\d+(e\d+)?$/.test(value) ? Number(value) : NaN;
  if (!(result >= min && result <= max)) {
    throw unknown(text, `"${value}" is not a whole number from ${min} to ${max}`);
  }
  return { [name]: result } as Record<K, number>;
}

function unknown(text: string, why: string): UsageError {
  return new UsageError(`wire "${text}": ${why}; a wire is ${WIRE_FORMS}`);
}
