/**
 * The command line of the bench.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { command } from "../programs/command_line.ts";
import { choice, flag, text, whole, wholes } from "../programs/options.ts";
import type { DeviceKind } from "./devices.ts";
import { against, type Forwarder, type Work } from "./forwarders.ts";
import { usableCores } from "./machine.ts";
import { type SuiteName, SUITES } from "./results.ts";

/** The options of the bench. */
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
  /** Whether to add to the results in that file. */
  readonly continue: boolean;
  /** Directory to write plots to. */
  readonly plots: string | undefined;
  /** File to show instead of measuring. */
  readonly from: string | undefined;
  /** The other forwarder. */
  readonly against: ((work: Work) => Forwarder) | undefined;
  /** Whether the command of the other forwarder takes a batch size, and a number of queues. */
  readonly takesBatch: boolean;
  readonly takesQueues: boolean;
  readonly device: DeviceKind;
  /** The cores that may be used. */
  readonly cores: readonly number[];
}

/** The command line. */
export const BENCH = command({
  start: "deno task bench",
  operands: {
    shown: SUITES.map((name) => `[${name}]`).join(" "),
    are: "suites",
    least: 0,
    most: Infinity,
  },
  about: `Measures the forwarder between two ports of the software NIC. Suites (default: all):

  throughput    by batch size
  sizes         throughput by packet size
  queues        throughput by number of queues
  latency       percentiles at several loads`,
  options: {
    batches: wholes("batch sizes", {
      least: 1,
      most: 256,
      default: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    }),
    sizes: wholes("bytes of a packet, without CRC", {
      ...{ least: 60, most: 1514, default: [60, 124, 252, 508, 1020, 1514] },
    }),
    queues: wholes("queues of each port", { least: 1, most: 16, default: [1, 2, 4] }),
    loads: wholes("packets a second, both directions together", {
      ...{ least: 1000, most: 2e7, default: [250000, 500000, 1000000, 2000000] },
    }),
    rounds: whole("runs of each point, in turns", { least: 1, most: 1000, default: 3 }),
    seconds: whole("seconds of each run, in windows of 0.4 s", {
      ...{ least: 1, most: 3600, default: 2 },
    }),
    json: text("write the results to FILE", "FILE", "a file"),
    continue: flag("add to the results in that file, if it exists"),
    plots: text("write plots to DIR: DIR/throughput.svg and so on", "DIR", "a directory"),
    from: text("measure nothing: print, and plot, the results in FILE", "FILE", "a file"),
    against: text(
      "also measure another forwarder, in turns with this one, on the same kind of devices. Its command " +
        "has {a} and {b} in the places of the devices, and may have {batch} and {queues}; it has to stay " +
        "in the foreground",
      "'COMMAND with {a} {b}'",
      "a command",
    ),
    name: text("name of that forwarder (default: the first word of its command)", "NAME", "a name"),
    device: choice("devices", ["plain", "vfio-user"], {
      values:
        "plain (default with --against): files like those of sysfs, with physical addresses; " +
        "needs root and hugepages. vfio-user (default without): sockets",
      default: undefined,
    }),
  },
  plan({ values, operands }): Options {
    const suites = operands.map((word) => {
      const suite = SUITES.find((name) => name === word);
      if (suite !== undefined) return suite;
      throw new UsageError(`unknown suite "${word}": name some of ${SUITES.join(", ")}`);
    });
    const { against: command, json, from, device } = values;
    if (values.continue && json === undefined) {
      throw new UsageError("--continue adds to the file of --json: give --json too");
    }
    const name = values.name ?? command?.trim().split(/\s+/)[0].split("/").at(-1) ?? "";
    const make = command === undefined ? undefined : (work: Work) => against(command, name, work);
    make?.({ batch: 1, queues: 1, workers: 1 }); // refuses a command without its devices at once
    const cores = usableCores();
    if (cores.length < 2 && from === undefined) {
      throw new UsageError(
        "the bench needs two cores, one each for forwarder and software NIC: let it use a second core",
      );
    }
    return {
      ...values,
      suites: suites.length === 0 ? SUITES : suites,
      against: make,
      takesBatch: command?.includes("{batch}") ?? false,
      takesQueues: command?.includes("{queues}") ?? false,
      device: device ?? (command === undefined ? "vfio-user" : "plain"),
      cores,
    };
  },
});
