/**
 * The VirtIO driver beside DPDK's, both as front-ends of DPDK's own vhost-user back-end on the other
 * core: `deno task bench:vhost-user`.
 *
 * Each round starts back-end and front-end anew, in turns. Rates are those that the back-end counts,
 * sampled several times a second; of each round the 90th percentile stands, and of all rounds the best
 * and the median, since shared machines drift.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { DeviceError, UsageError } from "../mod.ts";
import { PACKET_RATE_WIDTH, packetRate } from "../packets/units.ts";
import { number, parse, run } from "../programs/program.ts";
import { Progress } from "../programs/progress.ts";

const USAGE = `usage: deno task bench:vhost-user [options]

Receives, transmits and loops packets of 64 bytes in batches of 32 by vhost-user, with this project's
driver and with DPDK's (split ring, not vectorised), in turns. Needs DPDK's testpmd: Debian's packages
dpdk, dpdk-dev, librte-net-vhost23, librte-net-virtio23, librte-mempool-ring23.

  --modes M,…   receive, transmit, loop (default all three)
  --rounds N    rounds of each, 1 to 100 (default 6)
  --seconds N   how long each round is measured, 1 to 3600 (default 2)
  --json        print one JSON object as the last line`;

const OPTIONS = { modes: true, rounds: true, seconds: true, json: false };
const MODES = ["receive", "transmit", "loop"] as const;
type Mode = typeof MODES[number];
/** What the back-end does while the front-end does what the mode says. */
const OPPOSITE = { receive: "txonly", transmit: "rxonly", loop: "io" } as const;
/** What DPDK's front-end does. */
const DPDK = { receive: "rxonly", transmit: "txonly", loop: "io" } as const;

const FRONT_ENDS = ["ixy.ts", "DPDK"] as const;
type FrontEnd = typeof FRONT_ENDS[number];

/** How long a front-end gets to come to speed, and between samples, in milliseconds. */
const WARM_UP_MS = 2000, SAMPLE_MS = 250;
/** How long testpmd may take for an answer, in milliseconds. */
const DEADLINE_MS = 30000;

/** A testpmd on both cores: it listens on core 0 and moves packets on a core of its choice. */
class Testpmd implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: ReadableStreamDefaultReader<string>;

  constructor(name: string, directory: string, core: number, vdev: string, options: string[]) {
    this.#child = new Deno.Command("stdbuf", {
      args: [
        ...["-oL", "dpdk-testpmd", "--lcores", `0@0,1@${core}`, "--no-pci", "-n", "1"],
        ...["--no-huge", "-m", "200", `--file-prefix=${name}`, "--single-file-segments"],
        ...["--vdev", vdev, "--", "-i", "--no-numa", "--total-num-mbufs=16384", ...options],
      ],
      env: { RUNTIME_DIRECTORY: directory },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough<string>(new TextLineStream()).getReader();
  }

  async command(text: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(text + "\n"));
  }

  /** The next line that matches. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    const late = setTimeout(() => this.#child.kill("SIGKILL"), DEADLINE_MS);
    try {
      for (;;) {
        const { value, done } = await this.#lines.read();
        if (done) throw new DeviceError("testpmd", `ended, or printed no ${pattern}`);
        const match = pattern.exec(value);
        if (match) return match;
      }
    } finally {
      clearTimeout(late);
    }
  }

  /** Packets received and transmitted by its port. */
  async counts(): Promise<{ rx: number; tx: number; time: number }> {
    await this.command("show port stats 0");
    const rx = Number((await this.line(/RX-packets: +(\d+)/))[1]);
    const tx = Number((await this.line(/TX-packets: +(\d+)/))[1]);
    return { rx, tx, time: performance.now() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.command("quit").catch(() => {});
    const late = setTimeout(() => this.#child.kill("SIGKILL"), DEADLINE_MS);
    while (!(await this.#lines.read()).done);
    await this.#child.status;
    clearTimeout(late);
  }
}

/** The project's front-end, on core 0. */
class Ours implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;

  constructor(mode: Mode, socket: string) {
    const program = new URL("front_end.ts", import.meta.url).pathname;
    this.#child = new Deno.Command("taskset", {
      args: [
        ...["-c", "0", Deno.execPath(), "run", "--quiet", "--allow-ffi"],
        ...[program, mode, `vhost-user:${socket}`],
      ],
      stdout: "null",
      stderr: "inherit",
    }).spawn();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
  }
}

async function startFrontEnd(
  name: FrontEnd,
  mode: Mode,
  directory: string,
  socket: string,
): Promise<AsyncDisposable> {
  if (name === "ixy.ts") return new Ours(mode, socket);
  // Its commands and its packets share core 0, as with ours.
  const vdev = `net_virtio_user0,path=${socket},queues=1,mrg_rxbuf=0,in_order=0`;
  const front = new Testpmd("front", directory, 0, vdev, [`--forward-mode=${DPDK[mode]}`]);
  await front.line(/^Done/);
  await front.command(mode === "loop" ? "start tx_first 8" : "start");
  return front;
}

/** One round: the 90th percentile of the rate in Mpps that the back-end counts. */
async function measure(name: FrontEnd, mode: Mode, seconds: number): Promise<number> {
  const directory = await Deno.makeTempDir({ prefix: "ixy-bench-" });
  try {
    const socket = `${directory}/vhost.sock`;
    const vdev = `net_vhost0,iface=${socket},queues=1`;
    const options = [`--forward-mode=${OPPOSITE[mode]}`];
    await using back = new Testpmd("back", directory, 1, vdev, options);
    await back.line(/^Done/);
    await back.command("start");
    await using _front = await startFrontEnd(name, mode, directory, socket);
    await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
    const rates: number[] = [];
    let before = await back.counts();
    for (const start = before.time; before.time - start < seconds * 1000;) {
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS));
      const now = await back.counts();
      const packets = mode === "receive" ? now.tx - before.tx : now.rx - before.rx;
      rates.push(packets / (now.time - before.time) / 1000);
      before = now;
    }
    rates.sort((a, b) => a - b);
    return rates[Math.floor(0.9 * (rates.length - 1))];
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** What a front-end has reached in a mode, in Mpps. */
interface Result {
  readonly mode: Mode;
  readonly name: FrontEnd;
  readonly best: number;
  readonly median: number;
  /** The rate of each round. */
  readonly all: readonly number[];
}

/** Measures both front-ends in turns, and prints each mode's results. */
async function measureAll(modes: Mode[], rounds: number, seconds: number): Promise<Result[]> {
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
      return { mode, name, best: all.at(-1)!, median: all[all.length >> 1], all: rates[name] };
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

async function main(): Promise<number> {
  const args = parse(Deno.args, USAGE, OPTIONS);
  if (args.positionals.length > 0) throw new UsageError("the bench takes no devices: see --help");
  const rounds = number(args, "rounds", 6, 1, 100), seconds = number(args, "seconds", 2, 1, 3600);
  const modes = String(args.values.modes ?? MODES.join()).split(",") as Mode[];
  if (modes.some((mode) => !MODES.includes(mode))) {
    throw new UsageError(`--modes takes receive, transmit and loop, with commas, not "${modes}"`);
  }
  if (navigator.hardwareConcurrency < 2) throw new UsageError("the bench needs two cores");
  const results = await measureAll(modes, rounds, seconds);
  if (args.values.json) console.log(JSON.stringify({ rounds, seconds, results }));
  return 0;
}

function ratio(rates: Record<FrontEnd, number[]>): number {
  return Math.max(...rates["ixy.ts"]) / Math.max(...rates.DPDK);
}

if (import.meta.main) await run(main);
