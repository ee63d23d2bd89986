/**
 * Records every register access that reaches a port as a message: time, port, register and value.
 * It stands between server and model, so that it costs nothing without a trace.
 *
 * Tails in mapped memory would be missing. So a program with a trace shares no memory, and clients
 * write tails by messages.
 *
 * `trace_line.ts` has the format, `trace_file.ts` the file that takes the lines.
 *
 * @module
 */

import { hex } from "../../src/registers.ts";
import { REGISTER_SPACE, RegisterFile } from "../registers/register_file.ts";
import type { Model } from "./model.ts";
import { formatLine, type Traced, type TracedAccess } from "./trace_line.ts";

/** Takes the lines of a trace. */
export interface TraceSink {
  /** Takes a line, without its end. */
  line(line: string): void;
}

/** The recording of one program's ports. */
export class Trace {
  readonly #sink: TraceSink;
  readonly #start = performance.now();
  readonly #registers = new RegisterFile();

  /** @param sink Takes the lines. Its times count from now. */
  constructor(sink: TraceSink) {
    this.#sink = sink;
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
        this.#add(port, this.#access("read", offset, value));
        return value;
      },
      // The line comes first, before those of interrupts that follow from the write.
      write32: (offset, value) => {
        this.#add(port, this.#access("write", offset, value));
        model.write32(offset, value);
      },
      setBusMaster: (on) => {
        this.#add(port, { kind: "bus master", on });
        model.setBusMaster(on);
      },
      reset: (kind) => {
        this.#add(port, { kind: "reset", reset: kind });
        model.reset(kind);
      },
      disconnect: () => {
        this.#add(port, { kind: "gone" });
        model.disconnect();
      },
    };
  }

  /** Records an interrupt. */
  interrupt(port: number, vector: number): void {
    this.#add(port, { kind: "interrupt", vector });
  }

  #access(kind: TracedAccess["kind"], offset: number, value: number): TracedAccess {
    const file = this.#registers, home = offset < REGISTER_SPACE ? file.home[offset >>> 2] : -1;
    const [register, index] = home < 0
      ? [hex(offset), 0]
      : [file.registerAt(home).name, file.indexAt(home)];
    return { kind, register, index, offset, value };
  }

  #add(port: number, event: Traced): void {
    const seconds = (performance.now() - this.#start) / 1000;
    this.#sink.line(formatLine({ ...event, seconds, port }));
  }
}
