/**
 * The file with the results of the bench.
 *
 * @module
 */

import { dirname } from "node:path";
import { UsageError } from "../src/errors.ts";
import { type Results, withVerdicts } from "./results.ts";

/**
 * Reads a results file.
 *
 * @throws {UsageError} if the file does not exist or is not a results file.
 */
export function readResults(path: string): Results {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) {
      throw new UsageError(`${path}: no such file: name a results file of the bench`);
    }
    throw refused("read", path, error);
  }
  try {
    const { machine, suites } = JSON.parse(text);
    if (machine === undefined || !Array.isArray(suites)) throw new SyntaxError("it has no suites");
    return { machine, suites };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new UsageError(`${path} is not a results file of the bench: ${error.message}`);
  }
}

/** Whether a path is a regular file, or a link to one. */
export function isFile(path: string): boolean {
  return statusOf(path)?.isFile === true;
}

/** Returns what is at a path; undefined for nothing. Follows links. */
function statusOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Checks that a results file can be written, and creates its directory. Does not change the file.
 *
 * @throws {UsageError} if it cannot be written, or would not keep what is written.
 */
export function prepareResults(path: string): void {
  try {
    Deno.mkdirSync(dirname(path), { recursive: true });
    const before = statusOf(path);
    if (before?.isFifo || before?.isSocket) {
      throw new UsageError(`cannot write ${path}: is not a regular file: choose another file`);
    }
    Deno.openSync(path, { append: true, create: true }).close();
    if (before === undefined) Deno.removeSync(Deno.realPathSync(path)); // empty, it has no results
  } catch (error) {
    throw refused("write", path, error);
  }
}

/** Returns the error to throw for a file that cannot be used. */
function refused(what: string, path: string, error: unknown): unknown {
  const reason = error instanceof Error && /^(.+) \(os error \d+\)/.exec(error.message)?.[1];
  return reason ? new UsageError(`cannot ${what} ${path}: ${reason.toLowerCase()}`) : error;
}

/** Writes a results file. */
export function writeResults(path: string, results: Results): void {
  // Short arrays on one line, so that verdicts are easy to find.
  const lines = JSON.stringify(withVerdicts(results), null, 1)
    .replace(/\[\n\s+(-?[\d.e+]+),\n\s+(-?[\d.e+]+)\n\s+\]/g, "[$1,$2]")
    .replace(/"latency": \[[^"]*?\]\n/g, (bins) => bins.replace(/\n\s*/g, "") + "\n");
  replaceFile(path, lines + "\n");
}

/**
 * Writes a text file beside its place and renames it, so that a failure, such as a full disk, leaves the
 * file as it was. Follows links. Writes devices, such as /dev/null, directly.
 */
export function replaceFile(path: string, text: string): void {
  const before = statusOf(path);
  if (before !== undefined && !before.isFile) return Deno.writeTextFileSync(path, text);
  const place = before === undefined ? path : Deno.realPathSync(path);
  const beside = Deno.makeTempFileSync({ dir: dirname(place), prefix: ".ixy-" });
  try {
    Deno.writeTextFileSync(beside, text);
    Deno.chmodSync(beside, before === undefined ? 0o666 & ~Deno.umask() : before.mode! & 0o777);
    Deno.renameSync(beside, place);
  } catch (error) {
    Deno.removeSync(beside);
    throw error;
  }
}
