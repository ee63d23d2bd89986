/**
 * Compares the VirtIO driver with DPDK's, both as front-ends of DPDK's vhost-user back-end on the
 * other core: `deno task bench:vhost-user`.
 *
 * Each round starts all front-ends anew, each with a back-end of its own, and measures them in turns:
 * one runs while the others are stopped. The back-end counts the packets. Before and after each
 * window, the distance between the cores is probed; windows in which it changed do not count, and
 * windows at different distances are not compared. With `--other`, the driver of another checkout is
 * a front-end too: what a change is worth shows in one run.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { UsageError } from "../mod.ts";
import { PACKET_RATE_WIDTH, packetRate } from "../packets/units.ts";
import { command } from "../programs/command_line.ts";
import { decimal, flag, text, type Values, whole, words } from "../programs/options.ts";
import { Progress } from "../programs/progress.ts";
import { interruptible } from "../programs/interruption.ts";
import { run } from "../programs/run.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { type Column, columnOf, COLUMNS, DistanceProbe, sameDistance } from "./distance.ts";
import { startOn } from "./pinned.ts";
import { summarize, type Summary } from "./statistics.ts";
import { Testpmd } from "./testpmd.ts";

const MODES = ["receive", "transmit", "loop"] as const;
type Mode = typeof MODES[number];

const OPTIONS = {
  modes: words("modes to measure", MODES, { value: "M,…" }),
  rounds: whole("rounds of each", { least: 1, most: 100, default: 12 }),
  seconds: decimal("seconds of each window", { least: 0.1, most: 3600, default: 0.5 }),
  other: text("also measure the driver of another checkout of this project", "DIR", "a directory"),
  json: flag("print one JSON object as the last line"),
};

/** The command line. */
export const VHOST_USER = command({
  start: "deno task bench:vhost-user",
  about:
    `Receives, transmits and loops 64-byte packets in batches of 32 over vhost-user, in turns with this
project's driver and with DPDK's (split ring, not vectorised). Prints medians, separately for each
distance between the cores (of a cache line, there and back: same below 80 ns, near below 250 ns,
far). Needs DPDK's testpmd, in Debian's packages dpdk, dpdk-dev, librte-net-vhost23,
librte-net-virtio23, librte-mempool-ring23.`,
  options: OPTIONS,
  plan: ({ values }) => values,
});

/** The mode of the back-end in each mode of the front-end. */
const OPPOSITE = { receive: "txonly", transmit: "rxonly", loop: "io" } as const;
/** DPDK's name for each mode. */
const DPDK = { receive: "rxonly", transmit: "txonly", loop: "io" } as const;

/** A driver to measure. */
interface FrontEnd {
  readonly name: string;
  /** Its checkout; undefined for DPDK's driver. */
  readonly checkout: string | undefined;
}

const PROJECT = decodeURIComponent(new URL("..", import.meta.url).pathname);

/**
 * Returns the front-ends to measure: this project's first, to which the others are compared.
 *
 * @throws {UsageError} if the other checkout does not exist.
 */
function frontEnds(other: string | undefined): FrontEnd[] {
  const own = { name: "ixy.ts", checkout: PROJECT }, dpdk = { name: "DPDK", checkout: undefined };
  if (other === undefined) return [own, dpdk];
  try {
    const checkout = Deno.realPathSync(other);
    Deno.statSync(`${checkout}/bench/front_end.ts`);
    return [own, dpdk, { name: "other", checkout }];
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError(
      `${other} is not a checkout of this project: it has no bench/front_end.ts`,
    );
  }
}

/** Warm-up of a front-end that was started, and of one that goes on, in milliseconds. */
const WARM_UP_MS = 1500, SETTLE_MS = 50;

/** A process that can be stopped. */
interface Process extends AsyncDisposable {
  kill(signal: Deno.Signal): void;
}

/** What the back-end counted while a front-end ran. */
interface Window {
  readonly mode: Mode;
  readonly name: string;
  readonly mpps: number;
  /** Distance between the cores before and after, in nanoseconds. */
  readonly distance: readonly [number, number];
}

/** Starts a front-end on core 0. */
async function startFrontEnd(
  { checkout }: FrontEnd,
  mode: Mode,
  directory: string,
  socket: string,
): Promise<Process> {
  if (checkout !== undefined) {
    const deno = [Deno.execPath(), "run", "--quiet", "--allow-ffi"];
    const program = [`--config=${checkout}/deno.json`, `${checkout}/bench/front_end.ts`];
    const command = [...deno, ...program, mode, `vhost-user:${socket}`];
    return startOn("bench/front_end.ts", [0], command, "inherit");
  }
  // Commands and packets share core 0, as with this project.
  const vdev = `net_virtio_user0,path=${socket},queues=1,mrg_rxbuf=0,in_order=0`;
  const front = await Testpmd.start("front", directory, 0, vdev, DPDK[mode]);
  await front.command(mode === "loop" ? "start tx_first 8" : "start");
  return front;
}

/** A front-end and its back-end. */
class Rig implements AsyncDisposable {
  readonly name: string;
  readonly #mode: Mode;
  readonly #back: Testpmd;
  readonly #front: Process;
  readonly #owned: AsyncDisposableStack;

  private constructor(
    name: string,
    mode: Mode,
    back: Testpmd,
    front: Process,
    owned: AsyncDisposableStack,
  ) {
    this.name = name;
    this.#mode = mode;
    this.#back = back;
    this.#front = front;
    this.#owned = owned;
  }

  /** Starts them, warms them up and stops them. */
  static async start(frontEnd: FrontEnd, mode: Mode): Promise<Rig> {
    await using owned = new AsyncDisposableStack();
    const directory = owned.use(await TemporaryDirectory.make());
    const socket = directory.file("vhost.sock"), vdev = `net_vhost0,iface=${socket},queues=1`;
    const back = await Testpmd.start("back", directory.path, 1, vdev, OPPOSITE[mode]);
    owned.use(back);
    await back.command("start");
    const front = owned.use(await startFrontEnd(frontEnd, mode, directory.path, socket));
    await delay(WARM_UP_MS);
    const rig = new Rig(frontEnd.name, mode, back, front, owned.move());
    rig.#signal("SIGSTOP");
    return rig;
  }

  #signal(signal: Deno.Signal): void {
    for (const process of [this.#back, this.#front]) process.kill(signal);
  }

  /** Lets them run; returns the rate in Mpps. */
  async measure(seconds: number): Promise<number> {
    this.#signal("SIGCONT");
    await delay(SETTLE_MS);
    const before = await this.#back.counts();
    await delay(seconds * 1000);
    const after = await this.#back.counts();
    this.#signal("SIGSTOP");
    const way = this.#mode === "receive" ? "tx" : "rx";
    return (after[way] - before[way]) / (after.time - before.time) / 1000;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#signal("SIGCONT"); // a stopped process does not end
    await this.#owned.disposeAsync();
  }
}

/** Starts the front-ends, and measures each of them once, in this order. */
async function measureRound(
  mode: Mode,
  seconds: number,
  probe: DistanceProbe,
  frontEnds: readonly FrontEnd[],
): Promise<Window[]> {
  await using rigs = new AsyncDisposableStack();
  const windows: Window[] = [], all: Rig[] = [];
  for (const frontEnd of frontEnds) all.push(rigs.use(await Rig.start(frontEnd, mode)));
  let distance = await probe.measure();
  for (const rig of all) {
    const before = distance, mpps = await rig.measure(seconds);
    distance = await probe.measure();
    windows.push({ mode, name: rig.name, mpps, distance: [before, distance] });
  }
  return windows;
}

/** The rates of all front-ends in a mode, at one distance of the cores. */
interface Verdict {
  readonly mode: Mode;
  readonly column: Column;
  /** Rates, by front-end. */
  readonly rates: Readonly<Record<string, Summary>>;
  /** Median of this project's driver by that of each other one. */
  readonly ratios: Readonly<Record<string, number>>;
}

/** Returns the verdicts on a mode: one for each distance at which all front-ends were measured. */
function verdicts(
  mode: Mode,
  windows: readonly Window[],
  frontEnds: readonly FrontEnd[],
): Verdict[] {
  const steady = windows.filter(({ distance: [before, after] }) => sameDistance(before, after));
  const names = frontEnds.map(({ name }) => name), [own, ...others] = names;
  return COLUMNS.flatMap(({ name: column }) => {
    const rates: Record<string, Summary> = {};
    for (const front of names) {
      const summary = summarize(
        steady.filter(({ name, distance }) => name === front && columnOf(distance[0]) === column)
          .map(({ mpps }) => mpps),
      );
      if (summary === undefined) return [];
      rates[front] = summary;
    }
    const ratios = others.map((name) => [name, rates[own].median / rates[name].median]);
    return [{ mode, column, rates, ratios: Object.fromEntries(ratios) }];
  });
}

/** Returns the lines of a verdict. */
function* rows({ mode, column, rates, ratios }: Verdict): Generator<string> {
  const cell = (mpps: number) => packetRate(mpps * 1e6).padStart(PACKET_RATE_WIDTH);
  for (const [name, { n, median, min, max }] of Object.entries(rates)) {
    yield `${mode.padEnd(9)} ${column.padEnd(6)} ${name.padEnd(9)} ${cell(median)}  ` +
      `${cell(min)}  ${cell(max)}  ${n}`;
  }
  const of = Object.entries(ratios).map(([name, ratio]) => `${ratio.toFixed(2)} of ${name}`);
  yield `${mode}, ${column}: ${of.join(", ")}, median by median`;
}

/** Measures the modes, and prints the verdicts on each. */
async function measureAll(
  { modes, rounds, seconds }: Values<typeof OPTIONS>,
  fronts: readonly FrontEnd[],
): Promise<Window[]> {
  const all: Window[] = [];
  using progress = new Progress("bench");
  using probe = new DistanceProbe(0, 1);
  const total = modes.length * rounds;
  progress.print(() => {
    const [median, min, max] = ["median", "min", "max"].map((of) => of.padStart(PACKET_RATE_WIDTH));
    console.log(`mode      cores  front-end ${median}  ${min}  ${max}  windows`);
  });
  for (const [i, mode] of modes.entries()) {
    const windows: Window[] = [];
    for (let round = 0; round < rounds; round++) {
      progress.show("vhost-user", { done: i * rounds + round, total, unit: "rounds" });
      const order = round % 2 === 0 ? fronts : fronts.toReversed();
      windows.push(...await measureRound(mode, seconds, probe, order));
    }
    all.push(...windows);
    const found = verdicts(mode, windows, fronts);
    progress.print(() => {
      for (const verdict of found) for (const row of rows(verdict)) console.log(row);
      if (found.length === 0) {
        console.log(
          `${mode}: no verdict, since the cores' distance never stayed the same: repeat it`,
        );
      }
    });
  }
  return all;
}

async function main(values: Values<typeof OPTIONS>): Promise<number> {
  const { modes, rounds, seconds, json, other } = values, fronts = frontEnds(other);
  if (navigator.hardwareConcurrency < 2) {
    throw new UsageError(
      "the bench needs two cores, one each for front-end and back-end: let it use a second core",
    );
  }
  const windows = await measureAll(values, fronts);
  if (json) {
    const results = modes.flatMap((mode) => {
      return verdicts(mode, windows.filter((window) => window.mode === mode), fronts);
    });
    console.log(JSON.stringify({ rounds, seconds, results, windows }));
  }
  return 0;
}

if (import.meta.main) await run(VHOST_USER, interruptible(main));
