/**
 * The forwarders between the two ports: this project's, a minimal one, or any command.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";

/** A forwarder. */
export interface Forwarder {
  /** Its name in tables and plots. */
  readonly name: string;
  /** Whether it reports when its devices are open, as this project's programs do. */
  readonly ready: boolean;
  /** Whether it reports how many packets it dropped, as this project's forwarder does. */
  readonly counts: boolean;
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
const READ = `--allow-read=${new URL("../", import.meta.url).pathname}`;

/** This project's forwarder. */
export const OURS = "ixy.ts";
/** The minimal forwarder, `recycle.ts`. */
export const LIMIT = "limit";

/** Returns this project's forwarder, `fwd.ts`. */
export function ours({ batch, queues, workers }: Work): Forwarder {
  const options = [
    `--batch=${batch}`,
    ...(queues === 1 ? [] : [`--queues=${queues}`]),
    ...(workers === 1 ? [] : [`--workers=${workers}`]),
  ];
  return {
    name: OURS,
    ready: true,
    counts: true,
    command: (addresses) => [
      ...[...DENO, ...(workers === 1 ? [] : [READ]), "fwd.ts", "--json"],
      ...[...options, ...addresses],
    ],
  };
}

/** Returns the forwarder that shows the limit of the software NIC, `recycle.ts`. */
export function limit({ queues }: Work): Forwarder {
  return {
    name: LIMIT,
    ready: true,
    counts: false,
    command: (addresses) => [...DENO, "bench/recycle.ts", `--queues=${queues}`, ...addresses],
  };
}

/**
 * Returns a forwarder from a command with placeholders: `{a}` and `{b}` for the devices, and
 * optionally `{batch}` and `{queues}`. A shell starts it with `exec`, so it has to stay one
 * process.
 *
 * @throws {UsageError} if `{a}` or `{b}` is missing.
 */
export function against(text: string, name: string, { batch, queues }: Work): Forwarder {
  if (!text.includes("{a}") || !text.includes("{b}")) {
    throw new UsageError(
      "--against takes a command with {a} and {b} in the places of the two devices",
    );
  }
  return {
    name,
    ready: false,
    counts: false,
    command: ([a, b]) => {
      const command = text.replaceAll("{a}", a).replaceAll("{b}", b)
        .replaceAll("{batch}", String(batch)).replaceAll("{queues}", String(queues));
      return ["sh", "-c", `exec ${command}`];
    },
  };
}
