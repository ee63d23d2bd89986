/**
 * What the end-to-end tests share: the software NIC, system tools, directories, waiting for
 * conditions, and assertions about the end of a program. Not a test itself.
 *
 * @module
 */

import { assertEquals, assertMatch } from "@std/assert";
import { delay } from "jsr:@std/async@1/delay";
import { Program, type Result, runProgram as run } from "../../programs/process.ts";
import { TemporaryDirectory } from "../../programs/temporary_directory.ts";

export { Program, type Result, run, TemporaryDirectory };

/** The directory of the project, with a slash at its end. */
export const PROJECT: string = new URL("../../", import.meta.url).pathname;
/** Whether the tests run as root, which devices, namespaces and mounts need. */
export const isRoot: boolean = Deno.uid() === 0;

/** Default deadline for a condition, in milliseconds. */
const DEADLINE_MS = 20000;
/** Milliseconds between checks of a condition. */
const LOOK_MS = 5;

/** Waits until a condition holds; after the deadline, throws an error that names it. */
export async function until(
  what: string | (() => string),
  condition: () => boolean | Promise<boolean>,
  milliseconds = DEADLINE_MS,
): Promise<void> {
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const late = performance.now() > deadline;
    if (await condition()) return;
    if (late) {
      throw new Error(`waited ${milliseconds} ms for ${typeof what === "string" ? what : what()}`);
    }
    await delay(LOOK_MS);
  }
}

/** Fails if a system program is not installed, and says what to install. */
export async function requirePackages(
  ...packages: ("tcpdump" | "tshark" | "iproute2" | "ping" | "ethtool")[]
) {
  const programs = {
    ...{ tcpdump: "tcpdump", tshark: "tshark", iproute2: "ip", ping: "ping", ethtool: "ethtool" },
  };
  for (const name of packages) {
    const { success } = await new Deno.Command("sh", {
      args: ["-c", `command -v ${programs[name]}`],
      stdout: "null",
    }).output();
    const install = name === "ping" ? "iputils-ping" : name;
    if (!success) throw new Error(`this test needs ${name}: apt-get install ${install}`);
  }
}

/** Runs a system program that has to succeed; returns what it prints. */
export async function tool(...command: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command);
  assertEquals(code, 0, `${command.join(" ")}: ${stderr}`);
  return stdout;
}

/** Returns the command line of a program of this project with `--allow-ffi` and flags. */
export function ffiOnly(
  program: string,
  args: readonly string[],
  flags: readonly string[] = [],
): string[] {
  const file = PROJECT + program;
  return [Deno.execPath(), "run", "--quiet", "--no-prompt", "--allow-ffi", ...flags, file, ...args];
}

/** Asserts that a program refused to run: one matching sentence on stderr, and exit code 2. */
export function assertRefused(result: Result, sentence: RegExp): void {
  assertFailed(result, 2, sentence);
  assertEquals(result.stdout, "");
}

/** Asserts that a program failed with one matching sentence on stderr, and no stack trace. */
export function assertFailed(result: Result, code: number, sentence: RegExp): void {
  assertMatch(result.stderr, /^error: [^\n]+\n$/);
  assertMatch(result.stderr, sentence);
  assertEquals(result.code, code, result.stderr);
}

/** A port in a report of the software NIC. */
export interface SimPort {
  readonly connected: boolean;
  readonly counters: Readonly<Record<string, number>>;
  readonly wireStatistics: Readonly<Record<string, number>>;
  /** Rules of the datasheet that were broken, and the number of times in all. */
  readonly violations: number;
  readonly broken: number;
}

/** A report of the software NIC. */
export interface SimReport {
  readonly ports: readonly SimPort[];
  /** What drivers did against the datasheet; in the last report only. */
  readonly violations?: readonly unknown[];
}

/** The software NIC as a process, with a port for each wire. */
export class Sim implements AsyncDisposable {
  /** The ports' addresses, as a driver opens them. */
  readonly addresses: readonly string[];
  /** The process. */
  readonly program: Program;

  private constructor(sockets: readonly string[], program: Program) {
    this.addresses = sockets.map((socket) => `vfio-user:${socket}`);
    this.program = program;
  }

  /**
   * Starts it and waits until its sockets listen, `0.sock`, `1.sock`, … in a directory. Generators
   * wait for the command `start`.
   */
  static async start(
    directory: TemporaryDirectory,
    wires: readonly string[],
    options: readonly string[] = [],
  ): Promise<Sim> {
    const sockets = wires.map((_, i) => directory.file(`${i}.sock`));
    const ports = wires.flatMap((wire, i) => ["--socket", sockets[i], "--wire", wire]);
    // Its standard input is a pipe of this process: if the tests are killed, it ends too. Signals to the
    // process group, as of Ctrl-C, do not end it: it is needed to end the rest in order.
    const args = ["--json", "--quiet", "--control", ...options, ...ports];
    return new Sim(
      sockets,
      await Program.start(ffiOnly("sim/main.ts", args), { detached: true }).ready(),
    );
  }

  /** Sends it a command: `start`, `stop`, `link 0 down`. */
  command(text: string): Promise<void> {
    return this.program.write(text);
  }

  /** Returns its counts. */
  async report(): Promise<SimReport> {
    await this.program.write("stats");
    return JSON.parse(await this.program.line(() => true));
  }

  /** Waits until its counts meet a condition. */
  async reaches(
    what: string,
    condition: (ports: readonly SimPort[]) => boolean,
    milliseconds?: number,
  ): Promise<void> {
    await until(what, async () => condition((await this.report()).ports), milliseconds);
  }

  /**
   * Stops the generators and waits until every frame sent is accounted for: it came back, was
   * missed by its port, or is known to be lost. Then no frame is on its way.
   *
   * @param lost Returns the number of frames that the ports took and that will not come back.
   */
  async drain(lost: () => number | Promise<number>): Promise<void> {
    await this.command("stop");
    let found = {};
    await until(() => `every frame to be accounted for: ${JSON.stringify(found)}`, async () => {
      const known = await lost();
      const wires = (await this.report()).ports.map(({ wireStatistics }) => wireStatistics);
      found = { lost: known, wires };
      const sum = (name: string) => wires.reduce((total, wire) => total + wire[name], 0);
      return sum("received") + sum("missed") + known === sum("sent");
    });
  }

  /** Ends it; asserts that no driver broke a rule of the datasheet. Returns its last counts. */
  async quit(): Promise<readonly SimPort[]> {
    await this.program.write("quit");
    const { code, stdout, stderr } = await this.program.finish();
    const report: SimReport = JSON.parse(stdout.trim().split("\n").at(-1)!);
    assertEquals(report.violations, []);
    assertEquals(stderr, "");
    assertEquals(code, 0);
    return report.ports;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}
