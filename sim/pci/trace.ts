/**
 * A record of every register access that reaches a port as a message: when, which port, which register,
 * and which value. It stands between server and model, so that a model that is not traced knows nothing
 * of it.
 *
 * Tails that a client writes in mapped memory are not messages: a program that records shares no memory,
 * so that they are in the record.
 *
 * @module
 */

import { stubs, SystemError } from "../../native/stubs.ts";
import { hex } from "../../src/registers.ts";
import { REGISTER_SPACE, RegisterFile } from "../registers/register_file.ts";
import { createFile } from "../system/paths.ts";
import type { Model } from "./model.ts";

const MICROSECONDS = 6;

/** The file, open until the process ends. A line is written at once: it is there if that is killed. */
export class Trace {
  readonly #name: string;
  readonly #fd: number;
  readonly #start = performance.now();
  readonly #registers = new RegisterFile();
  #failed = false;

  /**
   * Makes the file, or empties it.
   *
   * @throws {UsageError} if that cannot be.
   */
  constructor(name: string) {
    this.#name = name;
    this.#fd = createFile(name);
  }

  /**
   * Puts the record before a model.
   *
   * @param port Which port it is, as the lines say.
   * @returns What a server is given in place of the model.
   */
  before(model: Model, port: number): Model {
    return {
      dma: model.dma,
      read32: (offset) => {
        const value = model.read32(offset);
        this.#line(port, `read  ${this.#nameOf(offset)} ${hex(value)}`);
        return value;
      },
      // The line first: what the write leads to follows it.
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

  /** Records that an interrupt was sent. */
  interrupt(port: number, vector: number): void {
    this.#line(port, `interrupt ${vector}`);
  }

  #nameOf(offset: number): string {
    const home = offset < REGISTER_SPACE ? this.#registers.home[offset >>> 2] : -1;
    return home < 0 ? hex(offset) : this.#registers.nameAt(home);
  }

  /** A file system that takes no more is reported once, on stderr. */
  #line(port: number, what: string): void {
    if (this.#failed) return;
    const seconds = ((performance.now() - this.#start) / 1000).toFixed(MICROSECONDS);
    const bytes = new TextEncoder().encode(`${seconds} ${port} ${what}\n`);
    for (let done = 0; done < bytes.length;) {
      const rest = bytes.subarray(done);
      const n = stubs.ixy_write(this.#fd, rest, rest.length);
      if (n <= 0) {
        this.#failed = true;
        console.error(`the trace is cut short: ${new SystemError(this.#name, -n).message}`);
        return;
      }
      done += n;
    }
  }
}
