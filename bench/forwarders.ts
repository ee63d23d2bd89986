/**
 * Who forwards between the two ports: this project's forwarder, the least that can be done, or any
 * command.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";

/** Something that forwards. */
export interface Forwarder {
  /** Its name in tables and pictures. */
  readonly name: string;
  /** Whether it says when its devices are open, as this project's programs do. */
  readonly ready: boolean;
  /** Whether it says how many packets it has dropped, as this project's forwarder does. */
  readonly counts: boolean;
  /** Its command for two devices. */
  command(addresses: readonly [string, string]): string[];
}

/** What a forwarder is asked to do, as far as it lets itself be asked. */
export interface Work {
  /** Most packets handled at once. */
  readonly batch: number;
  /** Receive and transmit queues of each port. */
  readonly queues: number;
  /** Threads that poll them; with one, it is the main thread. */
  readonly workers: number;
}

const DENO = [Deno.execPath(), "run", "--quiet", "--allow-ffi"];

/** What threads of this project's forwarder need beside that: to load their modules. */
const READ = `--allow-read=${new URL("../", import.meta.url).pathname}`;

/** This project's forwarder. */
export const OURS = "ixy.ts";
/** The least that can be done. */
export const LIMIT = "limit";

/** This project's forwarder, `fwd.ts`. */
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

/** What shows how much the software NIC can do, `recycle.ts`. */
export function limit({ queues }: Work): Forwarder {
  return {
    name: LIMIT,
    ready: true,
    counts: false,
    command: (addresses) => [...DENO, "bench/recycle.ts", `--queues=${queues}`, ...addresses],
  };
}

/**
 * A command with `{a}` and `{b}` in it, in whose places the devices come; and perhaps `{batch}` and
 * `{queues}`. A shell runs it, in whose place it has to stay (`exec`).
 *
 * @throws {UsageError} if it does not name both devices.
 */
export function against(text: string, name: string, { batch, queues }: Work): Forwarder {
  if (!text.includes("{a}") || !text.includes("{b}")) {
    throw new UsageError(
      "--against takes a command with {a} and {b} in it, where the two devices come",
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
