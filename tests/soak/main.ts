/**
 * Forwards packets for a long time, with faults, and accounts for each packet: `deno task soak`.
 *
 * Exit codes: 0; 1 if a packet was lost, reordered or corrupt, a rule of the datasheet was broken,
 * or something was left behind; 2 if an option is wrong.
 *
 * @module
 */

import { StopFlag } from "../../native/stop.ts";
import { packetRate } from "../../packets/units.ts";
import { command } from "../../programs/command_line.ts";
import { decimal, text, whole, words } from "../../programs/options.ts";
import { out } from "../../programs/output.ts";
import { run } from "../../programs/run.ts";
import { TemporaryDirectory } from "../../programs/temporary_directory.ts";
import { Hugepages } from "../support/hugepages.ts";
import { isRoot } from "../support/processes.ts";
import { Random } from "../support/random.ts";
import { UsageError } from "../../src/errors.ts";
import { add, COUNTS, defects, type Totals, zero } from "./ledger.ts";
import { Phase, type PhasePlan, type PhaseResult } from "./phase.ts";
import type { Setup } from "./rig.ts";
import { freeHugepages } from "./watch.ts";

/** What to do. */
interface Plan {
  readonly minutes: number;
  readonly seed: number;
  /** Packets a second in each direction, in phases that are not at line rate. */
  readonly rate: number;
  /** Phases to run at most. */
  readonly count: number;
  /** Seconds of a phase. */
  readonly phase: number;
  readonly kinds: readonly Kind[];
  readonly state: string | undefined;
}

/** Kinds of phases: at a low rate, at line rate, and with faults at either. */
const KINDS = ["steady", "line-rate", "faults"] as const;
type Kind = typeof KINDS[number];

/** The command line. */
export const SOAK = command({
  start: "deno task soak",
  about:
    `Forwards packets between two ports of the software NIC, and accounts for every packet. Phases take
turns: with one or several queues, workers, interrupts, reconnection, vhost-user, and, as root,
physical addresses. In a "steady" phase, at a low rate, every packet has to come back. A "line-rate"
phase has full load. In a "faults" phase, at either rate, links go down, and processes are stopped,
ended, killed and started again.`,
  options: {
    minutes: decimal("minutes to run", { least: 0.01, most: 1e6, default: 10 }),
    count: whole("end after N phases", { least: 1, values: "", default: Infinity }),
    phase: decimal("seconds of a phase", { least: 0.5, most: 86400, default: 10 }),
    seed: whole("chooses phases, faults and times", { least: 0, most: 2 ** 32 - 1, default: 1 }),
    rate: whole("packets a second in each direction, except at line rate", {
      ...{ value: "PPS", least: 1, most: 14_880_953, default: 100_000 },
    }),
    kinds: words("kinds of phases", KINDS, { value: "KIND,…" }),
    state: text(
      "add the totals to FILE, which can have those of earlier runs",
      "FILE",
      "the name of a file",
    ),
  },
  notes:
    `missed: the NIC had no free descriptor; dropped: a transmit ring was full; in flight: in rings
and buffers when a fault ended a process; lost: none of these, a defect. Exits with 1 if a
packet was lost, reordered or corrupt, the forwarder broke a rule of the datasheet, grew, or
left something behind. SIGINT ends the phase, and prints the totals.`,
  plan: ({ values }): Plan => values,
});

const SMALL = {
  queues: 1,
  workers: 0,
  interrupts: false,
  reconnect: false,
  plain: false,
  vhost: false,
  entries: 512,
};
/** Rings that hold what arrives while the machine does something else, at a low rate. */
const LARGE = { ...SMALL, entries: 4096 };

/** The forwarders, in turn. */
const SETUPS: readonly Setup[] = [
  { ...LARGE, name: "1 queue" },
  { ...LARGE, name: "4 queues", queues: 4, entries: 2048 },
  { ...LARGE, name: "2 queues, 2 workers", queues: 2, workers: 2 },
  { ...LARGE, name: "interrupts", interrupts: true },
  { ...LARGE, name: "2 queues, interrupts", queues: 2, interrupts: true },
  { ...LARGE, name: "1 queue, reconnect", reconnect: true },
  { ...LARGE, name: "interrupts, reconnect", interrupts: true, reconnect: true },
  { ...LARGE, name: "physical addresses", plain: true },
  { ...SMALL, name: "vhost-user", vhost: true },
];
/** The smallest rings, at line rate. */
const FAST: readonly Setup[] = SETUPS.map((setup) => ({ ...setup, entries: 512 }));
/** Packets a second that the vhost-user back-end, which is a test's, can take on a busy machine. */
const MAX_VHOST_RATE = 1000;
/** Hugepages that two pools for full rings of 4096 need. */
const PAGES = 64;

/** Returns the phases, without end: all kinds for each setup, with the setups in random order. */
function* phases({ rate, phase: seconds, kinds }: Plan, random: Random): Generator<PhasePlan> {
  for (;;) {
    for (const i of random.shuffled(SETUPS.keys().toArray())) {
      if (SETUPS[i].plain && !isRoot) continue;
      for (const kind of kinds) {
        const faults = kind === "faults";
        const fast = kind === "line-rate" || faults && random.whole(0, 1) === 1;
        const slow = SETUPS[i].vhost ? Math.min(rate, MAX_VHOST_RATE) : rate;
        yield { setup: (fast ? FAST : SETUPS)[i], rate: fast ? undefined : slow, faults, seconds };
      }
    }
  }
}

/** Returns counts as text. */
function list(totals: Totals): string {
  const shown = (name: string) => name === "inFlight" ? "in flight" : name;
  return COUNTS.map((name) => `${shown(name)} ${totals[name]}`).join(", ");
}

/** Prints the lines of a phase. */
function show(number: number, { setup, rate, faults }: PhasePlan, result: PhaseResult): void {
  const { totals, seconds, growth } = result;
  const load = rate === undefined ? "line rate" : `2 x ${packetRate(rate).trim()}`;
  out.print(
    `${number}. ${setup.name}, ${load}${faults ? ", faults" : ""}: ${seconds.toFixed(1)} s, ` +
      `${packetRate(totals.received / seconds).trim()}: ${list(totals)}`,
  );
  const happened = Object.entries(result.faults).map(([name, n]) => `${name} ${n}`);
  const processes = growth.map(({ name, first, last }) =>
    `${name} ${first.rss} to ${last.rss} MiB, ${first.descriptors} to ${last.descriptors} descriptors`
  );
  out.print(`   ${[...happened, ...processes].join("; ")}`);
  for (const complaint of result.complaints) out.print(`   DEFECT: ${complaint}`);
}

/** The totals of all runs that wrote a state file. */
interface Sum extends Totals {
  /** Phases and their seconds. */
  phases: number;
  seconds: number;
  /** Faults that happened. */
  faults: number;
  /** Other defects. */
  complaints: number;
}

/** Returns totals of 0. */
function none(): Sum {
  return { ...zero(), phases: 0, seconds: 0, faults: 0, complaints: 0 };
}

/**
 * Returns the totals in a state file; 0 if it does not exist. Writes the file, so that a wrong name ends
 * the run at its start.
 *
 * @throws {UsageError} if the file cannot be read or written, or has other content.
 */
function load(file: string | undefined): Sum {
  if (file === undefined) return none();
  const sum = { ...none(), ...readState(file) };
  try {
    save(file, sum);
  } catch (error) {
    throw new UsageError(`--state ${file}: ${(error as Error).message}`, { cause: error });
  }
  return sum;
}

function readState(file: string): Partial<Sum> {
  try {
    return JSON.parse(Deno.readTextFileSync(file));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw new UsageError(`--state ${file}: ${(error as Error).message}`, { cause: error });
  }
}

function save(file: string, sum: Sum): void {
  Deno.writeTextFileSync(file, JSON.stringify(sum));
}

function addResult(sum: Sum, { totals, seconds, faults, complaints }: PhaseResult): void {
  add(sum, totals);
  sum.phases++;
  sum.seconds += seconds;
  sum.faults += Object.values(faults).reduce((total, n) => total + n, 0);
  sum.complaints += complaints.length;
}

function showSum(title: string, sum: Sum): void {
  out.print(
    `${title}: ${sum.phases} phases, ${Math.round(sum.seconds)} s, ${sum.faults} faults: ${
      list(sum)
    }, ` +
      `other defects ${sum.complaints}`,
  );
}

async function main(plan: Plan): Promise<number> {
  using stop = new StopFlag();
  using _pages = isRoot ? new Hugepages(PAGES) : undefined;
  const now = none(), all = load(plan.state), random = new Random(plan.seed);
  const end = performance.now() + plan.minutes * 60_000, before = freeHugepages();
  for (const each of phases(plan, random)) {
    const seconds = Math.min(each.seconds, (end - performance.now()) / 1000);
    if (seconds <= 0 || now.phases >= plan.count || stop.signal !== 0) break;
    await using directory = await TemporaryDirectory.make();
    // Each phase has a seed of its own: how many numbers a phase takes depends on its time.
    const faults = new Random(random.whole(0, 2 ** 32 - 1));
    const result = await new Phase({ ...each, seconds }, faults, stop, directory).run();
    for (const sum of [now, all]) addResult(sum, result);
    show(now.phases, each, result);
    if (plan.state !== undefined) save(plan.state, all);
  }
  // Other programs count too, so a difference alone is not a defect.
  out.print(`free hugepages: ${before} first, ${freeHugepages()} last`);
  showSum(`totals, seed ${plan.seed}`, now);
  if (plan.state !== undefined) showSum(`totals of all runs in ${plan.state}`, all);
  return defects(now) + now.complaints > 0 ? 1 : 0;
}

if (import.meta.main) await run(SOAK, main);
