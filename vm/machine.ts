/**
 * A virtual machine that runs this project in QEMU. Commands and their output use the guest's
 * second serial port; the kernel's log uses the first.
 *
 * Nothing is left behind: the machine has no files, and QEMU ends with the process that started it,
 * even if that process is killed.
 *
 * @module
 */

import { DeviceError } from "../src/errors.ts";
import { Boot, type MachineOptions } from "./boot.ts";
import {
  COMMAND_MS,
  GuestProgram,
  type GuestResult,
  type Host,
  type Print,
} from "./guest_program.ts";

export type { GuestProgram, GuestResult, MachineOptions };

/** Longest that a guest may take to boot, in milliseconds; an emulated one takes about 6 s. */
const BOOT_MS = 120000;
/** Length of the log that is kept, and of its end that an error shows. */
const LOG_CHARACTERS = 65536, TAIL_LINES = 50;
/** Its name in errors. */
const NAME = "virtual machine";

/** A running virtual machine. */
export class Machine implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #programs = new Map<string, GuestProgram>();
  readonly #ended: Promise<void>;
  readonly #host: Host;
  #changed = Promise.withResolvers<void>();
  #gone: string | undefined;
  #ready = false;
  #log = "";
  #line = "";
  #started = 0;

  /**
   * Boots a machine, and waits until it accepts commands.
   *
   * @throws {UsageError} if QEMU or the kernel is missing and cannot be downloaded.
   * @throws {DeviceError} if the guest does not boot; the message shows the end of its log.
   */
  static async boot(options: MachineOptions = {}, milliseconds = BOOT_MS): Promise<Machine> {
    using boot = await Boot.prepare(options);
    const machine = new Machine(boot.command);
    try {
      await machine.#until("it to boot", () => machine.#ready || undefined, milliseconds);
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw error;
    }
    return machine;
  }

  private constructor(command: readonly string[]) {
    const args = [
      ...["--pdeathsig", "KILL", ...command],
      // The guest's log and QEMU's messages share a pipe, since they explain one another.
      ...["-chardev", "file,id=log,path=/dev/stderr", "-serial", "chardev:log"],
      ...["-chardev", "stdio,id=commands,signal=off", "-serial", "chardev:commands"],
    ];
    const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    this.#child = new Deno.Command("setpriv", { args, ...pipes }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#ended = this.#follow();
    this.#host = {
      until: (what, get, milliseconds) => this.#until(what, get, milliseconds),
      run: (command) => this.run(command),
    };
  }

  /** QEMU's process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** The end of the kernel's log and QEMU's messages. */
  get log(): string {
    return this.#log;
  }

  /**
   * Starts a command in the guest, in the project's directory. Does not wait for its end.
   *
   * @param command A command for the guest's shell.
   * @param print Receives its output as it arrives.
   * @throws {DeviceError} if the machine has ended.
   */
  async start(command: string, print?: Print): Promise<GuestProgram> {
    const id = String(++this.#started);
    const program = new GuestProgram(this.#host, command, print);
    this.#programs.set(id, program);
    const line = `${id} ${new TextEncoder().encode(command).toBase64()}\n`;
    try {
      await this.#input.write(new TextEncoder().encode(line));
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe) && this.#gone === undefined) throw error;
      await this.#ended;
      throw this.#failure(`ended before it ran \`${command}\``);
    }
    return program;
  }

  /**
   * Runs a command in the guest's shell, in the project's directory, and waits for its end.
   *
   * @throws {DeviceError} at the deadline, which also ends the machine, or if the machine ends
   * before.
   */
  async run(
    command: string,
    { milliseconds = COMMAND_MS }: { readonly milliseconds?: number } = {},
  ): Promise<GuestResult> {
    return await (await this.start(command)).finish(milliseconds);
  }

  /** Ends the machine at once, without shutting it down. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#gone ??= "was ended";
    try {
      this.#child.kill("SIGKILL");
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended already
    }
    await this.#ended;
    await this.#input.abort().catch(() => {}); // discards input that QEMU did not read
  }

  async #until<T>(what: string, get: () => T | undefined, milliseconds: number): Promise<T> {
    const deadline = performance.now() + milliseconds;
    for (;;) {
      const changed = this.#changed.promise; // before the check, so that no change is missed
      const got = get();
      if (got !== undefined) return got;
      if (this.#gone !== undefined) throw this.#failure(`${this.#gone} while waiting for ${what}`);
      const left = deadline - performance.now();
      if (left <= 0) {
        await this[Symbol.asyncDispose]();
        throw this.#failure(`waited ${milliseconds / 1000} s for ${what}, and ended the machine`);
      }
      await within(changed, left);
    }
  }

  #failure(problem: string): DeviceError {
    const tail = this.#log.trim().split("\n").slice(-TAIL_LINES).map((line) => `  ${line.trim()}`);
    const log = this.#log === "" ? "its log is empty" : "the end of its log:\n";
    return new DeviceError(NAME, `${problem}; ${log}${tail.join("\n").trimEnd()}`);
  }

  /** Reads QEMU's output until QEMU ends. */
  async #follow(): Promise<void> {
    const log = async () => {
      for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) {
        this.#log = (this.#log + text.replaceAll("\r", "")).slice(-LOG_CHARACTERS);
      }
    };
    const commands = async () => {
      for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
        this.#receive(text);
      }
    };
    const [status] = await Promise.all([this.#child.status, log(), commands()]);
    this.#gone ??= this.#log.includes("Kernel panic")
      ? "ended by a kernel panic"
      : status.signal !== null
      ? `was ended by ${status.signal}`
      : status.code === 0
      ? "switched itself off"
      : `ended, since QEMU failed with exit code ${status.code},`;
    this.#notify();
  }

  /** Handles text from the guest: lines "ready" and "ID KIND VALUE". */
  #receive(text: string): void {
    const lines = (this.#line + text).split("\n");
    this.#line = lines.pop()!;
    for (const line of lines) {
      const [id, kind, value = ""] = line.trim().split(" ");
      if (id === "ready") this.#ready = true;
      this.#programs.get(id)?.receive(kind, value);
      if (kind === "end") this.#programs.delete(id);
    }
    this.#notify();
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

/** Waits for a promise, or until the time is over. */
async function within(promise: Promise<void>, milliseconds: number): Promise<void> {
  const timeout = Promise.withResolvers<void>();
  const timer = setTimeout(timeout.resolve, milliseconds);
  await Promise.race([promise, timeout.promise]);
  clearTimeout(timer);
}
