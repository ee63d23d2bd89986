/**
 * Fuzzes: `deno task fuzz [--seconds N] [--seed S] [TARGET...]`. Each target runs in a process of its
 * own, which it may crash or stall.
 *
 * @module
 */

import { command } from "../../programs/command_line.ts";
import { interruptible, type Interruption } from "../../programs/interruption.ts";
import { decimal, whole } from "../../programs/options.ts";
import { out } from "../../programs/output.ts";
import { run } from "../../programs/run.ts";
import { UsageError } from "../../src/errors.ts";
import { Progress } from "./progress.ts";
import { type Outcome, seedOf, store } from "./search.ts";
import { type Json, type Sequence, smaller } from "./target.ts";
import { TARGETS } from "./targets.ts";

const MAX_SEED = 0xffffffff;
/** Milliseconds between looks at a target, and after which an attempt that does not end has stalled. */
const LOOK_MS = 500, STALL_MS = 120_000;
/** Milliseconds for which a case that ends its process runs, and is made smaller. */
const REPLAY_MS = 20_000, SHRINK_MS = 180_000;
/** Exit code of a process that was ended by a signal, less the signal's number. */
const SIGNAL_BASE = 128;
/** Signals that end a process from outside: SIGHUP, SIGINT, SIGQUIT and SIGTERM. */
const ENDED: readonly number[] = [1, 2, 3, 15];

/** What to do. */
interface Plan {
  readonly targets: readonly string[];
  readonly milliseconds: number;
  readonly seed: number;
  readonly jobs: number;
}

const NAMES = TARGETS.map(({ name }) => name);

/** The command line. */
export const FUZZ = command({
  start: "deno task fuzz",
  operands: { shown: "[TARGET …]", are: "targets", least: 0, most: Infinity },
  about:
    `Fuzzes with random cases until the time is over or one fails. Prints the failing case, made
smaller, and writes it to tests/fuzz/corpus/, which the tests replay. Targets (default: all):

${TARGETS.map(({ name, about }) => `  ${name.padEnd(20)}${about}`).join("\n")}`,
  options: {
    seconds: decimal("time for each target in seconds", { least: 0.1, most: 1e6, default: 60 }),
    seed: whole("seed: the same seed gives the same cases", {
      ...{ least: 0, most: MAX_SEED, values: "(default: a random one)", default: undefined },
    }),
    jobs: whole("targets that run at the same time", { least: 1, most: 64, default: 2 }),
  },
  notes:
    `Exit code: 0; 1 if a case fails; 2 for a wrong command line. At a signal that would end it,
targets end and results are printed.`,
  plan({ values: { seconds, seed, jobs }, operands }): Plan {
    const unknown = operands.find((name) => !NAMES.includes(name));
    if (unknown !== undefined) {
      throw new UsageError(
        `there is no target ${JSON.stringify(unknown)}: the targets are ${NAMES.join(", ")}`,
      );
    }
    return {
      targets: NAMES.filter((name) => operands.length === 0 || operands.includes(name)),
      milliseconds: seconds * 1000,
      seed: seed ?? crypto.getRandomValues(new Uint32Array(1))[0],
      jobs,
    };
  },
});

/** Starts a process of a target, which the signal ends at once. */
function start(args: readonly (string | number)[], signal?: AbortSignal): Deno.ChildProcess {
  const file = new URL("./process.ts", import.meta.url).pathname;
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-all", file, ...args.map(String)],
    stdout: "piped",
    stderr: "piped",
    ...(signal && { signal }),
  }).spawn();
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** Runs a target in a process; returns what it found, or how the process failed. */
async function fuzz(name: string, plan: Plan, stop: AbortSignal): Promise<Outcome> {
  using progress = new Progress();
  const begun = performance.now();
  const child = start([name, "search", plan.seed, plan.milliseconds, progress.path]);
  const end = () => {
    try {
      child.kill("SIGINT");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // a signal to the process group has ended it
    }
  };
  stop.addEventListener("abort", end);
  let stalled = false, last = -1, since = performance.now();
  const watch = setInterval(() => {
    const now = performance.now();
    if (progress.attempt !== last) [last, since] = [progress.attempt, now];
    else if (now - since > STALL_MS && !stalled) {
      stalled = true;
      child.kill("SIGKILL");
    }
  }, LOOK_MS);
  const { code, stdout, stderr } = await child.output();
  clearInterval(watch);
  stop.removeEventListener("abort", end);
  if (code === 0) return JSON.parse(text(stdout));
  const { attempt } = progress, milliseconds = performance.now() - begun;
  // Ended by SIGINT before it listened, or by another signal to the process group.
  if (stop.aborted && ENDED.includes(code - SIGNAL_BASE)) {
    return { cases: 0, iterations: 0, milliseconds };
  }
  const how = stalled
    ? `an attempt has not ended for ${STALL_MS / 1000} s`
    : code > SIGNAL_BASE
    ? `the process was ended by signal ${code - SIGNAL_BASE}`
    : `the process ended with exit code ${code}`;
  const error = `${how}, in attempt ${attempt} of seed ${plan.seed}\n${text(stderr)}`;
  const finding = { case: await crashing(name, seedOf(plan.seed, attempt), code, stop), error };
  return { cases: attempt, iterations: 0, milliseconds, finding };
}

/**
 * Returns the case of a seed that ends its process, made smaller; null if the seed has many cases.
 *
 * @param code The exit code of the process, which smaller cases must have too.
 */
async function crashing(
  name: string,
  seed: number,
  code: number,
  stop: AbortSignal,
): Promise<Json> {
  const { stdout, success } = await start([name, "generate", seed], stop).output();
  const one: Sequence<Json> | null = success ? JSON.parse(text(stdout)) : null;
  if (one === null) return null;
  const file = Deno.makeTempFileSync({ prefix: "ixy-fuzz-" });
  try {
    const small = await smaller(one, async (part) => {
      Deno.writeTextFileSync(file, JSON.stringify(part));
      if (stop.aborted) return false;
      const child = start([name, "replay", file], stop);
      const late = setTimeout(() => child.kill("SIGKILL"), REPLAY_MS);
      const result = await child.output();
      clearTimeout(late);
      return result.code === code;
    }, SHRINK_MS);
    return small as unknown as Json;
  } finally {
    Deno.removeSync(file);
  }
}

const COLUMNS = [20, 10, 14, 12, 12];

function line(...cells: readonly (string | number)[]): string {
  return cells.map((cell, i) => {
    const text = typeof cell === "number" ? cell.toLocaleString("en") : cell;
    if (i === 0) return text.padEnd(COLUMNS[i]);
    return i < COLUMNS.length ? text.padStart(COLUMNS[i]) : `  ${text}`;
  }).join("");
}

function print(name: string, seed: number, outcome: Outcome): void {
  const { cases, iterations, milliseconds, finding } = outcome;
  const rate = Math.round(iterations / Math.max(milliseconds, 1) * 1000);
  const result = finding === undefined ? "nothing found" : "FOUND";
  out.print(line(name, cases, iterations, rate, String(seed), result));
  if (finding === undefined) return;
  const lines = finding.error.trimEnd().split("\n").map((text) => `    ${text}`);
  for (const text of lines) out.print(text);
  out.print(`    again: deno task fuzz --seed ${seed} ${name}`);
  if (finding.case === null) return;
  out.print(`    case: ${JSON.stringify(finding.case)}`);
  out.print(`    stored as ${store(name, finding)}`);
}

async function main(plan: Plan, { signal }: Interruption): Promise<number> {
  out.print(line("target", "cases", "iterations", "a second", "seed", "result"));
  const waiting = [...plan.targets];
  let passed = 0, failed = 0;
  const work = async () => {
    for (let name; !signal.aborted && (name = waiting.shift()) !== undefined;) {
      const outcome = await fuzz(name, plan, signal);
      print(name, plan.seed, outcome);
      if (outcome.finding === undefined) passed++;
      else failed++;
    }
  };
  await Promise.all(Array.from({ length: plan.jobs }, work));
  out.print(`${passed} passed, ${failed} failed`);
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) await run(FUZZ, interruptible(main));
