/**
 * Shows the driver at work on a machine without a NIC: `deno task demo`.
 *
 * Three processes: a software NIC with two ports, which generates packets and checks what comes back;
 * the forwarder, which drives both ports as it would drive hardware; and this one, which adds up.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { UsageError } from "./mod.ts";
import { Program } from "./programs/process.ts";
import { number, parse, run } from "./programs/program.ts";
import { WIRE_OVERHEAD } from "./programs/report.ts";
import { TemporaryDirectory } from "./programs/temporary_directory.ts";
import { INLINE_MORE } from "./sim/v8_flags.ts";

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
/** Longest that packets may take to drain, and between looks, in milliseconds. */
const DRAIN_MS = 3000, LOOK_MS = 50;
/** How much of what a program printed is kept, in characters. */
const KEEP = 65536;

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

/** Starts a program of this project that prints lines of JSON; it ends with this one. */
function start(program: string, flags: string[], args: string[], onLine: (line: string) => void) {
  const url = new URL(program, import.meta.url).href;
  const command = [Deno.execPath(), "run", "--quiet", "--allow-ffi", ...flags, url, ...args];
  return Program.start(command, {
    ...{ name: program, stderr: "inherit", keep: KEEP, onLine, signals: true },
  });
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
async function drain(sim: Program, said: () => FwdLine | undefined): Promise<void> {
  const deadline = performance.now() + DRAIN_MS;
  for (;;) {
    const line = await sim.ask("stats", ({ ports }: SimLine) => ports !== undefined);
    const fwd = said(); // its next line has the last drops
    if (fwd && [0, 1].every((i) => count(i, line, fwd, true).lost === 0)) return;
    if (performance.now() > deadline) return; // what has not come by now is lost
    await delay(LOOK_MS);
  }
}

function row(i: number, time: number, c: Count, mpps: number, size: number): string {
  const mbit = mpps * (size + WIRE_OVERHEAD) * 8;
  const cells = [c.missed, c.dropped, c.lost, c.reordered, c.corrupt];
  return `${time.toFixed(1).padStart(6)}  ${i === 0 ? "A -> B" : "B -> A"} ${
    mpps.toFixed(2).padStart(7)
  } ${mbit.toFixed(0).padStart(7)} ${cells.map((n) => String(n).padStart(10)).join(" ")}`;
}

const HEADER =
  "  time  ports      Mpps  Mbit/s     missed    dropped       lost  reordered    corrupt";

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
  await using directory = await TemporaryDirectory.make();
  return await forward(directory, wire, seconds, size, json, [
    ...["--batch", String(batch), ...threads, ...rings(rate)],
  ]);
}

async function forward(
  directory: TemporaryDirectory,
  wire: string,
  seconds: number,
  size: number,
  json: boolean,
  options: readonly string[],
): Promise<number> {
  const sockets = [directory.file("a.sock"), directory.file("b.sock")];
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
      const mpps = (c.received - before) / span / 1e6;
      sum += mpps;
      if (!json) console.log(row(i, (pendingTime - started) / 1000, c, mpps, size));
    }
    best = Math.max(best, sum);
    [shown, shownTime, pending] = [pending, pendingTime, undefined];
  };
  await using sim = start(
    "sim/main.ts",
    [INLINE_MORE],
    ["--json", "--control", ...sockets.flatMap((path) => ["--socket", path, "--wire", wire])],
    (text) => {
      const line: SimLine = JSON.parse(text);
      if (line.ready || line.total || started === 0 || draining) return;
      [pending, pendingTime] = [line, performance.now()];
    },
  );
  await sim.ready();
  let said: FwdLine | undefined;
  await using fwd = start(
    "fwd.ts",
    [],
    ["--json", ...options, ...sockets.map((path) => `vfio-user:${path}`)],
    (text) => {
      const line: FwdLine = JSON.parse(text);
      if (!line.ready) show(said = line);
    },
  );
  await fwd.ready();
  if (!json) console.log(HEADER);
  await sim.write("start");
  started = shownTime = performance.now();
  await Promise.race([delay(seconds * 1000), sim.fail(), fwd.fail()]);
  await sim.write("stop");
  const span = (performance.now() - started) / 1000;
  draining = true;
  await drain(sim, () => said);
  fwd.kill("SIGTERM");
  const fwdTotal = await fwd.json(({ total }: FwdLine) => total === true);
  await fwd.succeed(); // the model lives until the forwarder has closed its devices
  const simTotal = await sim.ask("quit", ({ total }: SimLine) => total === true);
  return summary(simTotal, fwdTotal, span, best, json);
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
  const mpps = sum("received") / seconds / 1e6;
  const violations = sim.violations ?? [];
  const keys = ["missed", "dropped", "lost", "reordered", "corrupt"] as const;
  if (json) {
    const counts = Object.fromEntries(keys.map((key) => [key, sum(key)]));
    const round = (n: number) => Math.round(n * 1000) / 1000;
    console.log(JSON.stringify({
      mpps: round(mpps),
      ...counts,
      seconds: round(seconds),
      best: round(best),
      violations: violations.length,
    }));
  } else {
    console.log(
      `\nforwarded ${sum("received")} packets in ${seconds.toFixed(1)} s: ${
        mpps.toFixed(2)
      } Mpps, ` +
        `best second ${best.toFixed(2)} Mpps\n` +
        keys.map((key) => `${key} ${sum(key)}`).join(", ") +
        `, violations of the datasheet's rules ${violations.length}`,
    );
  }
  const bad = sum("lost") + sum("reordered") + sum("corrupt") + violations.length;
  return bad > 0 ? 1 : 0;
}

if (import.meta.main) await run(main);
