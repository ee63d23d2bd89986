/**
 * Runs tests and measures what they run of the drivers.
 *
 * @module
 */

import { Program, runProgram } from "../../programs/process.ts";
import { TemporaryDirectory } from "../../programs/temporary_directory.ts";
import { UsageError } from "../../src/errors.ts";
import { PROJECT } from "../support/processes.ts";
import { type FileCoverage, readLcov } from "./lcov.ts";
import { addSpecialised } from "./specialised.ts";

/** The rooms to measure. */
export const ROOMS: readonly string[] = ["native/", "src/", "ixgbe/", "virtio/", "xdp/"];

/** How long tests may take by default, in milliseconds: an hour. */
const DEADLINE_MS = 3_600_000;
/** Characters of the output of Deno to keep, for errors. */
const KEEP = 1000;

/**
 * Checks that files and folders of the project exist.
 *
 * @param paths Their paths in the project.
 * @throws {UsageError} if one does not exist.
 */
export function requireFiles(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      Deno.statSync(PROJECT + path);
    } catch (error) {
      throw new UsageError(`${path}: ${(error as Error).message}`, { cause: error });
    }
  }
}

/**
 * Runs tests with coverage.
 *
 * @param project The directory of the project, with a slash at its end.
 * @param tests Files and folders of tests, by their paths in the project.
 * @param milliseconds How long they may take; default: an hour.
 * @returns Whether all tests passed, and the coverage of each file of the rooms.
 * @throws {DeviceError} if they take longer, or Deno makes no report.
 */
export async function measure(
  project: string,
  tests: readonly string[],
  milliseconds = DEADLINE_MS,
): Promise<{ passed: boolean; files: FileCoverage[] }> {
  await using directory = await TemporaryDirectory.make();
  const raw = directory.file("raw"), report = directory.file("lcov");
  const flags = ["--allow-all", "--quiet", "--no-check", "--coverage-raw-data-only"];
  const options = {
    ...{ cwd: project, env: { NO_COLOR: "1" }, keep: KEEP, milliseconds },
    signals: true,
  };
  const command = [Deno.execPath(), "test", ...flags, `--coverage=${raw}`, ...tests];
  const { code } = await runProgram(command, { ...options, name: tests.join(" ") });
  addSpecialised(raw);
  const include = `--include=^file://${project}(${ROOMS.join("|")})`;
  const print = [Deno.execPath(), "coverage", "--lcov", `--output=${report}`, include, raw];
  await using coverage = Program.start(print, { ...options, name: "deno coverage" });
  await coverage.succeed(milliseconds);
  return { passed: code === 0, files: readLcov(Deno.readTextFileSync(report), project) };
}
