/**
 * The forwarders between the two ports: this project's, minimal ones, or any command.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import type { Compiled } from "./compiler.ts";

/** A forwarder. */
export interface Forwarder {
  /** Its name in tables and plots. */
  readonly name: string;
  /** Whether it reports when its devices are open, and ends by SIGINT, as this project's programs do. */
  readonly ready: boolean;
  /** Whether it reports how many packets it dropped, as this project's forwarder does. */
  readonly counts: boolean;
  /** Whether its packets have to add up: of others, `TOLERATED` may be lost, since they may drop them. */
  readonly lossless: boolean;
  /** Whether it needs devices bound to uio_pci_generic, as DPDK does. */
  readonly uio: boolean;
  /** Returns its command for two devices. */
  command(addresses: readonly [string, string]): string[];
}

/** How to forward, as far as a forwarder has such options. */
export interface Work {
  /** Maximum batch size in packets. */
  readonly batch: number;
  /** Receive and transmit queues of each port. */
  readonly queues: number;
  /** Threads that poll them; with one, it is the main thread. */
  readonly workers: number;
}

const DENO = [Deno.execPath(), "run", "--quiet", "--allow-ffi"];

/** The additional permission that workers need to load their modules. */
const READ = `--allow-read=${decodeURIComponent(new URL("../", import.meta.url).pathname)}`;

/** This project's forwarder. */
export const OURS = "ixy.ts";
/** The forwarder that shows the limit of the device: `instrument/limit.c`, or `recycle.ts`. */
export const LIMIT = "limit";
/** The leanest forwarder in TypeScript, `lean.ts`. */
export const LEAN = "lean";
/**
 * The share of packets that a forwarder may lose that does not report how many it drops: every forwarder drops
 * some while the kernel gives the device's core to another program.
 */
export const TOLERATED = 1e-2;

/** Returns this project's forwarder, `fwd.ts`. */
export function ours({ batch, queues, workers }: Work): Forwarder {
  const options = [
    `--batch=${batch}`,
    ...(queues === 1 ? [] : [`--queues=${queues}`]),
    ...(workers === 1 ? [] : [`--workers=${workers}`]),
  ];
  return {
    ...{ name: OURS, ready: true, counts: true, lossless: true, uio: false },
    command: (addresses) => [
      // Each line that it prints would wake the bench, on one of the two cores.
      ...[...DENO, ...(workers === 1 ? [] : [READ]), "fwd.ts", "--json", "--quiet"],
      ...[...options, ...addresses],
    ],
  };
}

/** Returns the forwarder that shows the limit: on the instrument in C, on the software NIC `recycle.ts`. */
export function limit({ batch, queues }: Work, programs: Compiled | undefined): Forwarder {
  if (programs !== undefined) {
    return {
      ...{ name: LIMIT, ready: false, counts: false, lossless: true, uio: false },
      command: (addresses) => {
        const ports = addresses.map((address) => `/sys/bus/pci/devices/${address}`);
        return [programs.limit, ...ports, String(batch), String(queues)];
      },
    };
  }
  return {
    ...{ name: LIMIT, ready: true, counts: false, lossless: true, uio: false },
    command: (addresses) => [...DENO, "bench/recycle.ts", `--queues=${queues}`, ...addresses],
  };
}

/** Returns the leanest forwarder in TypeScript, for the instrument only. */
export function lean({ batch, queues }: Work): Forwarder {
  const options = [`--batch=${batch}`, `--queues=${queues}`];
  return {
    ...{ name: LEAN, ready: false, counts: false, lossless: true, uio: false },
    command: (addresses) => [...DENO, "bench/lean.ts", ...options, ...addresses],
  };
}

/** A forwarder of the command line. */
export interface Other {
  readonly name: string;
  /** Whether its command takes a batch size, and a number of queues. */
  readonly takesBatch: boolean;
  readonly takesQueues: boolean;
  /** Returns the forwarder. A shell starts its command with `exec`, so it has to stay one process. */
  make(work: Work): Forwarder;
}

/**
 * Returns a forwarder from `NAME=COMMAND` with placeholders: `{a}` and `{b}` for the devices, and optionally
 * `{batch}` and `{queues}`.
 *
 * @throws {UsageError} if there is no name, or `{a}` or `{b}` is missing.
 */
export function other(option: "against" | "against-dpdk", text: string): Other {
  const [, name, template] = /^([^=\s][^=]*)=(.*)$/s.exec(text) ?? [];
  const uio = option === "against-dpdk";
  if (name === undefined || [OURS, LIMIT, LEAN].includes(name)) {
    throw new UsageError(
      `--${option} takes NAME=COMMAND, with a name other than ${OURS}, ${LIMIT} and ${LEAN}`,
    );
  }
  if (!template.includes("{a}") || !template.includes("{b}")) {
    throw new UsageError(
      `--${option} takes a command with {a} and {b} in the places of the two devices`,
    );
  }
  return {
    name,
    takesBatch: template.includes("{batch}"),
    takesQueues: template.includes("{queues}"),
    make: ({ batch, queues }) => ({
      ...{ name, ready: false, counts: false, lossless: false, uio },
      command: ([a, b]) => {
        const command = template.replaceAll("{a}", a).replaceAll("{b}", b)
          .replaceAll("{batch}", String(batch)).replaceAll("{queues}", String(queues));
        return ["sh", "-c", `exec ${command}`];
      },
    }),
  };
}
