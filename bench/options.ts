/**
 * The command line of the bench.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { type Arguments, choice, number, parse } from "../programs/program.ts";
import type { DeviceKind } from "./devices.ts";
import { against, type Forwarder, type Work } from "./forwarders.ts";
import { usableCores } from "./machine.ts";
import { type SuiteName, SUITES } from "./results.ts";

const USAGE = `usage: deno task bench [options] [throughput] [sizes] [queues] [latency]

Forwards between two ports of the software NIC, and counts. All four suites unless some are named:

  throughput    by batch size
  sizes         throughput by packet size
  queues        throughput by number of queues
  latency       percentiles at several loads

  --batches N,… batch sizes, each 1 to 256 (default 1,2,4,8,16,32,64,128,256)
  --sizes N,…   bytes of a packet, without CRC, each 60 to 1514 (default 60,124,252,508,1020,1514)
  --queues N,…  queues of each port, each 1 to 16 (default 1,2,4)
  --loads N,…   packets a second, both directions together, each 1000 to 2e7
                (default 250000,500000,1000000,2000000)
  --rounds N    runs of each point, in turns, 1 to 1000 (default 3)
  --seconds N   how long each run is measured, in windows of 0.4 s, 1 to 3600 (default 2)
  --json FILE   write the results there
  --continue    add to the results that are in that file, if there is one
  --plots DIR   draw pictures there: DIR/throughput.svg and so on
  --from FILE   measure nothing: show, and draw, what is in a file of results

  --against 'COMMAND with {a} {b}'
                measure another forwarder too, in turns with this one, on devices of one kind. It is
                given two devices in the places of {a} and {b}, and {batch} and {queues} where it
                has them; it has to stay in the foreground.
  --name NAME   what to call it (default: the first word of its command)
  --device HOW  plain: devices as files like those of sysfs, with physical addresses, which needs root
                and hugepages (default with --against); vfio-user: sockets (default without)`;

const KINDS = {
  batches: true,
  sizes: true,
  queues: true,
  loads: true,
  rounds: true,
  seconds: true,
  json: true,
  continue: false,
  plots: true,
  from: true,
  against: true,
  name: true,
  device: true,
};

/** What the bench was asked to do. */
export interface Options {
  readonly suites: readonly SuiteName[];
  readonly batches: readonly number[];
  readonly sizes: readonly number[];
  readonly queues: readonly number[];
  readonly loads: readonly number[];
  readonly rounds: number;
  readonly seconds: number;
  /** File to write results to. */
  readonly json: string | undefined;
  /** Whether to add to what is in it. */
  readonly continue: boolean;
  /** Directory to draw pictures in. */
  readonly plots: string | undefined;
  /** File to show instead of measuring. */
  readonly from: string | undefined;
  /** Another forwarder. */
  readonly against: ((work: Work) => Forwarder) | undefined;
  /** Whether the other forwarder does as many packets at once, or uses as many queues, as it is told. */
  readonly takesBatch: boolean;
  readonly takesQueues: boolean;
  readonly device: DeviceKind;
  /** The cores that may be used. */
  readonly cores: readonly number[];
}

/** A list of whole numbers. */
function numbers(
  { values }: Arguments,
  name: string,
  fallback: string,
  least: number,
  most: number,
): number[] {
  const text = String(values[name] ?? fallback), list = text.split(",");
  const all = list.map((word) => word === "" ? NaN : Number(word));
  if (all.some((n) => !(Number.isInteger(n) && n >= least && n <= most))) {
    throw new UsageError(
      `--${name} takes numbers from ${least} to ${most}, with commas, not "${text}"`,
    );
  }
  return [...new Set(all)].toSorted((a, b) => a - b);
}

function text({ values }: Arguments, name: string): string | undefined {
  const value = values[name];
  if (value === "") throw new UsageError(`--${name} is empty: see --help`);
  return value as string | undefined;
}

/**
 * Reads the command line.
 *
 * @throws {UsageError} for what cannot be done, here or at all.
 */
export function benchOptions(): Options {
  const args = parse(Deno.args, USAGE, KINDS);
  const suites = args.positionals.map((word) => {
    const suite = SUITES.find((name) => name === word);
    if (suite !== undefined) return suite;
    throw new UsageError(`there is no suite "${word}": ${SUITES.join(", ")}; see --help`);
  });
  const command = text(args, "against"), json = text(args, "json");
  if (args.values.continue && json === undefined) {
    throw new UsageError("--continue adds to the file of --json: give that too");
  }
  const name = text(args, "name") ?? command?.trim().split(/\s+/)[0].split("/").at(-1) ?? "";
  const make = command === undefined ? undefined : (work: Work) => against(command, name, work);
  make?.({ batch: 1, queues: 1, workers: 1 }); // refuses a command without its devices at once
  const cores = usableCores(), from = text(args, "from");
  if (cores.length < 2 && from === undefined) {
    throw new UsageError("the bench needs two cores: forwarder and software NIC would take turns");
  }
  return {
    suites: suites.length === 0 ? SUITES : suites,
    batches: numbers(args, "batches", "1,2,4,8,16,32,64,128,256", 1, 256),
    sizes: numbers(args, "sizes", "60,124,252,508,1020,1514", 60, 1514),
    queues: numbers(args, "queues", "1,2,4", 1, 16),
    loads: numbers(args, "loads", "250000,500000,1000000,2000000", 1000, 2e7),
    rounds: number(args, "rounds", 3, 1, 1000),
    seconds: number(args, "seconds", 2, 1, 3600),
    json,
    continue: args.values.continue === true,
    plots: text(args, "plots"),
    from,
    against: make,
    takesBatch: command?.includes("{batch}") ?? false,
    takesQueues: command?.includes("{queues}") ?? false,
    device: choice(args, "device", ["plain", "vfio-user"] as const) ??
      (command === undefined ? "vfio-user" : "plain"),
    cores,
  };
}
