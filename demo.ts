/**
 * Shows the driver at work on a machine without a NIC: `deno task demo`.
 *
 * Three processes: a software NIC with two ports, which generates packets and checks those that
 * come back; the forwarder, which drives both ports as it would drive hardware; and this one, which
 * sums up.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { UsageError } from "./mod.ts";
import { BIT_RATE_WIDTH, bitRate, PACKET_RATE_WIDTH, packetRate } from "./packets/units.ts";
import { command } from "./programs/command_line.ts";
import { decimal, flag, whole } from "./programs/options.ts";
import { out } from "./programs/output.ts";
import { interruptible, type Interruption } from "./programs/interruption.ts";
import { Program } from "./programs/process.ts";
import { WIRE_OVERHEAD } from "./programs/report.ts";
import { run } from "./programs/run.ts";
import { TemporaryDirectory } from "./programs/temporary_directory.ts";
import { INLINE_MORE } from "./sim/v8_flags.ts";

/** What to do. */
interface Plan {
  readonly seconds: number;
  /** Packets a second in each direction; undefined for 10 Gbit/s. */
  readonly rate: number | undefined;
  /** Bytes of a packet, without CRC. */
  readonly size: number;
  readonly batch: number;
  readonly queues: number;
  readonly workers: number;
  readonly json: boolean;
}

/** The command line. */
export const DEMO = command({
  start: "deno task demo",
  about: "Forwards packets between two ports of a software NIC and checks every packet.",
  options: {
    seconds: decimal("seconds to run", { least: 1, most: 86400, default: 10 }),
    rate: whole("packets a second in each direction", {
      ...{ value: "PPS", values: "(default: 10 Gbit/s)", least: 1, most: 1e8, default: undefined },
    }),
    size: whole("bytes of a packet, without CRC", { least: 60, most: 1514, default: 60 }),
    batch: whole("maximum batch size of the forwarder, in packets", {
      ...{ alias: "b", least: 1, most: 256, default: 32 },
    }),
    queues: whole("receive and transmit queues of each port", { least: 1, most: 16, default: 1 }),
    workers: whole("threads of the forwarder that share the queues", {
      ...{ values: "(default 0: its main thread polls all)", least: 0, most: 16, default: 0 },
    }),
    json: flag("print one JSON object as the last line"),
  },
  notes: `missed: the NIC had no free descriptor; dropped: the forwarder's transmit ring was full;
lost: neither, a defect. Exits with 1 if a packet was lost, reordered or corrupt, or if the
forwarder broke a rule of the datasheet. A signal such as Ctrl-C ends it early, with totals.`,
  plan({ values }): Plan {
    const { workers, queues } = values;
    if (workers > queues) {
      throw new UsageError(
        `--workers ${workers} needs at least as many queues: use --queues ${workers}`,
      );
    }
    return values;
  },
});

/** Flows in each direction, if they have to spread over several queues. */
const FLOWS = 64;
/** The longest time for packets to drain, and the time between checks, in milliseconds. */
const DRAIN_MS = 3000, LOOK_MS = 50;
/** Characters to keep of what a program printed. */
const KEEP = 65536;

/** What the software NIC prints every second, as far as it matters here. */
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
  /** What the driver did against the datasheet; the software NIC has printed it on stderr. */
  violations?: unknown[];
}

/** What the forwarder prints every second, as far as it matters here. */
interface FwdLine {
  ready?: boolean;
  total?: boolean;
  seconds: number;
  ports: { dropped: number }[];
}

/**
 * Starts a program of this project that prints lines of JSON. Ctrl-C does not reach it: this program ends
 * both programs in order.
 */
function start(program: string, flags: string[], args: string[], onLine: (line: string) => void) {
  const url = new URL(program, import.meta.url).href;
  const command = [Deno.execPath(), "run", "--quiet", "--allow-ffi", ...flags, url, ...args];
  return Program.start(command, {
    ...{ name: program, stderr: "inherit", keep: KEEP, onLine, detached: true },
  });
}

/**
 * Returns the options for the forwarder's rings. Three processes may share two cores. At a rate
 * that the forwarder can sustain, rings have to hold what arrives in the milliseconds in which it
 * does not run; without a limit, smaller rings are faster.
 */
function rings(rate: number | undefined): string[] {
  return rate !== undefined ? ["--rx-entries", "4096", "--tx-entries", "4096"] : [];
}

/** Counts of one direction, from port `i` to the other. */
interface Count {
  received: number;
  missed: number;
  dropped: number;
  lost: number;
  reordered: number;
  corrupt: number;
}

/**
 * Returns the counts of a direction. A packet that did not arrive and was neither missed nor
 * dropped is lost. While packets are on their way, only gaps in the sequence count, and drops come
 * from a later line, so that no packet seems lost that is not.
 */
function count(i: number, sim: SimLine, fwd: FwdLine, drained: boolean): Count {
  const { sent, missed } = sim.ports[i].wireStatistics;
  const { received, reordered, corrupt, gap } = sim.ports[1 - i].wireStatistics;
  const dropped = fwd.ports[1 - i].dropped;
  const missing = drained ? sent - received : gap;
  const lost = Math.max(0, missing - missed - dropped);
  return { received, missed, dropped, lost, reordered, corrupt };
}

/** Waits until every packet sent has come back, or was missed or dropped: see `count`. */
async function drain(sim: Program, said: () => FwdLine | undefined): Promise<void> {
  const deadline = performance.now() + DRAIN_MS;
  for (;;) {
    const late = performance.now() >= deadline;
    const line = await sim.ask("stats", ({ ports }: SimLine) => ports !== undefined);
    const fwd = said(); // the forwarder's next line has the last drops
    if (fwd && [0, 1].every((i) => count(i, line, fwd, true).lost === 0)) return;
    if (late) return; // the rest is lost
    await delay(LOOK_MS);
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

/** Returns a line of the table: what port `i` has sent, at `rate` packets of this size a second. */
function row(i: number, time: number, c: Count, rate: number, size: number): string {
  return [
    time.toFixed(1).padStart(6),
    i === 0 ? "A -> B" : "B -> A",
    packetRate(rate).padStart(PACKET_RATE_WIDTH),
    bitRate(rate * (size + WIRE_OVERHEAD) * 8).padStart(BIT_RATE_WIDTH),
    ...COUNTS.map((name) => String(c[name]).padStart(COUNT_WIDTH)),
  ].join("  ");
}

async function main(plan: Plan, interruption: Interruption): Promise<number> {
  await using directory = await TemporaryDirectory.make();
  return await forward(directory, plan, interruption);
}

async function forward(
  directory: TemporaryDirectory,
  plan: Plan,
  interruption: Interruption,
): Promise<number> {
  const { seconds, rate, size, batch, queues, workers, json } = plan;
  const wire = `generator:size=${size}${rate === undefined ? "" : `,rate=${rate}`}` +
    (queues > 1 ? `,flows=${FLOWS}` : "");
  const options = [
    ...["--batch", String(batch), "--queues", String(queues), "--workers", String(workers)],
    ...rings(rate),
  ];
  // Workers need permission to read their modules.
  const flags = workers > 0 ? [`--allow-read=${new URL("./", import.meta.url).pathname}`] : [];
  const sockets = [directory.file("a.sock"), directory.file("b.sock")];
  // A line of the software NIC is shown once the forwarder's next line has come: see `count`.
  let shown: SimLine | undefined, shownTime = 0, pending: SimLine | undefined, pendingTime = 0;
  let best = 0, started = 0, draining = false;
  const gone = Promise.withResolvers<void>(); // the reader of the table
  const show = (fwd: FwdLine) => {
    if (pending === undefined || fwd.total) return;
    const span = (pendingTime - shownTime) / 1000;
    let sum = 0;
    for (const i of [0, 1]) {
      const c = count(i, pending, fwd, false);
      const before = shown?.ports[1 - i].wireStatistics.received ?? 0;
      const rate = (c.received - before) / span;
      sum += rate;
      if (!json) out.print(row(i, (pendingTime - started) / 1000, c, rate, size));
    }
    best = Math.max(best, sum);
    [shown, shownTime, pending] = [pending, pendingTime, undefined];
    if (out.readerGone) gone.resolve();
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
  await interruption.orEnd(sim.ready());
  let said: FwdLine | undefined;
  await using fwd = start(
    "fwd.ts",
    flags,
    ["--json", ...options, ...sockets.map((path) => `vfio-user:${path}`)],
    (text) => {
      const line: FwdLine = JSON.parse(text);
      if (!line.ready) show(said = line);
    },
  );
  await interruption.orEnd(fwd.ready());
  if (!json) out.print(HEADER);
  await sim.write("start");
  started = shownTime = performance.now();
  const early = [interruption.caught, gone.promise, sim.fail(), fwd.fail()];
  await Promise.race([delay(seconds * 1000), ...early]);
  await sim.write("stop");
  const span = (performance.now() - started) / 1000;
  draining = true;
  await drain(sim, () => said);
  fwd.kill("SIGTERM");
  const fwdTotal = await fwd.json(({ total }: FwdLine) => total === true);
  await fwd.succeed(); // the software NIC has to outlive the forwarder, which closes its devices
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
  const rate = sum("received") / seconds;
  const violations = sim.violations ?? [];
  if (json) {
    const counts = Object.fromEntries(COUNTS.map((key) => [key, sum(key)]));
    const round = (n: number) => Math.round(n * 1000) / 1000;
    out.print(JSON.stringify({
      mpps: round(rate / 1e6),
      ...counts,
      seconds: round(seconds),
      best: round(best / 1e6),
      violations: violations.length,
    }));
  } else {
    out.print(
      `\nforwarded ${sum("received")} packets in ${seconds.toFixed(1)} s: ` +
        `${packetRate(rate)}, best second ${packetRate(best)}\n` +
        COUNTS.map((key) => `${key} ${sum(key)}`).join(", ") +
        `, violations of the datasheet's rules ${violations.length}`,
    );
  }
  const bad = sum("lost") + sum("reordered") + sum("corrupt") + violations.length;
  return bad > 0 ? 1 : 0;
}

if (import.meta.main) await run(DEMO, interruptible(main));
