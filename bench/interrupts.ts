/**
 * What interrupts save and cost, on the software NIC: `deno task bench:interrupts`.
 *
 * Measures the processor time of an idle forwarder, the latency of a single packet after a silence,
 * and the rate at full load, each also with pure polling. Exits with 1 if one exceeds its limit.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { DeviceError, UsageError } from "../src/errors.ts";
import { packetRate, packetRates } from "../packets/units.ts";
import { command } from "../programs/command_line.ts";
import { decimal, flag, type Values, whole } from "../programs/options.ts";
import type { Program } from "../programs/process.ts";
import { Progress } from "../programs/progress.ts";
import { interruptible } from "../programs/interruption.ts";
import { run } from "../programs/run.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { INLINE_MORE } from "../sim/v8_flags.ts";
import { usableCores } from "./machine.ts";
import { startOn } from "./pinned.ts";
import { median, quantile } from "./statistics.ts";

/** Limits: % of a core when idle, µs of a packet after a silence, share of the polling rate. */
const MAX_IDLE = 2, MAX_PACKET = 1000, MIN_RATIO = 0.95;
/** One packet of so many may take longer, because another program can delay it. */
const SLOW_ONE_OF = 10;

const OPTIONS = {
  seconds: decimal("seconds of each window, idle and at full load", {
    ...{ least: 1, most: 60, default: 2 },
  }),
  packets: whole("single packets, in addition to the first", { least: 2, most: 1000, default: 20 }),
  silence: whole("milliseconds of silence before each packet", {
    ...{ value: "MS", least: 1, most: 10000, default: 1000 },
  }),
  rounds: whole("runs at full load, with and without interrupts in turns", {
    least: 1,
    most: 100,
    default: 5,
  }),
  json: flag("print one JSON object as the last line"),
};

/** The command line. */
export const INTERRUPTS = command({
  start: "deno task bench:interrupts",
  about: `Compares the forwarder with and without --interrupts on two ports of the software NIC.
Exits with 1 if, with interrupts, it takes ${MAX_IDLE} % of a core when idle, takes ${MAX_PACKET} µs for more than
one packet of ${SLOW_ONE_OF} after a silence, or reaches less than ${MIN_RATIO} of the polling rate.`,
  options: OPTIONS,
  plan: ({ values }) => values,
});

/** Deadline for a packet after its silence, in milliseconds. */
const DEADLINE_MS = 20000;
/** Time for the compilers, with and without traffic. */
const WARM_UP_MS = 1500;

/** The two ways to run the forwarder. */
const WAYS = ["--interrupts", undefined] as const;
type Way = (typeof WAYS)[number];

/** A line of counts of the software NIC, or of `pulse.ts`. */
interface Counts {
  readonly seconds: number;
  readonly ports?: readonly { readonly wireStatistics: { readonly received: number } }[];
  readonly microseconds?: number;
}

/** Two cores, and a directory for sockets. */
class Bench {
  readonly #directory: TemporaryDirectory;
  readonly #cores = usableCores();
  #sockets = 0;

  constructor(directory: TemporaryDirectory) {
    this.#directory = directory;
  }

  /** Starts a program that serves two ports; returns it and the paths of the sockets. */
  async nic(command: (sockets: string[]) => string[]): Promise<[Program, string[]]> {
    const sockets = [0, 1].map(() => this.#directory.file(`${this.#sockets++}.sock`));
    const arguments_ = ["run", "--quiet", "--allow-ffi", INLINE_MORE, ...command(sockets)];
    const program = [Deno.execPath(), ...arguments_];
    const nic = startOn("the software NIC", this.#cores.slice(1, 2), program);
    return [await nic.ready(), sockets];
  }

  /** Starts a forwarder. */
  async forwarder(way: Way, sockets: readonly string[]): Promise<Program> {
    const options = ["--json", "--quiet", ...(way === undefined ? [] : [way])];
    const addresses = sockets.map((socket) => `vfio-user:${socket}`);
    const command = ["run", "--quiet", "--allow-ffi", "fwd.ts", ...options, ...addresses];
    return await startOn("fwd.ts", this.#cores.slice(0, 1), [Deno.execPath(), ...command]).ready();
  }
}

/** Returns the command of the software NIC with two ports and this wire. */
function simulator(wire: string): (sockets: string[]) => string[] {
  return (sockets) => [
    ...["sim/main.ts", "--json", "--quiet", "--control"],
    ...sockets.flatMap((socket) => ["--socket", socket, "--wire", wire]),
  ];
}

/** Returns the milliseconds that all threads of a process have run. */
async function processorTime(pid: number): Promise<number> {
  let nanoseconds = 0;
  for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
    const file = `/proc/${pid}/task/${name}/schedstat`;
    nanoseconds += Number((await Deno.readTextFile(file)).split(" ")[0]);
  }
  return nanoseconds / 1e6;
}

/** Called with the number of completed measurements. */
type Done = (done: number) => void;

/** Returns the share of a core that a forwarder takes while nothing arrives. */
async function idle(bench: Bench, way: Way, seconds: number): Promise<number> {
  const [nic, sockets] = await bench.nic(simulator("none"));
  await using _nic = nic;
  await using forwarder = await bench.forwarder(way, sockets);
  await delay(WARM_UP_MS);
  const start = performance.now(), before = await processorTime(forwarder.pid);
  await delay(seconds * 1000);
  const used = await processorTime(forwarder.pid) - before;
  return used / (performance.now() - start);
}

/**
 * Returns the microseconds that each packet takes after a silence, in order. During the first one,
 * the forwarder and the measuring program still compile much of their code.
 */
async function single(
  bench: Bench,
  way: Way,
  packets: number,
  silence: number,
  progress: Done,
): Promise<number[]> {
  const [nic, sockets] = await bench.nic((sockets) => ["bench/pulse.ts", ...sockets, `${silence}`]);
  await using _nic = nic;
  await using _forwarder = await bench.forwarder(way, sockets);
  const times: number[] = [];
  for (let i = 0; i < packets; i++) {
    progress(i);
    const arrived = ({ microseconds }: Counts) => microseconds !== undefined;
    times.push((await nic.json(arrived, DEADLINE_MS + silence)).microseconds!);
  }
  return times;
}

/** Returns the millions of packets a second that both ports together get back. */
async function rate(
  bench: Bench,
  way: Way,
  nic: Program,
  sockets: readonly string[],
  seconds: number,
): Promise<number> {
  await using forwarder = await bench.forwarder(way, sockets);
  const received = async () => {
    const { seconds, ports } = await nic.ask("stats", ({ ports }: Counts) => ports !== undefined);
    return { seconds, packets: ports!.reduce((sum, p) => sum + p.wireStatistics.received, 0) };
  };
  await nic.write("start");
  await delay(WARM_UP_MS);
  const first = await received();
  await delay(seconds * 1000);
  const last = await received();
  await nic.write("stop");
  forwarder.kill("SIGINT");
  await forwarder.succeed();
  const packets = last.packets - first.packets;
  if (packets === 0) throw new DeviceError("fwd.ts", `${way ?? "polling"} forwarded nothing`);
  return packets / (last.seconds - first.seconds) / 1e6;
}

/** Returns rates with and without interrupts, measured in turns because shared machines drift. */
async function load(
  bench: Bench,
  rounds: number,
  seconds: number,
  progress: Done,
): Promise<[number, number][]> {
  const [nic, sockets] = await bench.nic(simulator("generator"));
  await using _nic = nic;
  const rates: [number, number][] = [];
  for (let round = 0; round < rounds; round++) {
    progress(round);
    const [first, second] = round % 2 === 0 ? WAYS : WAYS.toReversed();
    const pair = [
      await rate(bench, first, nic, sockets, seconds),
      await rate(bench, second, nic, sockets, seconds),
    ];
    const [hybrid, polling] = round % 2 === 0 ? pair : pair.toReversed();
    rates.push([hybrid, polling]);
  }
  return rates;
}

/** The figures of the forwarder with interrupts that have limits. */
export interface Figures {
  /** The share of a core that it takes while nothing arrives. */
  readonly idle: number;
  /** Latencies of single packets after a silence, in microseconds. */
  readonly microseconds: readonly number[];
  /** Its rate at full load, as a share of the polling rate. */
  readonly ratio: number;
}

/** Returns a sentence for each limit that is exceeded. */
export function beyond({ idle, microseconds, ratio }: Figures): string[] {
  const slow = microseconds.filter((time) => !(time < MAX_PACKET)).length;
  const found: string[] = [];
  if (!(100 * idle < MAX_IDLE)) {
    found.push(
      `idle, it takes ${(100 * idle).toFixed(2)} % of a core, not below ${MAX_IDLE} %`,
    );
  }
  if (slow * SLOW_ONE_OF > microseconds.length) {
    const packets = `${slow} packets of ${microseconds.length}`;
    found.push(`after a silence, ${packets} take ${MAX_PACKET} µs, more than 1 of ${SLOW_ONE_OF}`);
  }
  if (!(ratio >= MIN_RATIO)) {
    found.push(`at full load, it has ${ratio.toFixed(3)} of the polling rate, not ${MIN_RATIO}`);
  }
  return found;
}

function name(way: Way): string {
  return (way === undefined ? "polling" : "interrupts").padEnd(10);
}

/** How long and how often to measure; see the usage text. */
interface Plan {
  readonly seconds: number;
  readonly packets: number;
  readonly silence: number;
  readonly rounds: number;
}

/** Measures both ways, and prints shares of a core, latencies, and rates. */
async function measure(bench: Bench, { seconds, packets, silence, rounds }: Plan) {
  using progress = new Progress("bench");
  const say = (line: string) => progress.print(() => console.log(line));
  say("idle: share of a core that the forwarder takes");
  const parts: number[] = [];
  for (const way of WAYS) {
    progress.show("idle", { done: parts.length, total: WAYS.length, unit: "forwarders" });
    parts.push(await idle(bench, way, seconds));
    say(`  ${name(way)} ${(100 * parts.at(-1)!).toFixed(2).padStart(8)} %`);
  }
  say(`single packets, each after ${silence} ms of silence: µs from wire to wire`);
  const times: number[][] = [];
  for (const [i, way] of WAYS.entries()) {
    const total = WAYS.length * (packets + 1), before = i * (packets + 1);
    const [first, ...others] = await single(bench, way, packets + 1, silence, (done) => {
      progress.show("single packets", { done: before + done, total, unit: "packets" });
    });
    times.push(others);
    const sorted = others.toSorted((a, b) => a - b);
    const [half, most] = [0.5, 1].map((share) => quantile(sorted, share).toFixed(0).padStart(8));
    say(
      `  ${name(way)} median ${half}, maximum ${most}; ` +
        `first packet of the program ${first.toFixed(0)}`,
    );
  }
  say(`full load, ${rounds} runs of each in turns: both directions together`);
  const rates = await load(bench, rounds, seconds, (done) => {
    progress.show("full load", { done, total: rounds, unit: "rounds" });
  });
  for (const [i, way] of WAYS.entries()) {
    const all = rates.map((pair) => pair[i] * 1e6);
    const range = packetRates(Math.min(...all), Math.max(...all));
    say(`  ${name(way)} median ${packetRate(median(all))}, ${range}`);
  }
  return { parts, times, rates };
}

async function main(values: Values<typeof OPTIONS>): Promise<number> {
  const { seconds, packets, silence, rounds, json } = values;
  if (usableCores().length < 2) {
    throw new UsageError(
      "the bench needs two cores, one each for forwarder and software NIC: let it use a second core",
    );
  }
  await using directory = await TemporaryDirectory.make();
  const bench = new Bench(directory);

  const { parts, times, rates } = await measure(bench, { seconds, packets, silence, rounds });
  const ratio = median(rates.map(([hybrid, polling]) => hybrid / polling));
  console.log(`  with interrupts, ${ratio.toFixed(3)} of the polling rate`);
  const found = beyond({ idle: parts[0], microseconds: times[0], ratio });
  for (const sentence of found) console.error(`over the limit: ${sentence}`);
  if (json) {
    const [interrupts, polling] = WAYS.map((_, i) => ({
      idle: parts[i],
      microseconds: times[i],
      mpps: rates.map((pair) => pair[i]),
    }));
    console.log(JSON.stringify({ silence, ratio, interrupts, polling, beyond: found }));
  }
  return found.length > 0 ? 1 : 0;
}

if (import.meta.main) await run(INTERRUPTS, interruptible(main));
