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

/** The bench, as it is called. */
export const BENCH = command({
  start: "deno task bench",
  operands: {
    shown: SUITES.map((name) => `[${name}]`).join(" "),
    are: "suites",
    least: 0,
    most: Infinity,
  },
  about:
    `Forwards between two ports of the software NIC, and counts. All four suites, if none is named:

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
    seconds: whole("how long each run is measured, in windows of 0.4 s", {
      ...{ least: 1, most: 3600, default: 2 },
    }),
    json: text("write the results there", "FILE", "a file"),
    continue: flag("add to the results that are in that file, if there is one"),
    plots: text("draw pictures there: DIR/throughput.svg and so on", "DIR", "a directory"),
    from: text("measure nothing: show, and draw, what is in a file of results", "FILE", "a file"),
    against: text(
      "measure another forwarder too, in turns with this one, on devices of one kind. It is given two " +
        "devices in the places of {a} and {b}, and {batch} and {queues} where it has them; it has to " +
        "stay in the foreground.",
      "'COMMAND with {a} {b}'",
      "a command",
    ),
    name: text("what to call it (default: the first word of its command)", "NAME", "a name"),
    device: choice("devices", ["plain", "vfio-user"], {
      values: "plain, files like those of sysfs with physical addresses, which needs root and " +
        "hugepages (default with --against); vfio-user, sockets (default without)",
      default: undefined,
    }),
  },
  plan({ values, operands }): Options {
    const suites = operands.map((word) => {
      const suite = SUITES.find((name) => name === word);
      if (suite !== undefined) return suite;
      throw new UsageError(`there is no suite "${word}": ${SUITES.join(", ")}; see --help`);
    });
    const { against: command, json, from, device } = values;
    if (values.continue && json === undefined) {
      throw new UsageError("--continue adds to the file of --json: give that too");
    }
    const name = values.name ?? command?.trim().split(/\s+/)[0].split("/").at(-1) ?? "";
    const make = command === undefined ? undefined : (work: Work) => against(command, name, work);
    make?.({ batch: 1, queues: 1, workers: 1 }); // refuses a command without its devices at once
    const cores = usableCores();
    if (cores.length < 2 && from === undefined) {
      throw new UsageError(
        "the bench needs two cores: forwarder and software NIC would take turns",
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
