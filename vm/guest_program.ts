/**
 * A program in the guest, as the host sees it. It does not know how the two talk: `machine.ts` does.
 *
 * @module
 */

/** How a program in the guest ended. */
export interface GuestResult {
  /** Exit code; 128 and the signal's number if a signal ended it. */
  readonly code: number;
  /** What it printed. */
  readonly stdout: string;
  /** What it complained of. */
  readonly stderr: string;
}

/** What a program needs of the machine that it runs on. */
export interface Host {
  /**
   * Waits until a function returns something, which is asked whenever the guest says something.
   *
   * @throws {DeviceError} at the deadline, and if the machine ends before.
   */
  until<T>(what: string, get: () => T | undefined, milliseconds: number): Promise<T>;
  /** Runs a command in the guest. */
  run(command: string): Promise<GuestResult>;
}

/** Takes what a program prints, as it comes. */
export type Print = (stream: "stdout" | "stderr", bytes: Uint8Array) => void;

/** Longest that is waited for a line, or for an end, unless more is said, in milliseconds. */
export const COMMAND_MS = 60000;

/** A program in the guest. */
export class GuestProgram {
  /** The command that started it. */
  readonly command: string;
  readonly #host: Host;
  readonly #print: Print | undefined;
  readonly #output = { stdout: "", stderr: "" };
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  #pid: number | undefined;
  #code: number | undefined;
  #ended = false;
  #read = 0;

  /** For the machine, which starts programs. */
  constructor(host: Host, command: string, print?: Print) {
    this.#host = host;
    this.#print = print;
    this.command = command;
  }

  /** What it has printed so far. */
  get stdout(): string {
    return this.#output.stdout;
  }

  /** What it has complained of so far. */
  get stderr(): string {
    return this.#output.stderr;
  }

  /** Whether it has ended, and all that it printed has arrived. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Waits for the next line on its standard output that passes, and passes over those before it.
   *
   * @returns The line, or undefined if the program has ended without it.
   * @throws {DeviceError} at the deadline, which also ends the machine.
   */
  async line(
    wanted: (line: string) => boolean,
    milliseconds: number = COMMAND_MS,
  ): Promise<string | undefined> {
    const next = (): { line?: string } | undefined => {
      for (;;) {
        const end = this.stdout.indexOf("\n", this.#read);
        if (end < 0) return this.#ended ? {} : undefined;
        const line = this.stdout.slice(this.#read, end);
        this.#read = end + 1;
        if (wanted(line)) return { line };
      }
    };
    return (await this.#host.until(`a line of ${this.#name}`, next, milliseconds)).line;
  }

  /**
   * Waits for its end.
   *
   * @throws {DeviceError} at the deadline, which also ends the machine.
   */
  async finish(milliseconds: number = COMMAND_MS): Promise<GuestResult> {
    const ended = () => this.#ended || undefined;
    await this.#host.until(`the end of ${this.#name}`, ended, milliseconds);
    return { code: this.#code!, ...this.#output };
  }

  /**
   * Sends it a signal: to the program that the command's last part started, which the shell becomes.
   *
   * @param signal Its name without SIG: `INT`.
   */
  async kill(signal: string): Promise<void> {
    const pid = await this.#host.until(`the start of ${this.#name}`, () => this.#pid, COMMAND_MS);
    await this.#host.run(`kill -s ${signal} ${pid}`);
  }

  /** For the machine: takes one message of the guest about this program. */
  receive(kind: string, value: string): void {
    if (kind === "stdout" || kind === "stderr") {
      const bytes = Uint8Array.fromBase64(value);
      this.#print?.(kind, bytes);
      this.#output[kind] += this.#decoders[kind].decode(bytes, { stream: true });
    } else if (kind === "pid") this.#pid = Number(value);
    else if (kind === "code") this.#code = Number(value);
    else if (kind === "end") this.#ended = true;
  }

  get #name(): string {
    return `\`${this.command}\``;
  }
}
