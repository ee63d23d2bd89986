/**
 * What writers of captures share: the buffered file or stream, and the clock for timestamps.
 *
 * @module
 */

import { meaningOf } from "../native/errors.ts";
import { standardOutput } from "../native/standard_stream.ts";
import type { StopFlag } from "../native/stop.ts";
import { Errno } from "../native/stubs.ts";
import { DeviceError, UsageError } from "../src/errors.ts";

/** Largest snap length in bytes: every program that reads captures accepts it. */
export const MAX_SNAPLEN = 65535;
/** Size of the buffer, in bytes. */
const PIECE = 1 << 20;
/** Longest record in bytes: a packet, and what the format adds. */
const MAX_RECORD = MAX_SNAPLEN + 1024;
/** Milliseconds between looks at the stop flag, and that a reader has after a signal to take bytes. */
const LOOK_MS = 100, STOPPED_MS = 1000;

/** A destination for bytes: a file, or the standard output. */
export interface Sink {
  /** Writes at least one of the bytes; returns how many. */
  writeSync(bytes: Uint8Array<ArrayBuffer>): number;
}

/**
 * Creates or truncates a file; `-` is the standard output, where a write waits for the reader.
 *
 * @param stop After a signal, a write fails if the reader takes nothing for a second.
 * @throws {UsageError} if the file cannot be written.
 */
export function openSink(name: string, stop?: Pick<StopFlag, "signal">): Sink & Disposable {
  if (name === "-") return { writeSync: (b) => writeOutput(b, stop), [Symbol.dispose]() {} };
  try {
    return Deno.openSync(name, { write: true, create: true, truncate: true });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    if (error instanceof Deno.errors.NotCapable) {
      // Of devices, such as /dev/full, Deno demands more than permission to write them.
      const all = error.message.includes("--allow-all");
      const permission = all ? "--allow-all" : `--allow-write='${name}'`;
      throw new UsageError(
        `${name}: no permission to write it: run with \`deno run --allow-ffi ${permission}\``,
      );
    }
    throw new UsageError(`cannot write ${name}: ${reason(error)}: choose another file`);
  }
}

function writeOutput(bytes: Uint8Array<ArrayBuffer>, stop?: Pick<StopFlag, "signal">): number {
  for (let stopped = 0; stopped < STOPPED_MS;) {
    const n = standardOutput.write(bytes);
    if (n > 0) return n;
    if (n < 0 && n !== -Errno.EAGAIN) throw new Error(meaningOf(-n));
    if (!standardOutput.hasRoom(LOOK_MS) && stop !== undefined && stop.signal !== 0) {
      stopped += LOOK_MS;
    }
  }
  throw new Error("its reader takes no more");
}

/** Returns the system's error message, without what Deno adds to it. */
export function reason(error: Error): string {
  return error.message.replace(/ \(os error [^]*$/, "").toLowerCase();
}

/** Writes a capture to a sink through a buffer. */
export class CaptureFile {
  /** The buffer, filled up to {@linkcode CaptureFile.prototype.end}. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(PIECE);
  /** The same memory. */
  readonly view: DataView<ArrayBuffer> = new DataView(this.bytes.buffer);
  readonly #name: string;
  readonly #sink: Sink;
  #end = 0;
  #failure: DeviceError | undefined;

  /**
   * Creates an empty buffer.
   *
   * @param name Name of the file, for messages.
   */
  constructor(name: string, sink: Sink) {
    this.#name = name === "-" ? "standard output" : name;
    this.#sink = sink;
  }

  /** Offset of the next record. There is always room for a packet of the maximum length. */
  get end(): number {
    return this.#end;
  }

  /**
   * Appends the record that begins at {@linkcode CaptureFile.prototype.end}.
   *
   * @param end Offset after its last byte.
   * @throws {DeviceError} if the file cannot be written now, or could not earlier: a reader cannot continue
   * after a missing part.
   */
  append(end: number): void {
    if (this.#failure) throw this.#failure;
    this.#end = end;
    if (end > PIECE - MAX_RECORD) this.flush();
  }

  /**
   * Writes the buffer to the sink.
   *
   * @throws {DeviceError} if the file cannot be written.
   */
  flush(): void {
    const end = this.#end;
    this.#end = 0; // even if writing fails: closing the capture does not try again
    try {
      for (let done = 0; done < end;) {
        done += this.#sink.writeSync(this.bytes.subarray(done, end));
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#failure = new DeviceError(
        this.#name,
        `${reason(error)}: the capture is cut short here`,
      );
      throw this.#failure;
    }
  }
}

/** Converts times of `performance.now()` to wall-clock time. */
export class WallClock {
  /** Whole seconds since 1970. */
  seconds = 0;
  /** Nanoseconds of the current second. */
  nanoseconds = 0;
  readonly #originSeconds = Math.floor(performance.timeOrigin / 1000);
  readonly #originNanoseconds = (performance.timeOrigin - this.#originSeconds * 1000) * 1e6;

  /** Sets the time, in milliseconds from `performance.now()`. */
  set(milliseconds: number): void {
    const time = this.#originNanoseconds + milliseconds * 1e6;
    this.seconds = this.#originSeconds + Math.floor(time / 1e9);
    this.nanoseconds = Math.floor(time % 1e9);
  }
}
