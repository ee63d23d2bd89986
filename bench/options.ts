/**
 * The command line of the bench.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { command } from "../programs/command_line.ts";
import { choice, decimal, flag, repeated, text, whole, wholes } from "../programs/options.ts";
import { DEVICE_KINDS, type DeviceKind } from "./devices.ts";
import { type Other, other } from "./forwarders.ts";
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
  /** The other forwarders. */
  readonly others: readonly Other[];
  /** Starts of each forwarder in the suite spread. */
  readonly starts: number;
  /** Whether to check only that nothing is lost, reordered or corrupt. */
  readonly quick: boolean;
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
  about:
    `Measures forwarders between two ports of the instrument, a fast model of an 82599 in C, or of the
software NIC. Suites (default: all):

  throughput    by batch size
  sizes         throughput by packet size
  queues        throughput by number of queues
  latency       percentiles at several loads
  spread        throughput of many starts, in batches of 1

Exits with 1 if a forwarder fails, or loses, reorders or damages packets.`,
  options: {
    batches: wholes("batch sizes", {
      least: 1,
      most: 256,
      default: [1, 2, 4, 8, 16, 32, 64, 128, 256],
    }),
    sizes: wholes("bytes of a packet, without CRC", {
      ...{ least: 60, most: 1514, default: [60, 124, 252, 508, 1020, 1514] },
    }),
    queues: wholes("queues of each port", { least: 1, most: 16, default: [1, 2, 4, 8] }),
    loads: wholes("packets a second, both directions together", {
      ...{ least: 1000, most: 2e7, default: [1000000, 2000000, 4000000] },
    }),
    rounds: whole("runs of each point, in turns", { least: 1, most: 1000, default: 3 }),
    seconds: decimal("seconds of each run, in windows of 0.2 s, of 0.5 s for latency", {
      ...{ least: 0.2, most: 3600, default: 1 },
    }),
    starts: whole("starts of each forwarder in the suite spread", {
      ...{ least: 1, most: 1000, default: 20 },
    }),
    quick: flag(
      "only check, in less than a minute, that no packet is lost, reordered or corrupt: batches of 1 and 32, " +
        "1 and 4 queues",
    ),
    json: text("write the results to FILE", "FILE", "a file"),
    continue: flag("add to the results in that file, if it exists"),
    plots: text("write plots to DIR: DIR/throughput.svg and so on", "DIR", "a directory"),
    from: text("measure nothing: print, and plot, the results in FILE", "FILE", "a file"),
    against: repeated(
      "also measure another forwarder, in turns with this one, on the same kind of devices. Its command " +
        "has {a} and {b} in the places of the devices, and may have {batch} and {queues}; it has to stay " +
        "in the foreground. Can be given several times",
      "'NAME=COMMAND with {a} {b}'",
      "a name and a command",
    ),
    "against-dpdk": repeated(
      "the same, for a program of DPDK: the devices look as if they were bound to uio_pci_generic",
      "'NAME=COMMAND with {a} {b}'",
      "a name and a command",
    ),
    device: choice("devices", DEVICE_KINDS, {
      values:
        "instrument (default): PCI devices of the instrument; needs root, hugepages and gcc. " +
        "vfio-user: sockets of the software NIC, which is slower; needs none of them",
      default: "instrument",
    }),
  },
  plan({ values, operands, sequence }): Options {
    const suites = operands.map((word) => {
      const suite = SUITES.find((name) => name === word);
      if (suite !== undefined) return suite;
      throw new UsageError(`unknown suite "${word}": name some of ${SUITES.join(", ")}`);
    });
    const { json, from, device, quick } = values;
    if (values.continue && json === undefined) {
      throw new UsageError("--continue adds to the file of --json: give --json too");
    }
    const others = sequence.flatMap(({ name, text }) => {
      return name === "against" || name === "against-dpdk" ? [other(name, text)] : [];
    });
    const twice = others.find(({ name }, i) => others.findIndex((o) => o.name === name) < i);
    if (twice !== undefined) {
      throw new UsageError(`two forwarders have the name ${twice.name}: give each its own`);
    }
    if (device === "vfio-user" && sequence.some(({ name }) => name === "against-dpdk")) {
      throw new UsageError("--against-dpdk needs PCI devices: leave out --device vfio-user");
    }
    const cores = usableCores();
    if (cores.length < 2 && from === undefined) {
      throw new UsageError(
        "the bench needs two cores, one each for forwarder and device: let it use a second core",
      );
    }
    return {
      ...values,
      ...(quick && QUICK),
      suites: suites.length > 0 ? suites : quick ? QUICK_SUITES : SUITES,
      others,
      device,
      cores,
    };
  },
});

/** What `--quick` measures. */
const QUICK_SUITES = ["throughput", "queues"] as const;
const QUICK = { batches: [1, 32], queues: [1, 4], rounds: 1, seconds: 1 } as const;
