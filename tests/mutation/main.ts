/**
 * Changes single places of the drivers, and shows which changes no test notices:
 * `deno task mutate`.
 *
 * It works in a copy of the project. First it measures how long each test file takes and which
 * lines it runs. Then it runs, for each mutant, the test files that run the changed line, cheapest
 * first, until one fails.
 *
 * @module
 */

import { command } from "../../programs/command_line.ts";
import { text, whole } from "../../programs/options.ts";
import { out } from "../../programs/output.ts";
import { runProgram } from "../../programs/process.ts";
import { run } from "../../programs/run.ts";
import { TemporaryDirectory } from "../../programs/temporary_directory.ts";
import { DeviceError, UsageError } from "../../src/errors.ts";
import { StopFlag } from "../../native/stop.ts";
import { measure, requireFiles, ROOMS } from "../coverage/measure.ts";
import { PROJECT } from "../support/processes.ts";
import { Random } from "../support/random.ts";
import { type Mutant, mutantsOf, mutate } from "./mutants.ts";

/** A file that a program writes, not a person. */
const GENERATED = "native/stubs.generated.ts";
/** Folders of the project that no test needs. */
const NOT_COPIED = [".git", ".vm", "node_modules", "results"];
/** How long tests may take with a mutant: as long as with coverage, and some seconds more. */
const MORE_MS = 10_000;

/** What to do. */
interface Plan {
  readonly files: readonly string[];
  readonly seed: number;
  readonly count: number;
  /** Seconds that a test file may take to be used. */
  readonly quick: number;
  /** Test files to run for each change. */
  readonly most: number;
  readonly state: string | undefined;
}

/** The command line. */
export const MUTATE = command({
  start: "deno task mutate",
  operands: { shown: "[FILES]", are: "files or folders of the drivers", least: 0, most: Infinity },
  about: `Changes single places of the drivers in a copy of the project, runs the tests that run
the changed line, and lists the changes that no test notices. Default: all files of
${ROOMS.join(", ")}.`,
  options: {
    seed: whole("chooses the changes and their order", { least: 0, most: 2 ** 32 - 1, default: 1 }),
    count: whole("number of changes", { least: 1, most: 100_000, default: 100 }),
    quick: whole("do not use test files that take longer than N seconds with coverage", {
      ...{ least: 1, most: 3600, default: 30 },
    }),
    most: whole("test files to run for each change, cheapest first", {
      ...{ values: "(default: all that run the line)", least: 1, default: Infinity },
    }),
    state: text(
      "continue the run that wrote FILE, with the same seed and files, and add the results",
      "FILE",
      "the name of a file",
    ),
  },
  notes:
    `First it measures all test files, which takes some minutes; --state keeps these measurements.
SIGINT ends it after the current change, and prints the list.`,
  plan({ values, operands }): Plan {
    const unknown = operands.find((file) => !ROOMS.some((room) => `${file}/`.startsWith(room)));
    if (unknown !== undefined) {
      throw new UsageError(`${unknown} is not in ${ROOMS.join(", ")}: name files of these folders`);
    }
    requireFiles(operands);
    return { ...values, files: operands.length > 0 ? operands : ROOMS };
  },
});

/** How a mutant ended: a test failed, did not end, or all passed; or no test runs its line. */
type Outcome = "killed" | "timeout" | "survived" | "not run";
const OUTCOMES: readonly Outcome[] = ["killed", "timeout", "survived", "not run"];

/** A test file: how long it takes, and the lines that it runs of each file. */
interface TestFile {
  readonly milliseconds: number;
  readonly lines: Readonly<Record<string, readonly number[]>>;
}

/** What a run has found. */
interface State {
  readonly seed: number;
  readonly tests: Record<string, TestFile>;
  readonly results: { mutant: Mutant; outcome: Outcome }[];
}

/** Returns the TypeScript files at a path of the project, by their paths in it. */
function filesAt(path: string, pattern: RegExp): string[] {
  const whole = PROJECT + path.replace(/\/$/, "");
  if (!Deno.statSync(whole).isDirectory) return [path];
  return [...Deno.readDirSync(whole)].flatMap(({ name, isDirectory }) => {
    const inside = `${path.replace(/\/$/, "")}/${name}`;
    if (isDirectory) return filesAt(inside, pattern);
    return pattern.test(name) && inside !== GENERATED ? [inside] : [];
  }).toSorted();
}

/** Copies the project. */
function copyTree(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true });
  for (const { name, isDirectory, isFile } of Deno.readDirSync(from)) {
    if (isDirectory && !NOT_COPIED.includes(name)) copyTree(`${from}/${name}`, `${to}/${name}`);
    if (isFile) Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

/** Runs test files in the copy; returns their exit code, or undefined if they do not end in time. */
async function test(
  copy: string,
  files: readonly string[],
  milliseconds: number,
): Promise<number | undefined> {
  const command = [Deno.execPath(), "test", "--allow-all", "--quiet", "--no-check", "--fail-fast"];
  try {
    return (await runProgram([...command, ...files], { cwd: copy, keep: 1000, milliseconds })).code;
  } catch (error) {
    if (error instanceof DeviceError) return undefined; // disposing has ended it
    throw error;
  }
}

/** Measures the test files that the state does not have yet. */
async function learn(copy: string, plan: Plan, state: State, stop: StopFlag): Promise<void> {
  const files = ROOMS.flatMap((room) => filesAt(`tests/${room}`, /_test\.ts$/));
  for (const file of files) {
    if (stop.signal !== 0) return;
    if (file in state.tests) continue;
    state.tests[file] = await learnFile(copy, file, plan.quick);
    const { milliseconds } = state.tests[file];
    const time = `${(milliseconds / 1000).toFixed(1)} s`;
    out.print(`${file}: ${Number.isFinite(milliseconds) ? time : "too slow or fails: not used"}`);
    save(plan, state);
  }
}

/** Measures a test file. */
async function learnFile(copy: string, file: string, quick: number): Promise<TestFile> {
  const start = performance.now();
  try {
    const { passed, files } = await measure(copy, [file], quick * 1000);
    if (!passed) return { milliseconds: Infinity, lines: {} };
    const milliseconds = Math.round(performance.now() - start);
    return { milliseconds, lines: Object.fromEntries(files.map(({ file, ran }) => [file, ran])) };
  } catch (error) {
    if (error instanceof DeviceError) return { milliseconds: Infinity, lines: {} }; // too slow
    throw error;
  }
}

/** Returns the time of a test file per line that it runs of a file: a test of that file has the least. */
function costOf({ milliseconds, lines }: TestFile, file: string): number {
  return milliseconds / lines[file].length;
}

/** Tries a mutant. */
async function attempt(
  copy: string,
  mutant: Mutant,
  { tests }: State,
  most: number,
): Promise<Outcome> {
  const chosen = Object.entries(tests)
    .filter(([, { lines }]) => lines[mutant.file]?.includes(mutant.line))
    .toSorted(([, a], [, b]) => costOf(a, mutant.file) - costOf(b, mutant.file))
    .slice(0, most);
  if (chosen.length === 0) return "not run";
  const path = copy + mutant.file, source = Deno.readTextFileSync(path);
  Deno.writeTextFileSync(path, mutate(source, mutant));
  try {
    for (const [file, { milliseconds }] of chosen) {
      const code = await test(copy, [file], milliseconds + MORE_MS);
      if (code !== 0) return code === undefined ? "timeout" : "killed";
    }
    return "survived";
  } finally {
    Deno.writeTextFileSync(path, source);
  }
}

/** Reads a state file; undefined if it does not exist. */
function readState(file: string): State | undefined {
  try {
    return JSON.parse(Deno.readTextFileSync(file), (key, value) => {
      return key === "milliseconds" && value === null ? Infinity : value; // as JSON writes it
    });
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new UsageError(`--state ${file}: ${(error as Error).message}`, { cause: error });
  }
}

/** Reads the state of earlier runs, if there is any. */
function load({ state: file, seed }: Plan): State {
  const fresh: State = { seed, tests: {}, results: [] };
  if (file === undefined) return fresh;
  const state = readState(file);
  if (state === undefined) return fresh;
  if (state.seed !== seed) {
    throw new UsageError(
      `${file} was written with --seed ${state.seed}: use that, or another file`,
    );
  }
  return state;
}

function save({ state: file }: Plan, state: State): void {
  if (file !== undefined) Deno.writeTextFileSync(file, JSON.stringify(state));
}

function print({ results }: State): void {
  const of = (outcome: Outcome) => results.filter((result) => result.outcome === outcome);
  for (const outcome of ["survived", "not run"] as const) {
    for (const { mutant: { file, line, change } } of of(outcome)) {
      out.print(`${outcome}: ${file}:${line}: ${change}`);
    }
  }
  const counts = OUTCOMES.map((outcome) => `${outcome} ${of(outcome).length}`);
  const noticed = of("killed").length + of("timeout").length;
  const share = results.length > 0
    ? ` (${(noticed / results.length * 100).toFixed(1)} % noticed)`
    : "";
  out.print(`${results.length} changes: ${counts.join(", ")}${share}`);
}

async function main(plan: Plan): Promise<number> {
  using stop = new StopFlag();
  const state = load(plan);
  const files = plan.files.flatMap((path) => filesAt(path, /\.ts$/));
  const mutants = new Random(plan.seed).shuffled(
    files.flatMap((file) => mutantsOf(file, Deno.readTextFileSync(PROJECT + file))),
  );
  await using directory = await TemporaryDirectory.make();
  const copy = directory.file("project/");
  copyTree(PROJECT.slice(0, -1), copy.slice(0, -1));
  await learn(copy, plan, state, stop);
  const from = state.results.length;
  for (const mutant of mutants.slice(from, from + plan.count)) {
    if (stop.signal !== 0) break;
    const outcome = await attempt(copy, mutant, state, plan.most);
    state.results.push({ mutant, outcome });
    save(plan, state);
    out.print(`${outcome}: ${mutant.file}:${mutant.line}: ${mutant.change}`);
  }
  print(state);
  return 0;
}

if (import.meta.main) await run(MUTATE, main);
