/**
 * Records every register access that reaches a port as a message: time, port, register and value.
 * It stands between server and model, so that it costs nothing without a trace.
 *
 * Tails in mapped memory would be missing. So a program with a trace shares no memory, and clients
 * write tails by messages.
 *
 * @module
 */

import { OutputFile } from "../../native/output_file.ts";
import { SystemError } from "../../native/stubs.ts";
import { visible } from "../../native/files.ts";
import { err } from "../../programs/output.ts";
import { hex } from "../../src/registers.ts";
import { REGISTER_SPACE, RegisterFile } from "../registers/register_file.ts";
import type { Model } from "./model.ts";

const MICROSECONDS = 6;

/** The file. Each line is written at once, in case the process is killed. */
export class Trace implements Disposable {
  /** The file, for comparison with others. */
  readonly file: OutputFile;
  readonly #start = performance.now();
  readonly #registers = new RegisterFile();
  #failed = false;

  /**
   * Opens the file, or creates it. The first line empties it.
   *
   * @throws {UsageError} if it cannot be written.
   */
  constructor(name: string) {
    this.file = new OutputFile(name);
  }

  /** Whether a line could not be written, which was reported on stderr. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Closes the file. */
  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }

  /**
   * Puts the trace before a model.
   *
   * @param port Number of the port in the lines.
   * @returns The model for the server, which records accesses.
   */
  before(model: Model, port: number): Model {
    return {
      dma: model.dma,
      read32: (offset) => {
        const value = model.read32(offset);
        this.#line(port, `read  ${this.#nameOf(offset)} ${hex(value)}`);
        return value;
      },
      // The line comes first, before those of interrupts that follow from the write.
      write32: (offset, value) => {
        this.#line(port, `write ${this.#nameOf(offset)} ${hex(value)}`);
        model.write32(offset, value);
      },
      setBusMaster: (on) => {
        this.#line(port, `bus master ${on ? "on" : "off"}`);
        model.setBusMaster(on);
      },
      reset: (kind) => {
        this.#line(port, `reset (${kind})`);
        model.reset(kind);
      },
      disconnect: () => {
        this.#line(port, "the client has gone");
        model.disconnect();
      },
    };
  }

  /** Records an interrupt. */
  interrupt(port: number, vector: number): void {
    this.#line(port, `interrupt ${vector}`);
  }

  #nameOf(offset: number): string {
    const home = offset < REGISTER_SPACE ? this.#registers.home[offset >>> 2] : -1;
    return home < 0 ? hex(offset) : this.#registers.nameAt(home);
  }

  /** Writes a line. The first failure ends the trace, and is reported on stderr. */
  #line(port: number, what: string): void {
    if (this.#failed) return;
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(MICROSECONDS);
    const bytes = new TextEncoder().encode(`${seconds} ${port} ${what}\n`);
    for (let done = 0; done < bytes.length;) {
      const rest = bytes.subarray(done);
      const n = this.file.write(rest);
      if (n < 0) {
        this.#failed = true;
        const { message } = new SystemError(this.file.name, -n);
        err.print(visible(`${message}: the trace is cut short here`));
        return;
      }
      done += n;
    }
  }
}
