/**
 * Runs programs of the host that must succeed.
 *
 * @module
 */

import { runOnHost } from "../command.ts";

/** Characters of output that an error shows. */
const TAIL = 3000;
/** Longest that a program and its children may take to end after a signal, in seconds. */
const GRACE_S = 5;

/**
 * Runs a program of the host.
 *
 * @param command Program and arguments.
 * @param seconds Longest that it may take; default: 60.
 * @param env Environment variables to add.
 * @returns Its standard output.
 * @throws {Error} if it does not exist, fails or takes longer; the message has the command and the
 * end of its output.
 */
export async function succeed(
  command: readonly string[],
  seconds = 60,
  env: Record<string, string> = {},
): Promise<string> {
  // `timeout` also ends the program's children, which a signal to the program alone does not.
  const limited = ["timeout", `--kill-after=${GRACE_S}`, String(seconds), ...command];
  const result = await runOnHost(limited, (seconds + 2 * GRACE_S) * 1000, env);
  if (result?.success) return result.stdout;
  const printed = result
    ? (result.stdout + result.stderr).slice(-TAIL)
    : "`timeout` is not installed";
  throw new Error(`${command.join(" ")} failed (it may take ${seconds} s):\n${printed}`);
}
