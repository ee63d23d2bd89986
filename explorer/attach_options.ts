/**
 * The part of the command line for `--attach`: the options of the software NIC that make sense beside a
 * page.
 *
 * @module
 */

import type { Given } from "../programs/command_line.ts";
import type { Options as Declared } from "../programs/options.ts";
import { UsageError } from "../src/errors.ts";
import { type Options, SIM } from "../sim/options.ts";

/** Sockets of the default ports: names in a temporary directory. */
const SOCKETS = ["a.sock", "b.sock"];
/** The wire of the default ports. The rate is one that every machine forwards. */
const WIRE = "generator:rate=20000";

/** The software NIC's options that the page, and signals, replace. */
const REPLACED = {
  ...{ seconds: undefined, json: false, control: false, quiet: true, trace: undefined },
} as const;

/** The options that `--attach` allows. */
export const ATTACH_OPTIONS = Object.fromEntries(
  Object.entries(SIM.options).filter(([name]) => !(name in REPLACED)),
) as Omit<typeof SIM.options, keyof typeof REPLACED>;

/** Names of those that are given. */
export function attachOptionsIn({ named, sequence }: Given<Declared>): string[] {
  const names = [...named, ...sequence.map(({ name }) => name)];
  return names.filter((name) => name in ATTACH_OPTIONS);
}

/** A software NIC to attach to. */
export interface Attached {
  readonly options: Options;
  /** Whether its sockets are names in a temporary directory, which is not made yet. */
  readonly temporary: boolean;
}

/**
 * Returns the software NIC of a command line: two ports with generators if no port is given.
 *
 * @throws {UsageError} if options contradict each other.
 */
export function attachedOf(given: Given<Declared>): Attached {
  const { sequence, values } = given;
  const temporary = !sequence.some(({ name }) => name === "socket" || name === "plain");
  if (temporary && sequence.length > 0) {
    throw new UsageError(`--${sequence[0].name} belongs to a port: give --socket PATH before it`);
  }
  const ports = SOCKETS.flatMap((text) => [
    { name: "socket", text },
    { name: "wire", text: WIRE },
  ]);
  const options = SIM.plan({
    ...given,
    values: { ...values as Given<typeof SIM.options>["values"], ...REPLACED },
    sequence: temporary ? ports : sequence,
  });
  return { options, temporary };
}

/** Returns the options with the sockets in a directory. */
export function inDirectory(options: Options, file: (name: string) => string): Options {
  const ports = options.ports.map((port) => ({ ...port, socket: file(port.socket) }));
  return { ...options, ports };
}
