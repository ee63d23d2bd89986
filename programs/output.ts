/**
 * The lines that programs print. Printing never waits for a reader, so a terminal that is stopped (Ctrl-S),
 * a full pipe or a full disk cannot stop a program that forwards packets.
 *
 * @module
 */

import { standardError, standardOutput, type StandardStream } from "../native/standard_stream.ts";
import { Errno, SystemError } from "../native/stubs.ts";

/** Lines that wait for a slow reader. If there are more, the oldest are dropped. */
const MAX_WAITING = 64;
/** Milliseconds between two attempts to print what waits. */
const RETRY_MS = 10;
/** The longest time to wait at the end for a slow reader, in milliseconds. */
const END_MS = 500;

/** The exit code that a shell gives a program that SIGPIPE ended. */
export const READER_GONE = 141;

/** Prints lines to a standard stream. */
export class Output {
  readonly #stream: Pick<StandardStream, "name" | "write" | "hasRoom">;
  /** Lines that were not written yet; the first may be written in part. */
  #waiting: Uint8Array<ArrayBuffer>[] = [];
  /** Bytes of the first waiting line that were written. */
  #done = 0;
  /** When to try again, by `performance.now()`. */
  #retryAt = 0;
  #dropped = 0;
  #failure: SystemError | undefined;
  #readerGone = false;

  constructor(stream: Pick<StandardStream, "name" | "write" | "hasRoom">) {
    this.#stream = stream;
  }

  /** Whether the process at the other end of the pipe has closed it. */
  get readerGone(): boolean {
    return this.#readerGone;
  }

  /** The last error of a write, other than that the reader is gone. */
  get failure(): SystemError | undefined {
    return this.#failure;
  }

  /** Lines that were dropped: the reader was too slow, or a write failed. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Prints a line without waiting. What the reader does not take now is tried again with the next line, and
   * by {@linkcode Output.retry}.
   */
  readonly print = (line: string): void => {
    this.#append(line);
    this.#write();
    if (this.#waiting.length <= MAX_WAITING) return;
    const first = this.#done > 0 ? 1 : 0; // the rest of a line that was begun stays
    this.#waiting.splice(first, 1);
    this.#dropped++;
  };

  /**
   * Tries again to print what waits, a hundred times a second at most. Loops call it often: the next line
   * may be a second away, or never come.
   */
  retry(): void {
    if (this.#waiting.length === 0) return;
    const now = performance.now();
    if (now < this.#retryAt) return;
    this.#retryAt = now + RETRY_MS;
    this.#write();
  }

  /** Prints lines and waits until their reader has taken them. For programs that then end. */
  printAndWait(lines: Iterable<string>): void {
    for (const line of lines) this.#append(line);
    this.#finish(Infinity);
  }

  /** Gives the reader half a second to take the waiting lines, and drops those that it does not take. */
  finish(): void {
    this.#finish(END_MS);
    this.#dropped += this.#waiting.length;
    this.#waiting = [];
  }

  /** Returns a sentence about dropped lines; undefined if there are none, or nobody reads. */
  complaint(): string | undefined {
    const n = this.#dropped;
    if (n === 0 || this.#readerGone) return undefined;
    const why = this.#failure?.message ?? `${this.#stream.name}: its reader was too slow`;
    return `${why}: ${n} ${n === 1 ? "line was" : "lines were"} not printed`;
  }

  #append(line: string): void {
    this.#waiting.push(new TextEncoder().encode(line + "\n"));
  }

  #finish(milliseconds: number): void {
    const end = performance.now() + milliseconds;
    for (;;) {
      this.#write();
      const left = end - performance.now();
      if (this.#waiting.length === 0 || left <= 0) return;
      this.#stream.hasRoom(left);
    }
  }

  /** Writes waiting lines as far as that does not wait. */
  #write(): void {
    while (this.#waiting.length > 0) {
      const line = this.#waiting[0], written = this.#stream.write(line.subarray(this.#done));
      if (written === -Errno.EAGAIN) return;
      if (written < 0) {
        if (written === -Errno.EPIPE) this.#readerGone = true;
        else this.#failure = new SystemError(this.#stream.name, -written);
        this.#dropped++;
      } else {
        this.#done += written;
        if (this.#done < line.length) continue;
      }
      this.#waiting.shift();
      this.#done = 0;
    }
  }
}

/** The standard output. */
export const out: Output = new Output(standardOutput);
/** The standard error. */
export const err: Output = new Output(standardError);

/**
 * Ends the output: lets readers take what waits, and says how many lines were dropped, on a stream that
 * works.
 *
 * @param code The exit code so far.
 * @returns The exit code: instead of 0, 1 if a write to the standard output failed, and
 * {@linkcode READER_GONE} if its reader is gone.
 */
export function endOutput(code: number): number {
  out.finish();
  err.finish();
  const failed = out.failure !== undefined;
  const complaint = out.complaint();
  if (complaint !== undefined) err.print(`${failed ? "error" : "warning"}: ${complaint}`);
  else if (err.complaint() !== undefined) out.print(`warning: ${err.complaint()}`);
  if (out.readerGone) return code || READER_GONE;
  return code || Number(failed);
}
