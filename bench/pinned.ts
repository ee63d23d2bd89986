/**
 * Programs that the bench runs on separate cores, and that do not outlive it.
 *
 * @module
 */

import { Program } from "../programs/process.ts";
import { UsageError } from "../src/errors.ts";

const PROJECT = decodeURIComponent(new URL("..", import.meta.url).pathname);
/** Characters to keep of what a program printed. */
const KEEP = 65536;

/**
 * Starts a program in the project's directory.
 *
 * @param name Its name in errors.
 * @param cores The cores that it may use.
 * @param command The program and its arguments.
 * @param stderr Where its standard error goes, see {@linkcode Program}.
 * @throws {UsageError} if `setpriv` is not installed.
 */
export function startOn(
  name: string,
  cores: readonly number[],
  command: readonly string[],
  stderr: "piped" | "inherit" = "piped",
): Program {
  const options = { name, cwd: PROJECT, stderr, keep: KEEP, signals: true };
  try {
    // The kernel kills it with this process, however that ends: forwarders poll for ever.
    const pinned = ["taskset", "-c", cores.join(), ...command];
    return Program.start(["setpriv", "--pdeathsig", "KILL", ...pinned], options);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError(
      "the bench needs setpriv and taskset, to pin programs to cores: apt-get install util-linux",
    );
  }
}
