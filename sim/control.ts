/**
 * Commands to a running model, one per line on stdin.
 *
 * @module
 */

import { Errno, stubs } from "../native/stubs.ts";
import { err } from "../programs/output.ts";
import { type Port, setSenders } from "./port.ts";
import type { Report } from "./report.ts";

/** File descriptor of stdin. */
export const STDIN = 0;

const POLLIN = 1;
const LOOK_MILLISECONDS = 10;
/** Maximum length of a command; the rest of a longer line is dropped unread. */
const MAX_COMMAND = 256;

/**
 * Reads commands while the model runs, and executes them between two rounds.
 *
 * It reads by system calls: the model's loop leaves Deno's event loop so little time that it would
 * read stdin seconds later.
 */
export class Control {
  readonly #ports: readonly Port[];
  readonly #report: Report;
  readonly #pollfd = Int32Array.of(STDIN, POLLIN);
  readonly #piece = new Uint8Array(4096);
  readonly #decoder = new TextDecoder();
  #text = "";
  /** Whether the line that has begun is too long. */
  #tooLong = false;
  #lookAt = 0;

  /**
   * Creates the reader of commands for these ports.
   *
   * @param report Prints the counts for `stats`.
   */
  constructor(ports: readonly Port[], report: Report) {
    this.#ports = ports;
    this.#report = report;
  }

  /**
   * Executes the commands that have arrived. The end of the input means `quit`.
   *
   * @param now The time of `milliseconds()`.
   * @returns Whether to continue.
   */
  poll(now: number): boolean {
    if (now < this.#lookAt) return true;
    this.#lookAt = now + LOOK_MILLISECONDS;
    if (stubs.ixy_poll(this.#pollfd, 1, 0) <= 0) return true;
    const n = stubs.ixy_read(STDIN, this.#piece, this.#piece.length);
    if (n === -Errno.EAGAIN || n === -Errno.EINTR) return true;
    const ended = n <= 0;
    this.#text += ended ? "\n" : this.#decoder.decode(this.#piece.subarray(0, n), { stream: true });
    const lines = this.#text.split("\n");
    this.#text = lines.pop()!;
    const go = lines.every((line) => this.#line(line));
    if (this.#text.length > MAX_COMMAND) {
      this.#tooLong = true;
      this.#text = "";
    }
    return go && !ended;
  }

  /** Executes a line; returns whether to continue. */
  #line(line: string): boolean {
    const tooLong = this.#tooLong || line.length > MAX_COMMAND;
    this.#tooLong = false;
    if (!tooLong) return this.#command(line.trim().split(/\s+/));
    err.print(`a command has at most ${MAX_COMMAND} characters`);
    return true;
  }

  #command(words: string[]): boolean {
    const port = this.#ports[Number(words[1])];
    switch (words[0]) {
      case "":
        return true;
      case "start":
      case "stop":
        setSenders(this.#ports, words[0] === "start");
        return true;
      case "stats":
        this.#report.json();
        return true;
      case "link":
        if (port !== undefined && (words[2] === "up" || words[2] === "down")) {
          port.nic.setLink(words[2] === "up");
        } else {
          err.print(`link takes a port from 0 to ${this.#ports.length - 1}, and up or down`);
        }
        return true;
      case "quit":
        return false;
      default:
        err.print(
          `"${words[0]}" is not a command: use start, stop, stats, link PORT up|down or quit`,
        );
        return true;
    }
  }
}
