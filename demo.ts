/**
 * Shows the driver at work on a machine without a NIC: `deno task demo`.
 *
 * Three processes: a software NIC with two ports, which generates packets and checks what comes back;
 * the forwarder, which drives both ports as it would drive hardware; and this one, which adds up.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { DeviceError, UsageError } from "./mod.ts";
import { BIT_RATE_WIDTH, bitRate, PACKET_RATE_WIDTH, packetRate } from "./packets/units.ts";
import { number, parse, run } from "./programs/program.ts";
import { WIRE_OVERHEAD } from "./programs/report.ts";

const USAGE = `usage: deno task demo [options]

Forwards packets between two ports of a software NIC and checks every one of them.

  --seconds N   how long (default 10)
  --rate PPS    packets a second and direction (default: 10 Gbit/s)
  --size N      bytes of a packet, without CRC, 60 to 1514 (default 60)
  --batch N     most packets the forwarder handles at once, 1 to 256 (default 32)
  --queues N    receive and transmit queues of each port, 1 to 16 (default 1)
  --workers N   threads of the forwarder that share them out (default 0: its main thread has all)
  --json        print one JSON object as the last line

missed: the NIC had no free descriptor; dropped: the forwarder's transmit ring was full;
lost: neither, a defect. Exits with 1 if anything was lost, reordered or corrupt.`;

const OPTIONS = {
  ...{ seconds: true, rate: true, size: true, batch: true, json: false },
  ...{ queues: true, workers: true },
};
/** Flows of a direction where they are to be spread over queues. */
const FLOWS = 64;
/** The model's loops are longer than the compiler cares to put together by itself: a tenth faster. */
export const INLINE_MORE =
  "--v8-flags=--max-inlined-bytecode-size=1000,--max-inlined-bytecode-size-cumulative=3000";
/** Longest that a child may take to start, and packets to drain, and between looks, in milliseconds. */
const START_MS = 20000, DRAIN_MS = 3000, LOOK_MS = 50;

/** What the software NIC says every second, as far as it matters here. */
interface SimLine {
  ready?: boolean;
  total?: boolean;
  ports: {
    wireStatistics: {
      sent: number;
      missed: number;
      received: number;
      reordered: number;
      corrupt: number;
      gap: number;
    };
  }[];
  /** What the driver did that the datasheet forbids; the model has printed it on stderr. */
  violations?: unknown[];
}

/** What the forwarder says every second, as far as it matters here. */
interface FwdLine {
  ready?: boolean;
  total?: boolean;
  seconds: number;
  ports: { dropped: number }[];
}

/** A program of this project, which prints a line of JSON now and then. */
class Child<Line extends { ready?: boolean; total?: boolean }> {
  /** The last line. */
  last: Line | undefined;
  readonly #name: string;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting: { test: (line: Line) => boolean; resolve: (line: Line) => void }[] = [];

  constructor(program: string, args: string[], onLine: (line: Line) => void, flags: string[] = []) {
    this.#name = program;
    const url = new URL(program, import.meta.url).href;
    this.#process = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", "--allow-ffi", ...flags, url, ...args],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#read(onLine);
  }

  async #read(onLine: (line: Line) => void): Promise<void> {
    const lines = this.#process.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream() as TransformStream<string, string>);
    for await (const text of lines) {
      if (text === "") continue;
      const line: Line = JSON.parse(text);
      if (!line.ready) this.last = line;
      onLine(line);
      for (const { test, resolve } of this.#waiting) if (test(line)) resolve(line);
    }
  }

  /** Waits for a line; the end of the process or the deadline is an error. */
  async line(test: (line: Line) => boolean, milliseconds: number): Promise<Line> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const line = new Promise<Line>((resolve) => this.#waiting.push({ test, resolve }));
    const late = new Promise<never>((_, reject) => {
      const error = new DeviceError(this.#name, `said nothing for ${milliseconds} ms`);
      timer = setTimeout(() => reject(error), milliseconds);
    });
    const ended = this.#process.status.then(async ({ code }) => {
      await new Promise((resolve) => setTimeout(resolve, 100)); // its last lines may be on the way
      throw new DeviceError(this.#name, `ended with exit code ${code}: see what it printed above`);
    });
    ended.catch(() => {});
    late.catch(() => {});
    try {
      return await Promise.race([line, late, ended]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives it a command on its standard input. */
  command(text: string): Promise<void> {
    return this.#input.write(new TextEncoder().encode(text + "\n"));
  }

  /** Asks it to end; it prints its totals. */
  terminate(): void {
    this.#process.kill("SIGTERM");
  }

  /** Waits until it has ended by itself; returns its exit code. */
  async finish(milliseconds: number): Promise<number> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new DeviceError(this.#name, `did not end within ${milliseconds} ms`);
      timer = setTimeout(() => reject(error), milliseconds);
    });
    try {
      return (await Promise.race([this.#process.status, late])).code;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends it whatever it does. */
  async kill(): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended already
    }
    await this.#process.status;
    await this.#input.close().catch(() => {});
  }
}

/**
 * Rings of the forwarder. Three processes share what may be two cores: at a rate that it can bear, it
 * must also bear not to run for some milliseconds; without a limit, smaller rings are faster.
 */
function rings(rate: number): string[] {
  return rate > 0 ? ["--rx-entries", "4096", "--tx-entries", "4096"] : [];
}

/** Counts of one direction, from port `i` to the other one. */
interface Count {
  received: number;
  missed: number;
  dropped: number;
  lost: number;
  reordered: number;
  corrupt: number;
}

/**
 * The counts of a direction. What is missing and was neither missed nor dropped is lost. While packets
 * are on their way, only gaps in the sequence count as missing, and drops are taken from a later line:
 * then nothing seems lost that is not.
 */
function count(i: number, sim: SimLine, fwd: FwdLine, drained: boolean): Count {
  const { sent, missed } = sim.ports[i].wireStatistics;
  const { received, reordered, corrupt, gap } = sim.ports[1 - i].wireStatistics;
  const dropped = fwd.ports[1 - i].dropped;
  const missing = drained ? sent - received : gap;
  const lost = Math.max(0, missing - missed - dropped);
  return { received, missed, dropped, lost, reordered, corrupt };
}

/** Waits until every packet that was sent has come back, or was missed or dropped: see `count`. */
async function drain(sim: Child<SimLine>, fwd: Child<FwdLine>): Promise<void> {
  const deadline = performance.now() + DRAIN_MS;
  for (;;) {
    const next = sim.line((line) => line.ready !== true, START_MS);
    await sim.command("stats");
    const line = await next, said = fwd.last; // its next line has the last drops
    if (said && [0, 1].every((i) => count(i, line, said, true).lost === 0)) return;
    if (performance.now() > deadline) return; // what has not come by now is lost
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

const COUNTS = ["missed", "dropped", "lost", "reordered", "corrupt"] as const;
const COUNT_WIDTH = 9;

const HEADER = [
  "  time",
  "ports ",
  "rate".padStart(PACKET_RATE_WIDTH),
  "bit rate".padStart(BIT_RATE_WIDTH),
  ...COUNTS.map((name) => name.padStart(COUNT_WIDTH)),
].join("  ");

/** A line of the table: what port `i` has sent, with `rate` packets a second of this size. */
function row(i: number, time: number, c: Count, rate: number, size: number): string {
  return [
    time.toFixed(1).padStart(6),
    i === 0 ? "A -> B" : "B -> A",
    packetRate(rate).padStart(PACKET_RATE_WIDTH),
    bitRate(rate * (size + WIRE_OVERHEAD) * 8).padStart(BIT_RATE_WIDTH),
    ...COUNTS.map((name) => String(c[name]).padStart(COUNT_WIDTH)),
  ].join("  ");
}

async function main(): Promise<number> {
  const args = parse(Deno.args, USAGE, OPTIONS);
  if (args.positionals.length > 0) throw new UsageError("the demo takes no devices: see --help");
  const seconds = number(args, "seconds", 10, 1, 86400, true);
  const size = number(args, "size", 60, 60, 1514);
  const batch = number(args, "batch", 32, 1, 256);
  const rate = number(args, "rate", 0, 1, 1e8);
  const queues = number(args, "queues", 1, 1, 16);
  const workers = number(args, "workers", 0, 0, 16);
  if (workers > queues) throw new UsageError(`${workers} workers need as many --queues`);
  const threads = ["--queues", String(queues), "--workers", String(workers)];
  const wire = `generator:size=${size}${rate > 0 ? `,rate=${rate}` : ""}` +
    (queues > 1 ? `,flows=${FLOWS}` : "");
  const json = args.values.json === true;
  const directory = await Deno.makeTempDir({ prefix: "ixy-" });
  try {
    return await forward(directory, wire, seconds, size, json, [
      ...["--batch", String(batch), ...threads, ...rings(rate)],
    ]);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function forward(
  directory: string,
  wire: string,
  seconds: number,
  size: number,
  json: boolean,
  options: readonly string[],
): Promise<number> {
  const sockets = [`${directory}/a.sock`, `${directory}/b.sock`];
  // A line of the model is shown once the forwarder's next line has come: see `count`.
  let shown: SimLine | undefined, shownTime = 0, pending: SimLine | undefined, pendingTime = 0;
  let best = 0, started = 0, draining = false;
  const show = (fwd: FwdLine) => {
    if (pending === undefined || fwd.total) return;
    const span = (pendingTime - shownTime) / 1000;
    let sum = 0;
    for (const i of [0, 1]) {
      const c = count(i, pending, fwd, false);
      const before = shown?.ports[1 - i].wireStatistics.received ?? 0;
      const rate = (c.received - before) / span;
      sum += rate;
      if (!json) console.log(row(i, (pendingTime - started) / 1000, c, rate, size));
    }
    best = Math.max(best, sum);
    [shown, shownTime, pending] = [pending, pendingTime, undefined];
  };
  const sim = new Child<SimLine>(
    "sim/main.ts",
    ["--json", "--control", ...sockets.flatMap((path) => ["--socket", path, "--wire", wire])],
    (line) => {
      if (line.ready || line.total || started === 0 || draining) return;
      [pending, pendingTime] = [line, performance.now()];
    },
    [INLINE_MORE],
  );
  let fwd: Child<FwdLine> | undefined;
  try {
    await sim.line((line) => line.ready === true, START_MS);
    fwd = new Child<FwdLine>(
      "fwd.ts",
      ["--json", ...options, ...sockets.map((path) => `vfio-user:${path}`)],
      (line) => line.ready || show(line),
    );
    await fwd.line((line) => line.ready === true, START_MS);
    if (!json) console.log(HEADER);
    await sim.command("start");
    started = shownTime = performance.now();
    await Promise.race([
      new Promise((resolve) => setTimeout(resolve, seconds * 1000)),
      ...[sim, fwd].map((child) => (child as Child<SimLine>).line(() => false, 1e9)),
    ]);
    await sim.command("stop");
    const span = (performance.now() - started) / 1000;
    draining = true;
    await drain(sim, fwd);
    fwd.terminate();
    const fwdTotal = await fwd.line((line) => line.total === true, START_MS);
    // The model lives until the forwarder has closed its devices.
    const code = await fwd.finish(START_MS);
    if (code !== 0) throw new DeviceError("fwd.ts", `ended with exit code ${code}`);
    await sim.command("quit");
    const simTotal = await sim.line((line) => line.total === true, START_MS);
    return summary(simTotal, fwdTotal, span, best, json);
  } finally {
    await fwd?.kill();
    await sim.kill();
  }
}

/** Prints the totals; returns the exit code. */
function summary(
  sim: SimLine,
  fwd: FwdLine,
  seconds: number,
  best: number,
  json: boolean,
): number {
  const ways = [0, 1].map((i) => count(i, sim, fwd, true));
  const sum = (key: keyof Count) => ways[0][key] + ways[1][key];
  const rate = sum("received") / seconds;
  const violations = sim.violations ?? [];
  if (json) {
    const counts = Object.fromEntries(COUNTS.map((key) => [key, sum(key)]));
    const round = (n: number) => Math.round(n * 1000) / 1000;
    console.log(JSON.stringify({
      mpps: round(rate / 1e6),
      ...counts,
      seconds: round(seconds),
      best: round(best / 1e6),
      violations: violations.length,
    }));
  } else {
    console.log(
      `\nforwarded ${sum("received")} packets in ${seconds.toFixed(1)} s: ` +
        `${packetRate(rate)}, best second ${packetRate(best)}\n` +
        COUNTS.map((key) => `${key} ${sum(key)}`).join(", ") +
        `, violations of the datasheet's rules ${violations.length}`,
    );
  }
  const bad = sum("lost") + sum("reordered") + sum("corrupt") + violations.length;
  return bad > 0 ? 1 : 0;
}

if (import.meta.main) await run(main);
