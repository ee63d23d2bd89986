/**
 * Programs of the host that have to succeed.
 *
 * @module
 */

import { runOnHost } from "../command.ts";

/** Characters of output that an error quotes. */
const TAIL = 3000;
/** Seconds that a program and what it has started may take to end, once told to. */
const GRACE_S = 5;

/**
 * Runs a program of the host.
 *
 * @param command Program and arguments.
 * @param seconds How long it may take; 60 unless given.
 * @param env Environment variables to add.
 * @returns What it printed on standard output.
 * @throws {Error} if it is not there, fails or takes longer: it names the command and quotes what it
 * printed last.
 */
export async function succeed(
  command: readonly string[],
  seconds = 60,
  env: Record<string, string> = {},
): Promise<string> {
  // Unlike a signal to the program alone, `timeout` also ends those that it has started.
  const limited = ["timeout", `--kill-after=${GRACE_S}`, String(seconds), ...command];
  const result = await runOnHost(limited, (seconds + 2 * GRACE_S) * 1000, env);
  if (result?.success) return result.stdout;
  const printed = result ? (result.stdout + result.stderr).slice(-TAIL) : "there is no `timeout`";
  throw new Error(`${command.join(" ")} failed (it may take ${seconds} s):\n${printed}`);
}
