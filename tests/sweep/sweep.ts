/**
 * Runs programs on plain ports, sends them signals at random moments, and checks how they end: DMA off, no
 * process left, totals printed, the exit code, no stack trace, no file left. The next run starts with what
 * this one leaves.
 *
 * @module
 */

import { Command } from "../../src/pci/function.ts";
import { ADDRESSES, type Plain } from "../support/plain_ports.ts";
import { delay } from "../../native/clock.ts";
import { type Program, type Result, TemporaryDirectory, until } from "../support/processes.ts";
import type { Random } from "../support/random.ts";
import type { Target } from "./targets.ts";

/**
 * Signals by number. Those of `CRASHES` end a program without closing: its guards turn DMA off. Real-time
 * signals are missing, because Deno cannot report that one has ended a child process.
 */
export const SIGNALS: Readonly<Record<string, number>> = {
  ...{ HUP: 1, INT: 2, QUIT: 3, ABRT: 6, USR1: 10, USR2: 12, ALRM: 14, TERM: 15, STKFLT: 16 },
  ...{ XCPU: 24, XFSZ: 25, VTALRM: 26, PROF: 27, IO: 29, PWR: 30 },
  ...{ KILL: 9, SEGV: 11, BUS: 7, ILL: 4, TRAP: 5, FPE: 8, SYS: 31 },
};
/** Signals whose handler in Rust's library takes a first one that another process sends. */
const TWICE = ["SEGV", "BUS"];
const CRASHES = ["KILL", "SEGV", "BUS", "ILL", "TRAP", "FPE", "SYS"];

/** How a program is run, and signalled. */
export const WAYS = ["alone", "pair", "timeout", "nohup", "task", "pty", "systemd"] as const;
export type Way = typeof WAYS[number];

/** The longest time for a program to end after its signal, in milliseconds. */
const END_MS = 15000;
/** Time that a program runs by itself: never, or shortly. */
const LONG_S = 600, SHORT_S = 0.2;
/** The longest time between the signals of a pair, in milliseconds. */
const PAIR_MS = 200;

/** A run of a program. */
export interface Run {
  readonly target: Target;
  readonly way: Way;
  readonly signal: string;
  /** When it is sent, in parts of the time until the program is ready. */
  readonly moment: number;
  /** Milliseconds until the second signal. */
  readonly gap: number;
  /** Whether the program ends by itself, shortly after it is ready. */
  readonly short: boolean;
}

/** Draws a run of a program. */
export function draw(target: Target, signal: string, random: Random): Run {
  const some = random.pick(WAYS);
  const way = random.next() < 0.4 || TWICE.includes(signal) ? "alone" : some;
  const short = target.ends && random.next() < 0.3;
  const moment = random.next(), gap = random.whole(1, PAIR_MS);
  return { target, way, signal, moment, gap, short };
}

/** Sends signals to programs, and checks how they end. */
export class Sweep {
  readonly #plain: Plain;
  readonly #directory: TemporaryDirectory;
  /** Milliseconds from the start of a program until it is ready, and until it has ended by itself. */
  readonly #times = new Map<string, { readonly ready: number; readonly end: number }>();

  /** @param directory That of the ports. */
  constructor(plain: Plain, directory: TemporaryDirectory) {
    this.#plain = plain;
    this.#directory = directory;
  }

  /** Runs a program; returns what is wrong with its end. */
  async run(run: Run): Promise<string[]> {
    const { target, way, signal, moment, short } = run;
    const times = this.#times.get(target.name) ?? await this.#measure(target);
    await using directory = await TemporaryDirectory.make();
    const temporary = directory.file("tmp"), work = directory.file("work");
    for (const path of [temporary, work]) Deno.mkdirSync(path);
    const at = moment * (short ? times.end * 1.1 : times.ready * 1.3);
    const command = target.command(work, short ? SHORT_S : LONG_S);
    const wrapped = wrap(way, command, directory, signal, at);
    await using program = this.#start(wrapped, temporary);
    const space = await namespaceOf(program);
    const failures: string[] = [];
    await this.#signal(run, program, at);
    let result: Result;
    try {
      result = await program.finish(END_MS);
    } catch (error) {
      failures.push(`does not end: ${(error as Error).message}`);
      program.kill("SIGKILL");
      result = await program.finish();
    }
    const left = await this.#settles(() => processesIn(space).length === 0);
    if (!left) failures.push(`processes are left: ${processesIn(space).map(nameOf).join()}`);
    for (const pid of processesIn(space)) Deno.kill(pid, "SIGKILL");
    if (!await this.#settles(() => !this.#masters())) failures.push("bus mastering is on");
    const crashed = CRASHES.includes(signal) || way === "systemd" || way === "pty";
    failures.push(...checkResult(run, result));
    if (!(crashed && target.name === "demo")) failures.push(...remains(temporary));
    if (!(crashed && target.name === "sim")) failures.push(...remains(work, ["out.pcap"]));
    return failures;
  }

  #start(command: readonly string[], temporary: string): Program {
    return this.#plain.program(["env", `TMPDIR=${temporary}`, "NO_COLOR=1", ...command]);
  }

  /** Runs a program without a signal, to learn how long it takes. */
  async #measure(target: Target): Promise<{ ready: number; end: number }> {
    await using directory = await TemporaryDirectory.make();
    await using program = this.#start(target.command(directory.path, SHORT_S), directory.path);
    const start = performance.now(), elapsed = () => performance.now() - start;
    let ready = NaN;
    await until(`${target.name} to be ready`, () => {
      return program.ended || target.isReady(program.stdout);
    }, 60000);
    ready = elapsed();
    if (!target.ends) program.kill("SIGTERM");
    const { code, stdout, stderr } = await program.finish(120000);
    const times = { ready, end: elapsed() };
    if (!target.hasTotals(stdout) || (code !== 0 && !target.codes.includes(code))) {
      throw new Error(`${target.name} does not work, code ${code}: ${stdout} ${stderr}`);
    }
    this.#times.set(target.name, times);
    return times;
  }

  /** Sends the signals of a run. */
  async #signal({ way, signal, gap }: Run, program: Program, at: number): Promise<void> {
    if (way === "timeout") return; // it sends the signal
    await delay(at);
    switch (way) {
      case "pair":
        send(program, signal);
        await delay(gap);
        return send(program, signal);
      case "task":
        return send(program, signal, true);
      case "pty":
        return send(program, "KILL"); // the process that has the other side of the terminal
      case "systemd":
        send(program, "TERM");
        await delay(gap);
        return send(program, "KILL", true);
      case "nohup":
        send(program, signal);
        if (signal !== "HUP") return;
        await delay(gap);
        return send(program, "TERM");
      default:
        send(program, signal);
    }
    if (!TWICE.includes(signal)) return;
    await this.#settles(() => {
      send(program, signal);
      return program.ended;
    });
  }

  /** Whether a port can reach memory. */
  #masters(): boolean {
    return ADDRESSES.some((address) => {
      const config = Deno.readFileSync(this.#directory.file(`pci/${address}/config`));
      return (config[4] & Command.BUS_MASTER) !== 0;
    });
  }

  /** Whether a condition holds within five seconds. */
  async #settles(condition: () => boolean): Promise<boolean> {
    for (let looks = 0; looks < 500; looks++) {
      if (condition()) return true;
      await delay(10);
    }
    return condition();
  }
}

/** Returns a command line that runs a program in a way. */
function wrap(
  way: Way,
  command: readonly string[],
  directory: TemporaryDirectory,
  signal: string,
  at: number,
): string[] {
  const quoted = command.map((word) => `'${word}'`).join(" ");
  switch (way) {
    case "timeout":
      return ["timeout", "-s", `${SIGNALS[signal]}`, (at / 1000).toFixed(3), ...command];
    case "nohup":
      return ["nohup", ...command];
    case "task": {
      const config = directory.file("deno.json");
      Deno.writeTextFileSync(config, JSON.stringify({ tasks: { run: quoted } }));
      return ["setsid", Deno.execPath(), "task", "--quiet", "--config", config, "run"];
    }
    case "pty":
      return ["script", "-qfec", `exec ${quoted}`, "/dev/null"];
    case "systemd":
      return ["setsid", ...command];
    default:
      return [...command];
  }
}

/** Sends a signal to a program, or its process group; nothing if it has ended. */
function send(program: Program, signal: string, group = false): void {
  if (program.ended) return;
  const target = group ? `-${program.pid}` : `${program.pid}`;
  const args = [`-${SIGNALS[signal]}`, "--", target];
  new Deno.Command("kill", { args, stderr: "null" }).outputSync();
}

/** Returns what is wrong with a program's exit code and output. */
function checkResult({ target, way, signal }: Run, { code, stdout, stderr }: Result): string[] {
  const failures: string[] = [];
  const numbers = [SIGNALS[signal]];
  if (way === "systemd") numbers.splice(0, 1, SIGNALS.TERM, SIGNALS.KILL);
  if (way === "pty") numbers.splice(0, 1, SIGNALS.KILL);
  if (way === "nohup" && signal === "HUP") numbers.push(SIGNALS.TERM);
  const codes = [0, ...target.codes, ...numbers.map((number) => 128 + number)];
  if (way === "timeout") codes.push(124);
  if (!codes.includes(code)) failures.push(`exit code ${code}`);
  if (/^\s+at |\bpanicked\b/m.test(stderr)) failures.push("stack trace");
  const orderly = code !== 137 && code !== 124 && !numbers.some((number) => {
    return CRASHES.some((name) => SIGNALS[name] === number && code === 128 + number);
  });
  const silent = way === "pty" || (way === "task" && code !== 0);
  if (orderly && !silent && (code === 0 || target.isReady(stdout)) && !target.hasTotals(stdout)) {
    failures.push(`no totals with code ${code}`);
  }
  return failures.length > 0 && stderr !== "" ? [...failures, stderr.trim().slice(-300)] : failures;
}

/** Returns what is left in a directory. */
function remains(directory: string, known: readonly string[] = []): string[] {
  return [...Deno.readDirSync(directory)].filter(({ name }) => !known.includes(name))
    .map(({ name }) => `${name} is left`);
}

/** Returns the mount namespace of a program once it has its own; undefined if it has ended. */
async function namespaceOf(program: Program): Promise<string | undefined> {
  const own = namespace("self");
  for (;;) {
    const its = namespace(`${program.pid}`);
    if (its === undefined || program.ended) return undefined;
    if (its !== own) return its;
    await delay(1);
  }
}

function namespace(pid: string): string | undefined {
  try {
    return Deno.readLinkSync(`/proc/${pid}/ns/mnt`);
  } catch {
    return undefined; // it has ended
  }
}

/** Returns the processes in a mount namespace. */
function processesIn(space: string | undefined): number[] {
  if (space === undefined) return [];
  return [...Deno.readDirSync("/proc")].filter(({ name }) => {
    return /^\d+$/.test(name) && namespace(name) === space;
  }).map(({ name }) => Number(name));
}

function nameOf(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/comm`).trim();
  } catch {
    return `${pid}`; // it has ended
  }
}
