/**
 * A program in the guest, seen from the host. `machine.ts` has the communication with the guest.
 *
 * @module
 */

/** The result of a program in the guest. */
export interface GuestResult {
  /** Exit code; 128 plus the signal's number if a signal ended it. */
  readonly code: number;
  /** Its standard output. */
  readonly stdout: string;
  /** Its standard error. */
  readonly stderr: string;
}

/** What a program needs of its machine. */
export interface Host {
  /**
   * Calls a function after each message of the guest, until it returns a value.
   *
   * @throws {DeviceError} at the deadline, or if the machine ends before.
   */
  until<T>(what: string, get: () => T | undefined, milliseconds: number): Promise<T>;
  /** Runs a command in the guest. */
  run(command: string): Promise<GuestResult>;
}

/** Receives a program's output as it arrives. */
export type Print = (stream: "stdout" | "stderr", bytes: Uint8Array) => void;

/** Default of the longest wait for a line or for the end, in milliseconds. */
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

  /** Creates a program; only the machine, which starts programs, calls this. */
  constructor(host: Host, command: string, print?: Print) {
    this.#host = host;
    this.#print = print;
    this.command = command;
  }

  /** Its standard output so far. */
  get stdout(): string {
    return this.#output.stdout;
  }

  /** Its standard error so far. */
  get stderr(): string {
    return this.#output.stderr;
  }

  /** Whether it has ended and all of its output has arrived. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Waits for the next matching line on its standard output, and skips the lines before it.
   *
   * @returns The line, or undefined if the program ended without it.
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
   * Waits until it ends.
   *
   * @throws {DeviceError} at the deadline, which also ends the machine.
   */
  async finish(milliseconds: number = COMMAND_MS): Promise<GuestResult> {
    const ended = () => this.#ended || undefined;
    await this.#host.until(`the end of ${this.#name}`, ended, milliseconds);
    return { code: this.#code!, ...this.#output };
  }

  /**
   * Sends a signal to its shell, which has become the last program of the command.
   *
   * @param signal The signal's name without SIG: `INT`.
   */
  async kill(signal: string): Promise<void> {
    const pid = await this.#host.until(`the start of ${this.#name}`, () => this.#pid, COMMAND_MS);
    await this.#host.run(`kill -s ${signal} ${pid}`);
  }

  /** Handles a message of the guest about this program; only the machine calls this. */
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
