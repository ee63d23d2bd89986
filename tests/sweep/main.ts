/**
 * Sends signals to programs at random moments, from the start of each to after its end, and prints a table:
 * `deno task sweep`. Needs root.
 *
 * @module
 */

import { StopFlag, UsageError } from "../../mod.ts";
import { command } from "../../programs/command_line.ts";
import { text, whole } from "../../programs/options.ts";
import { out } from "../../programs/output.ts";
import { run } from "../../programs/run.ts";
import { Hugepages } from "../support/hugepages.ts";
import { Plain } from "../support/plain_ports.ts";
import { isRoot, TemporaryDirectory } from "../support/processes.ts";
import { Random } from "../support/random.ts";
import { draw, SIGNALS, Sweep } from "./sweep.ts";
import { TARGETS } from "./targets.ts";

/** Hugepages for a program and the software NIC. */
const PAGES = 32;

interface Plan {
  readonly moments: number;
  readonly seed: number;
  readonly programs: readonly string[];
  readonly signals: readonly string[];
}

/** The names of all signals, in two lines. */
const SIGNAL_LINES = Object.keys(SIGNALS).join(", ").replace(/^(.{60,80},) /, "$1\n");

const COMMAND = command({
  start: "deno task sweep",
  about: "Sends signals to programs at random moments, and checks how they end. Needs root.",
  options: {
    moments: whole("runs of each program with each signal", { least: 1, most: 1e6, default: 50 }),
    seed: whole("seed of the random moments", { least: 0, most: 2 ** 31, default: 1 }),
    programs: text("programs, separated by commas (default: all)", "NAMES", "names"),
    signals: text("signals without SIG, separated by commas (default: all)", "NAMES", "names"),
  },
  notes: `Programs: ${TARGETS.map(({ name }) => name).join(", ")}.
Signals: ${SIGNAL_LINES}.
The table shows failures / runs. A signal ends the sweep after the current run. Exit code: 0, or 1
if there are failures.`,
  plan({ values: { moments, seed, programs, signals } }): Plan {
    const names = TARGETS.map(({ name }) => name);
    return {
      moments,
      seed,
      programs: chosen("programs", programs, names),
      signals: chosen("signals", signals, Object.keys(SIGNALS)),
    };
  },
});

function chosen(option: string, value: string | undefined, all: readonly string[]) {
  const names = value?.split(",") ?? all;
  const wrong = names.find((name) => !all.includes(name));
  if (wrong === undefined) return names;
  throw new UsageError(`--${option} takes names of ${all.join(", ")}, not "${wrong}"`);
}

async function main({ moments, seed, programs, signals }: Plan): Promise<number> {
  if (!isRoot) throw new UsageError("the sweep drives PCI devices: run it as root");
  using _pages = new Hugepages(PAGES);
  await using directory = await TemporaryDirectory.make();
  await using plain = await Plain.start(directory, "generator:rate=5000");
  await plain.sim.command("start");
  const sweep = new Sweep(plain, directory), random = new Random(seed);
  const runs = new Map<string, { runs: number; failures: number }>();
  const pairs = TARGETS.filter(({ name }) => programs.includes(name))
    .flatMap((target) => signals.map((signal) => ({ target, signal })));
  let failed = 0;
  using stop = new StopFlag();
  for (let moment = 0; moment < moments; moment++) {
    for (const { target, signal } of random.shuffled(pairs)) {
      const drawn = draw(target, signal, random), key = `${signal} ${target.name}`;
      if (stop.signal !== 0) break;
      const failures = await sweep.run(drawn);
      if (stop.signal !== 0) break; // the signal may have reached the program, too
      const cell = runs.get(key) ?? { runs: 0, failures: 0 };
      cell.runs++;
      runs.set(key, cell);
      if (failures.length === 0) continue;
      cell.failures++;
      failed++;
      const { way, moment: when, short } = drawn;
      const how = `${way} at ${when.toFixed(3)}${short ? " short" : ""}`;
      out.print(`${target.name} ${signal} ${how}: ${failures.join("; ")}`);
    }
  }
  const row = (cells: readonly string[]) => cells.map((cell) => cell.padStart(9)).join("");
  out.print(row(["", ...programs]));
  for (const signal of signals) {
    out.print(row([
      signal,
      ...programs.map((name) => {
        const { runs: n, failures } = runs.get(`${signal} ${name}`) ?? { runs: 0, failures: 0 };
        return `${failures}/${n}`;
      }),
    ]));
  }
  return failed > 0 ? 1 : 0;
}

if (import.meta.main) await run(COMMAND, main);
