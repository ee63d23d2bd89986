/**
 * Measures which lines and branches of the drivers the tests run: `deno task coverage`.
 *
 * Child processes that are Deno programs count too, unless they are killed.
 *
 * @module
 */

import { command } from "../../programs/command_line.ts";
import { interruptible } from "../../programs/interruption.ts";
import { flag } from "../../programs/options.ts";
import { err, out } from "../../programs/output.ts";
import { run } from "../../programs/run.ts";
import { PROJECT } from "../support/processes.ts";
import { table } from "./lcov.ts";
import { measure, requireFiles, ROOMS } from "./measure.ts";

/** What to do. */
interface Plan {
  /** Files and folders of tests. */
  readonly tests: readonly string[];
  readonly uncovered: boolean;
}

/** The command line. */
export const COVERAGE = command({
  start: "deno task coverage",
  operands: { shown: "[TESTS]", are: "files or folders of tests", least: 0, most: Infinity },
  about: `Runs tests, and shows how many lines and branches of the drivers they ran.
Default: the tests of ${ROOMS.join(", ")}.`,
  options: { uncovered: flag("list the lines that did not run") },
  notes: "Exits with 1 if a test fails.",
  plan({ values, operands }): Plan {
    requireFiles(operands);
    const tests = operands.length > 0 ? operands : ROOMS.map((room) => `tests/${room}`);
    return { tests, uncovered: values.uncovered };
  },
});

async function main({ tests, uncovered }: Plan): Promise<number> {
  const { passed, files } = await measure(PROJECT, tests);
  for (const line of table(files, ROOMS, uncovered)) out.print(line);
  if (!passed) err.print("error: a test failed: `deno task test` shows which");
  return passed ? 0 : 1;
}

if (import.meta.main) await run(COVERAGE, interruptible(main));
