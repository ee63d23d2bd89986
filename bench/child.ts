/**
 * A program that the bench runs on cores of its own: what it says is read, line by line, and it does
 * not outlive the bench.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";
import { DeviceError, UsageError } from "../src/errors.ts";

/** Signals that end the bench, and with it what it runs. */
const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** Bytes of a program's complaints that are kept: the last ones. */
const COMPLAINTS = 4000;

/** A line of JSON that a program prints. */
export interface Line {
  readonly ready?: boolean;
  readonly total?: boolean;
}

/**
 * Starts taskset.
 *
 * @throws {UsageError} if this machine has none.
 */
function spawn(args: string[]): Deno.ChildProcess {
  const cwd = new URL("..", import.meta.url);
  const pipes = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  try {
    return new Deno.Command("taskset", { args, cwd, ...pipes }).spawn();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new UsageError("the bench puts programs on cores by taskset: apt-get install util-linux");
  }
}

/** A running program. */
export class Child<L extends Line = Line> implements AsyncDisposable {
  readonly #name: string;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #output: Promise<unknown>;
  readonly #waiting = new Set<(line: L) => void>();
  #complaints = "";
  #ended = false;

  /**
   * Starts a program.
   *
   * @param name What to call it in messages.
   * @param cores The cores that it may use.
   * @param command The program and its arguments.
   */
  constructor(name: string, cores: readonly number[], command: readonly string[]) {
    this.#name = name;
    this.#process = spawn(["-c", cores.join(), ...command]);
    this.#input = this.#process.stdin.getWriter();
    this.#output = Promise.all([this.#readLines(), this.#readComplaints()]);
    this.#process.status.then(() => this.#output).then(() => this.#ended = true);
    for (const signal of SIGNALS) Deno.addSignalListener(signal, this.#end);
  }

  /** Its process id. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Whether it has ended. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What it has printed on its standard error. */
  get complaints(): string {
    return this.#complaints.trim();
  }

  /**
   * Waits for a line of JSON.
   *
   * @throws {DeviceError} if the program ends or none comes in time.
   */
  async line(test: (line: L) => boolean, milliseconds: number): Promise<L> {
    let hear!: (line: L) => void;
    const line = new Promise<L>((resolve) => {
      hear = (candidate) => test(candidate) && resolve(candidate);
      this.#waiting.add(hear);
    });
    try {
      return await this.#withDeadline(line, `said nothing for ${milliseconds} ms`, milliseconds);
    } finally {
      this.#waiting.delete(hear);
    }
  }

  /**
   * Gives it a command on its standard input.
   *
   * @throws {DeviceError} if it has ended.
   */
  async command(text: string): Promise<void> {
    try {
      await this.#input.write(new TextEncoder().encode(text + "\n"));
    } catch (error) {
      if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
      throw this.#failure(`ended with exit code ${(await this.#process.status).code}`);
    }
  }

  /** Sends it a signal; nothing happens if it has ended. */
  signal(signal: Deno.Signal): void {
    try {
      this.#process.kill(signal);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // it has ended already
    }
  }

  /**
   * Waits for its end, which has to be in good order.
   *
   * @throws {DeviceError} if it does not end in time or with an exit code other than 0.
   */
  async finish(milliseconds: number): Promise<void> {
    const late = `did not end within ${milliseconds} ms`;
    const { code } = await this.#withDeadline(this.#process.status, late, milliseconds, false);
    await this.#output;
    if (code !== 0) throw this.#failure(`ended with exit code ${code}`);
  }

  /** Ends it whatever it does. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.#process.status;
    await this.#output;
  }

  /** Sees to it that it has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, this.#end);
    await this.kill();
    await this.#input.close().catch(() => {}); // a pipe that nobody reads is as good as closed
  }

  /**
   * The bench is to end. A program that is stopped would stay; and whoever waits for this one then
   * hears that it has ended, and cleans up.
   */
  readonly #end = (): void => this.signal("SIGKILL");

  async #withDeadline<T>(
    wanted: Promise<T>,
    complaint: string,
    milliseconds: number,
    untilEnd = true,
  ): Promise<T> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#failure(complaint)), milliseconds);
    });
    const ended = this.#process.status.then(async ({ code }) => {
      if (!untilEnd) return await late;
      await this.#output; // its last lines
      throw this.#failure(`ended with exit code ${code}`);
    });
    for (const promise of [late, ended]) promise.catch(() => {});
    try {
      return await Promise.race([wanted, late, ended]);
    } finally {
      clearTimeout(timer);
    }
  }

  #failure(what: string): DeviceError {
    const said = this.complaints === "" ? "" : `; it printed: ${this.complaints.slice(-500)}`;
    return new DeviceError(this.#name, what + said.replaceAll("\n", " | "));
  }

  async #readLines(): Promise<void> {
    const lines = this.#process.stdout.pipeThrough(new TextDecoderStream())
      .pipeThrough(new TextLineStream() as TransformStream<string, string>);
    for await (const text of lines) {
      if (!text.startsWith("{")) continue;
      const line: L = JSON.parse(text);
      for (const hear of this.#waiting) hear(line);
    }
  }

  async #readComplaints(): Promise<void> {
    for await (const text of this.#process.stderr.pipeThrough(new TextDecoderStream())) {
      this.#complaints = (this.#complaints + text).slice(-COMPLAINTS);
    }
  }
}
