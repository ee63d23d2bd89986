/**
 * Compares the VirtIO driver with DPDK's, both as front-ends of DPDK's vhost-user back-end on the
 * other core: `deno task bench:vhost-user`.
 *
 * Each round starts both front-ends anew, each with a back-end of its own, and measures them in
 * turns: one runs while the other is stopped. The back-end counts the packets. Before and after each
 * window, the distance between the cores is probed; windows in which it changed do not count, and
 * windows at different distances are not compared.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { UsageError } from "../mod.ts";
import { PACKET_RATE_WIDTH, packetRate } from "../packets/units.ts";
import { command } from "../programs/command_line.ts";
import { decimal, flag, type Values, whole, words } from "../programs/options.ts";
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

const FRONT_ENDS = ["ixy.ts", "DPDK"] as const;
type FrontEnd = typeof FRONT_ENDS[number];

/** Warm-up of a front-end that was started, and of one that goes on, in milliseconds. */
const WARM_UP_MS = 1500, SETTLE_MS = 50;

/** A process that can be stopped. */
interface Process extends AsyncDisposable {
  kill(signal: Deno.Signal): void;
}

/** What the back-end counted while a front-end ran. */
interface Window {
  readonly mode: Mode;
  readonly name: FrontEnd;
  readonly mpps: number;
  /** Distance between the cores before and after, in nanoseconds. */
  readonly distance: readonly [number, number];
}

/** Starts a front-end on core 0. */
async function startFrontEnd(
  name: FrontEnd,
  mode: Mode,
  directory: string,
  socket: string,
): Promise<Process> {
  if (name === "ixy.ts") {
    const deno = [Deno.execPath(), "run", "--quiet", "--allow-ffi"];
    const command = [...deno, "bench/front_end.ts", mode, `vhost-user:${socket}`];
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
  readonly name: FrontEnd;
  readonly #mode: Mode;
  readonly #back: Testpmd;
  readonly #front: Process;
  readonly #owned: AsyncDisposableStack;

  private constructor(
    name: FrontEnd,
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
  static async start(name: FrontEnd, mode: Mode): Promise<Rig> {
    await using owned = new AsyncDisposableStack();
    const directory = owned.use(await TemporaryDirectory.make());
    const socket = directory.file("vhost.sock"), vdev = `net_vhost0,iface=${socket},queues=1`;
    const back = await Testpmd.start("back", directory.path, 1, vdev, OPPOSITE[mode]);
    owned.use(back);
    await back.command("start");
    const front = owned.use(await startFrontEnd(name, mode, directory.path, socket));
    await delay(WARM_UP_MS);
    const rig = new Rig(name, mode, back, front, owned.move());
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

/** Starts both front-ends, and measures each of them once. */
async function measureRound(mode: Mode, seconds: number, probe: DistanceProbe): Promise<Window[]> {
  await using rigs = new AsyncDisposableStack();
  const windows: Window[] = [], both: Rig[] = [];
  for (const name of FRONT_ENDS) both.push(rigs.use(await Rig.start(name, mode)));
  let distance = await probe.measure();
  for (const rig of both) {
    const before = distance, mpps = await rig.measure(seconds);
    distance = await probe.measure();
    windows.push({ mode, name: rig.name, mpps, distance: [before, distance] });
  }
  return windows;
}

/** The rates of both front-ends in a mode, at one distance of the cores. */
interface Verdict {
  readonly mode: Mode;
  readonly column: Column;
  readonly rates: Readonly<Record<FrontEnd, Summary>>;
  /** Median of this project's driver by that of DPDK's. */
  readonly ratio: number;
}

/** Returns the verdicts on a mode: one for each distance at which both front-ends were measured. */
function verdicts(mode: Mode, windows: readonly Window[]): Verdict[] {
  const steady = windows.filter(({ distance: [before, after] }) => sameDistance(before, after));
  return COLUMNS.flatMap(({ name: column }) => {
    const [ours, theirs] = FRONT_ENDS.map((front) =>
      summarize(
        steady.filter(({ name, distance }) => name === front && columnOf(distance[0]) === column)
          .map(({ mpps }) => mpps),
      )
    );
    if (ours === undefined || theirs === undefined) return [];
    const rates = { "ixy.ts": ours, DPDK: theirs };
    return [{ mode, column, rates, ratio: ours.median / theirs.median }];
  });
}

/** Returns the lines of a verdict. */
function* rows({ mode, column, rates, ratio }: Verdict): Generator<string> {
  const cell = (mpps: number) => packetRate(mpps * 1e6).padStart(PACKET_RATE_WIDTH);
  for (const name of FRONT_ENDS) {
    const { n, median, min, max } = rates[name];
    yield `${mode.padEnd(9)} ${column.padEnd(6)} ${name.padEnd(9)} ${cell(median)}  ` +
      `${cell(min)}  ${cell(max)}  ${n}`;
  }
  yield `${mode}, ${column}: ${ratio.toFixed(2)} of DPDK, median by median`;
}

/** Measures the modes, and prints the verdicts on each. */
async function measureAll({ modes, rounds, seconds }: Values<typeof OPTIONS>): Promise<Window[]> {
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
      windows.push(...await measureRound(mode, seconds, probe));
    }
    all.push(...windows);
    const found = verdicts(mode, windows);
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
  const { modes, rounds, seconds, json } = values;
  if (navigator.hardwareConcurrency < 2) {
    throw new UsageError(
      "the bench needs two cores, one each for front-end and back-end: let it use a second core",
    );
  }
  const windows = await measureAll(values);
  if (json) {
    const results = modes.flatMap((mode) => {
      return verdicts(mode, windows.filter((window) => window.mode === mode));
    });
    console.log(JSON.stringify({ rounds, seconds, results, windows }));
  }
  return 0;
}

if (import.meta.main) await run(VHOST_USER, interruptible(main));
