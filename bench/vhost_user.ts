/**
 * Compares the VirtIO driver with DPDK's, both as front-ends of DPDK's vhost-user back-end on the
 * other core: `deno task bench:vhost-user`.
 *
 * Each round starts back-end and front-end anew, in turns. The back-end counts the packets, and the
 * bench samples the rate several times a second. The result of a round is the 90th percentile; of
 * all rounds, the best and the median, because shared machines drift.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { UsageError } from "../mod.ts";
import { PACKET_RATE_WIDTH, packetRate } from "../packets/units.ts";
import { command } from "../programs/command_line.ts";
import { flag, type Values, whole, words } from "../programs/options.ts";
import { Program } from "../programs/process.ts";
import { Progress } from "../programs/progress.ts";
import { interruptible } from "../programs/interruption.ts";
import { run } from "../programs/run.ts";
import { TemporaryDirectory } from "../programs/temporary_directory.ts";
import { startOn } from "./pinned.ts";
import { median, quantile } from "./statistics.ts";

const MODES = ["receive", "transmit", "loop"] as const;
type Mode = typeof MODES[number];

const OPTIONS = {
  modes: words("modes to measure", MODES, { value: "M,…" }),
  rounds: whole("rounds of each", { least: 1, most: 100, default: 6 }),
  seconds: whole("seconds of each round", { least: 1, most: 3600, default: 2 }),
  json: flag("print one JSON object as the last line"),
};

/** The command line. */
export const VHOST_USER = command({
  start: "deno task bench:vhost-user",
  about:
    `Receives, transmits and loops 64-byte packets in batches of 32 over vhost-user, in turns with this
project's driver and with DPDK's (split ring, not vectorised). Needs DPDK's testpmd, in Debian's
packages dpdk, dpdk-dev, librte-net-vhost23, librte-net-virtio23, librte-mempool-ring23.`,
  options: OPTIONS,
  plan: ({ values }) => values,
});

/** The mode of the back-end in each mode of the front-end. */
const OPPOSITE = { receive: "txonly", transmit: "rxonly", loop: "io" } as const;
/** DPDK's name for each mode. */
const DPDK = { receive: "rxonly", transmit: "txonly", loop: "io" } as const;

const FRONT_ENDS = ["ixy.ts", "DPDK"] as const;
type FrontEnd = typeof FRONT_ENDS[number];

/** Warm-up of a front-end, and time between samples, in milliseconds. */
const WARM_UP_MS = 2000, SAMPLE_MS = 250;
/** Deadline for an answer of testpmd, in milliseconds. */
const DEADLINE_MS = 30000;

/** A testpmd: it reads commands on core 0 and moves packets on the core given. */
class Testpmd implements AsyncDisposable {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** Starts it and waits for its port. */
  static async start(
    name: string,
    directory: string,
    core: number,
    vdev: string,
    options: readonly string[],
  ): Promise<Testpmd> {
    const program = Program.start([
      ...["stdbuf", "-oL", "dpdk-testpmd", "--lcores", `0@0,1@${core}`, "--no-pci", "-n", "1"],
      ...["--no-huge", "-m", "200", `--file-prefix=${name}`, "--single-file-segments"],
      ...["--vdev", vdev, "--", "-i", "--no-numa", "--total-num-mbufs=16384", ...options],
    ], { name: "testpmd", env: { RUNTIME_DIRECTORY: directory }, signals: true });
    try {
      await program.line((line) => line.startsWith("Done"), DEADLINE_MS);
    } catch (error) {
      await program[Symbol.asyncDispose]();
      throw error;
    }
    return new Testpmd(program);
  }

  async command(text: string): Promise<void> {
    await this.#program.write(text);
  }

  /** Returns the packets that its port has received and transmitted. */
  async counts(): Promise<{ rx: number; tx: number; time: number }> {
    await this.command("show port stats 0");
    const rx = await this.#number(/RX-packets: +(\d+)/),
      tx = await this.#number(/TX-packets: +(\d+)/);
    return { rx, tx, time: performance.now() };
  }

  async #number(pattern: RegExp): Promise<number> {
    const line = await this.#program.line((line) => pattern.test(line), DEADLINE_MS);
    return Number(pattern.exec(line)![1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await using program = this.#program;
    if (program.ended) return;
    await program.write("quit");
    await program.finish(DEADLINE_MS);
  }
}

/** Starts this project's front-end, on core 0. */
function startOurs(mode: Mode, socket: string): Program {
  const deno = [Deno.execPath(), "run", "--quiet", "--allow-ffi"];
  const command = [...deno, "bench/front_end.ts", mode, `vhost-user:${socket}`];
  return startOn("bench/front_end.ts", [0], command, "inherit");
}

async function startFrontEnd(
  name: FrontEnd,
  mode: Mode,
  directory: string,
  socket: string,
): Promise<AsyncDisposable> {
  if (name === "ixy.ts") return startOurs(mode, socket);
  // Commands and packets share core 0, as with this project.
  const vdev = `net_virtio_user0,path=${socket},queues=1,mrg_rxbuf=0,in_order=0`;
  const options = [`--forward-mode=${DPDK[mode]}`];
  const front = await Testpmd.start("front", directory, 0, vdev, options);
  await front.command(mode === "loop" ? "start tx_first 8" : "start");
  return front;
}

/** Runs one round; returns the 90th percentile of the rate that the back-end counts, in Mpps. */
async function measure(name: FrontEnd, mode: Mode, seconds: number): Promise<number> {
  await using directory = await TemporaryDirectory.make();
  const socket = directory.file("vhost.sock");
  const vdev = `net_vhost0,iface=${socket},queues=1`;
  const options = [`--forward-mode=${OPPOSITE[mode]}`];
  await using back = await Testpmd.start("back", directory.path, 1, vdev, options);
  await back.command("start");
  await using _front = await startFrontEnd(name, mode, directory.path, socket);
  await delay(WARM_UP_MS);
  const rates: number[] = [];
  let before = await back.counts();
  for (const start = before.time; before.time - start < seconds * 1000;) {
    await delay(SAMPLE_MS);
    const now = await back.counts();
    const packets = mode === "receive" ? now.tx - before.tx : now.rx - before.rx;
    rates.push(packets / (now.time - before.time) / 1000);
    before = now;
  }
  rates.sort((a, b) => a - b);
  return quantile(rates, 0.9);
}

/** The rates of a front-end in a mode, in Mpps. */
interface Result {
  readonly mode: Mode;
  readonly name: FrontEnd;
  readonly best: number;
  readonly median: number;
  /** The rate of each round. */
  readonly all: readonly number[];
}

/** Measures both front-ends in turns, and prints the results of each mode. */
async function measureAll(
  modes: readonly Mode[],
  rounds: number,
  seconds: number,
): Promise<Result[]> {
  const results: Result[] = [];
  using progress = new Progress("bench");
  const total = modes.length * rounds * FRONT_ENDS.length;
  let done = 0;
  progress.print(() => console.log("mode      front-end       best     median  all"));
  for (const mode of modes) {
    const rates: Record<FrontEnd, number[]> = { "ixy.ts": [], DPDK: [] };
    for (let round = 0; round < rounds; round++) {
      for (const name of FRONT_ENDS) {
        progress.show("vhost-user", { done: done++, total, unit: "runs" });
        rates[name].push(await measure(name, mode, seconds));
      }
    }
    const ofMode = FRONT_ENDS.map((name): Result => {
      const all = rates[name].toSorted((a, b) => a - b);
      return { mode, name, best: all.at(-1)!, median: median(all), all: rates[name] };
    });
    results.push(...ofMode);
    progress.print(() => {
      for (const result of ofMode) console.log(row(result));
      console.log(`${mode}: ${ratio(rates).toFixed(2)} of DPDK, best by best`);
    });
  }
  return results;
}

function row({ mode, name, best, median, all }: Result): string {
  const [first, second, ...others] = [best, median, ...all].map((mpps) => packetRate(mpps * 1e6));
  return `${mode.padEnd(9)} ${name.padEnd(9)} ${first.padStart(PACKET_RATE_WIDTH)}  ` +
    `${second.padStart(PACKET_RATE_WIDTH)}  ${others.join(", ")}`;
}

async function main(values: Values<typeof OPTIONS>): Promise<number> {
  const { modes, rounds, seconds, json } = values;
  if (navigator.hardwareConcurrency < 2) {
    throw new UsageError(
      "the bench needs two cores, one each for front-end and back-end: let it use a second core",
    );
  }
  const results = await measureAll(modes, rounds, seconds);
  if (json) console.log(JSON.stringify({ rounds, seconds, results }));
  return 0;
}

function ratio(rates: Record<FrontEnd, number[]>): number {
  return Math.max(...rates["ixy.ts"]) / Math.max(...rates.DPDK);
}

if (import.meta.main) await run(VHOST_USER, interruptible(main));
