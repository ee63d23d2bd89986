/**
 * Forwards packets for a long time, with faults, and accounts for each packet: `deno task soak`.
 *
 * Exit codes: 0; 1 if a packet was lost, reordered or corrupt, a rule of the datasheet was broken,
 * or something was left behind; 2 if an option is wrong.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
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
    `Forwards packets between two ports of the software NIC, phase after phase: with one or several
queues, workers, interrupts, physical addresses (root only), and vhost-user; at a low rate without faults, where
every packet has to come back, at line rate, and with faults: links that go down, processes that are
stopped, ended, killed and started again. Accounts for every packet.`,
  options: {
    minutes: decimal("minutes to run", { least: 0.01, most: 1e6, default: 10 }),
    phase: decimal("seconds of a phase", { least: 0.5, most: 86400, default: 10 }),
    seed: whole("chooses phases, faults and times", { least: 0, most: 2 ** 32 - 1, default: 1 }),
    rate: whole("packets a second in each direction, where not line rate", {
      ...{ value: "PPS", least: 1, most: 14_880_953, default: 100_000 },
    }),
    kinds: words("kinds of phases", KINDS, { value: "KIND,…" }),
    state: text(
      "add the totals to those in FILE, which other runs wrote",
      "FILE",
      "the name of a file",
    ),
  },
  notes:
    `missed: the NIC had no free descriptor; dropped: a transmit ring was full; in flight: in rings
and buffers when a fault ended a process; lost: none of these, a defect. Exits with 1 if a
packet was lost, reordered or corrupt, the forwarder broke a rule of the datasheet, grew, or
left something behind. SIGINT ends the phase, with totals.`,
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
  { ...LARGE, name: "physical addresses", plain: true },
  { ...SMALL, name: "vhost-user", vhost: true },
];
/** The smallest rings, at line rate. */
const FAST: readonly Setup[] = SETUPS.map((setup) => ({ ...setup, entries: 512 }));
/** Packets a second that the vhost-user back-end, which is a test's, can take on a busy machine. */
const MAX_VHOST_RATE = 1000;
/** Hugepages that two pools for full rings of 4096 need. */
const PAGES = 64;
/** How long to wait for hugepages at the end, in milliseconds: other programs may hold some for a time. */
const WAIT_MS = 5000;
/** Milliseconds between two looks. */
const LOOK_MS = 100;

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
  /** Defects that are no counts. */
  complaints: number;
}

/** Returns the totals in a state file; 0 if it does not exist. */
function load(file: string | undefined): Sum {
  const none: Sum = { ...zero(), phases: 0, seconds: 0, faults: 0, complaints: 0 };
  if (file === undefined) return none;
  try {
    return { ...none, ...JSON.parse(Deno.readTextFileSync(file)) };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return none;
    throw error;
  }
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

/** Waits until as many hugepages are free as before; returns how many are at last. */
async function hugepagesBack(before: number): Promise<number> {
  const deadline = performance.now() + WAIT_MS;
  for (;;) {
    const free = freeHugepages();
    if (free >= before || performance.now() > deadline) return free;
    await delay(LOOK_MS);
  }
}

async function main(plan: Plan): Promise<number> {
  using stop = new StopFlag();
  using _pages = isRoot ? new Hugepages(PAGES) : undefined;
  const now = load(undefined), before = freeHugepages(), random = new Random(plan.seed);
  const end = performance.now() + plan.minutes * 60_000;
  for (const each of phases(plan, random)) {
    const seconds = Math.min(each.seconds, (end - performance.now()) / 1000);
    if (seconds <= 0 || stop.signal !== 0) break;
    await using directory = await TemporaryDirectory.make();
    const phase = new Phase({ ...each, seconds }, random, stop, directory);
    const result = await phase.run();
    addResult(now, result);
    show(now.phases, each, result);
  }
  const after = await hugepagesBack(before);
  if (after < before) now.complaints++;
  out.print(`free hugepages: ${before} first, ${after} last${after < before ? ": DEFECT" : ""}`);
  showSum(`totals, seed ${plan.seed}`, now);
  if (plan.state !== undefined) {
    const all = load(plan.state);
    for (const key of Object.keys(now) as (keyof Sum)[]) all[key] += now[key];
    Deno.writeTextFileSync(plan.state, JSON.stringify(all));
    showSum(`totals of all runs in ${plan.state}`, all);
  }
  return defects(now) + now.complaints > 0 ? 1 : 0;
}

if (import.meta.main) await run(SOAK, main);
