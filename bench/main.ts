/**
 * Throughput and latency of forwarders on the instrument: `deno task bench`. `bench/README.md` explains the
 * figures.
 *
 * @module
 */

import { UsageError } from "../src/errors.ts";
import { Progress } from "../programs/progress.ts";
import { interruptible } from "../programs/interruption.ts";
import { run } from "../programs/run.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { compile } from "./compiler.ts";
import { checkDevices } from "./devices.ts";
import { DistanceProbe } from "./distance.ts";
import { describe, machine } from "./machine.ts";
import { BENCH, type Options } from "./options.ts";
import { plotsOf } from "./plots.ts";
import type { Results } from "./results.ts";
import { isFile, prepareResults, readResults, replaceFile, writeResults } from "./results_file.ts";
import { quickly } from "./quick.ts";
import { runSuite, suiteOf } from "./suites.ts";
import { notes, table } from "./table.ts";

/** Returns the results to add to: those of the file with --continue, otherwise none. */
function startingPoint(options: Options): Results {
  const now = machine();
  if (!options.continue || !isFile(options.json!)) return { machine: now, suites: [] };
  const before = readResults(options.json!);
  if (JSON.stringify(before.machine) === JSON.stringify(now)) return before;
  throw new UsageError(
    `the results in ${options.json} are from another machine or other versions: choose another file, ` +
      "or leave out --continue",
  );
}

/** Measures, and writes the results after each suite. */
async function measure(options: Options): Promise<Results> {
  checkDevices(options.device);
  const results = startingPoint(options);
  // First, because a failure after measuring would lose the results.
  if (options.json !== undefined) prepareResults(options.json);
  console.log(describe(results.machine));
  await using directory = await TemporaryDirectory.make();
  const programs = options.device === "instrument" ? await compile(directory) : undefined;
  const [there, here] = options.cores.slice(-2);
  using probe = new DistanceProbe(here, there);
  using progress = new Progress("bench");
  for (const name of options.suites) {
    const suite = suiteOf(results.suites, name, options);
    await runSuite(suite, { options, programs }, probe, progress);
    if (options.json !== undefined) writeResults(options.json, results);
  }
  return results;
}

/** Checks that packets come back; returns the exit code. */
async function quick(options: Options): Promise<number> {
  checkDevices(options.device);
  await using directory = await TemporaryDirectory.make();
  const programs = options.device === "instrument" ? await compile(directory) : undefined;
  const [there, here] = options.cores.slice(-2);
  using probe = new DistanceProbe(here, there);
  return await quickly({ options, programs }, probe);
}

async function main(options: Options): Promise<number> {
  if (options.quick) return await quick(options);
  const results = options.from === undefined ? await measure(options) : readResults(options.from);
  if (options.from !== undefined) console.log(describe(results.machine));
  const suites = results.suites.filter(({ name }) => options.suites.includes(name));
  for (const suite of suites) console.log(`\n${table(suite, results.machine)}`);
  console.log(`\n${notes(results.machine, suites)}`);
  const failures = suites.flatMap(({ name, series }) =>
    series.flatMap(({ failure }) => failure === undefined ? [] : [`${name}: ${failure}`])
  );
  for (const failure of failures) console.error(failure);
  const code = failures.length > 0 && options.from === undefined ? 1 : 0;
  if (options.plots === undefined) return code;
  Deno.mkdirSync(options.plots, { recursive: true });
  for (const { name, svg } of suites.flatMap((suite) => plotsOf(suite, results.machine))) {
    const file = `${options.plots}/${name}.svg`;
    replaceFile(file, svg);
    console.log(`drew ${file}`);
  }
  return code;
}

if (import.meta.main) await run(BENCH, interruptible(main));
