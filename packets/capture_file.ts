/**
 * What writers of captures share: the file or stream that they write to, a large piece at a time, and
 * the clock that timestamps come from.
 *
 * @module
 */

import { DeviceError, UsageError } from "../src/errors.ts";

/** Longest that a packet can be kept, in bytes: what no program that reads captures refuses. */
export const MAX_SNAPLEN = 65535;
/** Bytes that are written at once while packets keep coming. */
const PIECE = 1 << 20;
/** Longest that a record can be, in bytes: a packet, and what a format puts around it. */
const MAX_RECORD = MAX_SNAPLEN + 1024;

/** What bytes are written to: a file, or the standard output. */
export interface Sink {
  /** Writes some of the bytes, at least one; returns how many. */
  writeSync(bytes: Uint8Array<ArrayBuffer>): number;
}

/**
 * Makes a file to write to, or empties it; `-` is the standard output.
 *
 * @throws {UsageError} if the file cannot be written.
 */
export function openSink(name: string): Sink & Disposable {
  if (name === "-") return { writeSync: (b) => Deno.stdout.writeSync(b), [Symbol.dispose]() {} };
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

/** What the system says, without what Deno puts around it. */
function reason(error: Error): string {
  return error.message.replace(/ \(os error [^]*$/, "").toLowerCase();
}

/** Collects the bytes of a capture and writes them to a sink, a large piece at a time. */
export class CaptureFile {
  /** The bytes that wait to be written, up to {@linkcode CaptureFile.prototype.end}. */
  readonly bytes: Uint8Array<ArrayBuffer> = new Uint8Array(PIECE);
  /** The same memory. */
  readonly view: DataView<ArrayBuffer> = new DataView(this.bytes.buffer);
  readonly #name: string;
  readonly #sink: Sink;
  #end = 0;
  #failure: DeviceError | undefined;

  /** @param name The file, for messages. */
  constructor(name: string, sink: Sink) {
    this.#name = name === "-" ? "standard output" : name;
    this.#sink = sink;
  }

  /** Where the next record begins. There is room for a packet of the longest kind. */
  get end(): number {
    return this.#end;
  }

  /**
   * Appends the record that begins at {@linkcode CaptureFile.prototype.end}.
   *
   * @param end Where it ends.
   * @throws {DeviceError} if the file takes no more, or has not before: what follows a piece that is
   * missing could not be read.
   */
  append(end: number): void {
    if (this.#failure) throw this.#failure;
    this.#end = end;
    if (end > PIECE - MAX_RECORD) this.flush();
  }

  /**
   * Writes out what waits.
   *
   * @throws {DeviceError} if the file takes no more.
   */
  flush(): void {
    const end = this.#end;
    this.#end = 0; // also if this fails: closing the capture does not try again
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

/** The wall clock at times of `performance.now()`. */
export class WallClock {
  /** Whole seconds since 1970. */
  seconds = 0;
  /** Nanoseconds beside them. */
  nanoseconds = 0;
  readonly #originSeconds = Math.floor(performance.timeOrigin / 1000);
  readonly #originNanoseconds = (performance.timeOrigin - this.#originSeconds * 1000) * 1e6;

  /** Shows a time: milliseconds of `performance.now()`. */
  set(milliseconds: number): void {
    const time = this.#originNanoseconds + milliseconds * 1e6;
    this.seconds = this.#originSeconds + Math.floor(time / 1e9);
    this.nanoseconds = Math.floor(time % 1e9);
  }
}
