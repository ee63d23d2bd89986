/**
 * Programs as child processes: starts them, writes and reads lines, waits for them, and ends them
 * with the parent.
 *
 * @module
 */

import { DeviceError } from "../src/errors.ts";
import { Interruption } from "./interruption.ts";

/** Deadline for a program to start, to answer and to end, in milliseconds. */
const DEADLINE_MS = 20000;
/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE_MS = 2000;
/** Characters of each output that an error shows. */
const SHOWN = 500;

/** How a program ended. */
export interface Result {
  /** Exit code; 128 and the signal's number if a signal ended it. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Options of {@linkcode Program.start}. */
export interface ProgramOptions {
  /** Its name in errors; default: its command line. */
  readonly name?: string;
  /** Directory to run it in. */
  readonly cwd?: string;
  /** Environment variables to add. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where its standard error goes; default: `piped`, to {@linkcode Program.stderr}. */
  readonly stderr?: "piped" | "inherit";
  /** Characters of each output to keep, the last lines; default: all. */
  readonly keep?: number;
  /** Called with each line of its standard output as it arrives. */
  readonly onLine?: (line: string) => void;
  /** Whether a signal that {@linkcode Interruption} catches kills the program, even if it is stopped. */
  readonly signals?: boolean;
  /** Whether it has a session of its own, so that signals of the terminal do not reach it. */
  readonly detached?: boolean;
}

/** A program that runs until it ends or is disposed of. */
export class Program implements AsyncDisposable {
  readonly #name: string;
  readonly #keep: number;
  readonly #onLine: ((line: string) => void) | undefined;
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #ended: Promise<void>;
  /** Whether its standard error is piped. */
  readonly #complaints: boolean;
  readonly #interrupted: AbortSignal | undefined;
  /** Stops the reading of its outputs. */
  readonly #unread = new AbortController();
  readonly #output = { stdout: "", stderr: "" };
  #result: Result | undefined;
  /** Whether a signal to this process has killed it. */
  #stopped = false;
  /** Where the lines start in stdout that `onLine`, and that `line`, have not had yet. */
  #heard = 0;
  #read = 0;
  #changed = Promise.withResolvers<void>();

  /**
   * Starts a program: its path, then its arguments.
   *
   * @throws {Deno.errors.NotFound} if the program does not exist.
   */
  static start(command: readonly string[], options: ProgramOptions = {}): Program {
    return new Program(command, options);
  }

  private constructor([program, ...args]: readonly string[], options: ProgramOptions) {
    const { name = [program, ...args].join(" "), keep = Infinity, onLine, signals } = options;
    const { cwd, env, stderr = "piped", detached = false } = options;
    this.#name = name;
    this.#keep = keep;
    this.#onLine = onLine;
    this.#child = new Deno.Command(program, {
      args,
      ...(cwd !== undefined && { cwd }),
      ...(env !== undefined && { env }),
      stdin: "piped",
      stdout: "piped",
      stderr,
      detached,
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#interrupted = signals ? Interruption.current?.signal : undefined;
    this.#interrupted?.addEventListener("abort", this.#onSignal);
    if (this.#interrupted?.aborted) this.#onSignal();
    this.#complaints = stderr === "piped";
    this.#ended = this.#follow();
  }

  /** Its process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Whether it has ended. */
  get ended(): boolean {
    return this.#result !== undefined;
  }

  /** The part of its standard output that is kept. */
  get stdout(): string {
    return this.#output.stdout;
  }

  /** The part of its standard error that is kept. */
  get stderr(): string {
    return this.#output.stderr;
  }

  /**
   * Waits for the next line on its standard output that passes `wanted`, and skips the lines before
   * it.
   *
   * @throws {DeviceError} if the program ends first, or no such line arrives in time.
   */
  async line(wanted: (line: string) => boolean, milliseconds = DEADLINE_MS): Promise<string> {
    const late = `did not print the expected line within ${milliseconds} ms`;
    return await this.#until(late, milliseconds, (): string | undefined => {
      for (let line; (line = this.#lineAt(this.#read)) !== undefined;) {
        this.#read += line.length + 1;
        if (wanted(line)) return line;
      }
      if (this.#result) throw this.#failure(`ended with exit code ${this.#result.code}`);
    });
  }

  /**
   * Waits for the next line that is a JSON object and passes `wanted`, and skips all others.
   *
   * @throws {DeviceError} if the program ends first, or no such line arrives in time.
   */
  async json<Line>(wanted: (line: Line) => boolean, milliseconds = DEADLINE_MS): Promise<Line> {
    let found!: Line;
    await this.line(
      (text) => text.startsWith("{") && wanted(found = JSON.parse(text)),
      milliseconds,
    );
    return found;
  }

  /**
   * Waits for the line that programs of this project print once their devices are open.
   *
   * @returns The program.
   * @throws {DeviceError} if the line does not arrive in time; the program has ended by then.
   */
  async ready(milliseconds = DEADLINE_MS): Promise<this> {
    try {
      await this.json(({ ready }: { ready?: boolean }) => ready === true, milliseconds);
      return this;
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Writes a line to its standard input.
   *
   * @throws {DeviceError} if it has ended.
   */
  async write(line: string): Promise<void> {
    try {
      await this.#input.write(new TextEncoder().encode(line + "\n"));
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      await this.fail();
    }
  }

  /**
   * Writes a line to its standard input and waits for the first JSON line after it that passes
   * `wanted`.
   *
   * @throws {DeviceError} if the program ends first, or no such line arrives in time.
   */
  async ask<Line>(
    line: string,
    wanted: (line: Line) => boolean,
    milliseconds = DEADLINE_MS,
  ): Promise<Line> {
    this.#read = this.#output.stdout.lastIndexOf("\n") + 1;
    await this.write(line);
    return await this.json(wanted, milliseconds);
  }

  /** Sends it a signal; ignored if it has ended. */
  kill(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended already
    }
  }

  /**
   * Waits until it ends, with any exit code.
   *
   * @throws {DeviceError} if it does not end in time.
   */
  async finish(milliseconds = DEADLINE_MS): Promise<Result> {
    const late = `did not end within ${milliseconds} ms`;
    return await this.#until(late, milliseconds, () => this.#result);
  }

  /**
   * Waits until it ends with exit code 0.
   *
   * @throws {DeviceError} if it does not end in time, or with another exit code.
   */
  async succeed(milliseconds = DEADLINE_MS): Promise<Result> {
    const result = await this.finish(milliseconds);
    if (result.code !== 0) throw this.#failure(`ended with exit code ${result.code}`);
    return result;
  }

  /**
   * Waits until it ends, where that is an error.
   *
   * @throws {DeviceError} once it ends.
   */
  async fail(): Promise<never> {
    await this.#ended;
    throw this.#failure(`ended with exit code ${this.#result!.code}`);
  }

  /**
   * Ends it: with SIGTERM first, so that it can end its own child processes. Idempotent.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = this.#input.close().catch(() => {}); // fails if the program has closed it
    this.kill("SIGTERM");
    const timer = setTimeout(() => {
      this.kill("SIGKILL");
      this.#unread.abort(); // its child processes may outlive it and hold its outputs
    }, GRACE_MS);
    await this.#ended;
    clearTimeout(timer);
    await closed; // after the end only: it waits for unread input
    this.#interrupted?.removeEventListener("abort", this.#onSignal);
  }

  /**
   * Kills the program, because this process has to end: code that waits for the program then gets
   * an error and cleans up. SIGKILL, because a stopped process takes no other signal.
   */
  readonly #onSignal = (): void => {
    this.#stopped = true;
    this.kill("SIGKILL");
  };

  /** Calls `get` after each change until it returns a result. */
  async #until<T>(late: string, milliseconds: number, get: () => T | undefined): Promise<T> {
    let over = false;
    const timer = setTimeout(() => {
      over = true;
      this.#notify();
    }, milliseconds);
    try {
      for (;;) {
        const changed = this.#changed.promise; // before `get`, so that no change is lost
        const got = get();
        if (got !== undefined) return got;
        if (over) throw this.#failure(late);
        await changed;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #failure(problem: string): DeviceError {
    if (this.#stopped) {
      return new DeviceError(this.#name, "was killed, because this program got a signal");
    }
    if (!this.#complaints) {
      return new DeviceError(this.#name, `${problem}: see its messages above`);
    }
    const printed = [this.#output.stderr, this.#output.stdout].map((text) => text.trim())
      .filter((text) => text !== "").map((text) => text.slice(-SHOWN).replaceAll("\n", " | "));
    return new DeviceError(
      this.#name,
      printed.length > 0 ? `${problem}; it printed: ${printed.join(" and ")}` : problem,
    );
  }

  async #follow(): Promise<void> {
    const [{ code }] = await Promise.all([
      this.#child.status,
      this.#collect("stdout"),
      ...(this.#complaints ? [this.#collect("stderr")] : []),
    ]);
    this.#result = { code, ...this.#output };
    this.#notify();
  }

  async #collect(stream: "stdout" | "stderr"): Promise<void> {
    const { signal } = this.#unread;
    try {
      const texts = this.#child[stream].pipeThrough(new TextDecoderStream(), { signal });
      for await (const text of texts) {
        this.#output[stream] += text;
        if (stream === "stdout") this.#hear();
        this.#forget(stream);
        this.#notify();
      }
    } catch (error) {
      if (error !== signal.reason) throw error;
    }
  }

  #hear(): void {
    for (let line; (line = this.#lineAt(this.#heard)) !== undefined;) {
      this.#heard += line.length + 1;
      this.#onLine?.(line);
    }
  }

  /** Returns the line of stdout that starts there, if it is complete. */
  #lineAt(start: number): string | undefined {
    const { stdout } = this.#output, end = stdout.indexOf("\n", start);
    return end < 0 ? undefined : stdout.slice(start, end);
  }

  /** Drops the first lines, once an output is twice as long as the part to keep. */
  #forget(stream: "stdout" | "stderr"): void {
    const text = this.#output[stream];
    if (text.length < 2 * this.#keep) return;
    const dropped = text.lastIndexOf("\n", text.length - this.#keep) + 1;
    this.#output[stream] = text.slice(dropped);
    if (stream === "stderr") return;
    this.#heard = Math.max(0, this.#heard - dropped);
    this.#read = Math.max(0, this.#read - dropped);
  }
}

/** Runs a program until it ends, with any exit code. */
export async function runProgram(
  command: readonly string[],
  options: ProgramOptions & { readonly milliseconds?: number } = {},
): Promise<Result> {
  const { milliseconds, ...rest } = options;
  await using program = Program.start(command, rest);
  return await program.finish(milliseconds);
}
