/**
 * What writers of captures share: the buffered file or stream, and the clock for timestamps.
 *
 * @module
 */

import { meaningOf } from "../native/errors.ts";
import { OutputFile, requireDistinct } from "../native/output_file.ts";
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
  /** Writes some of the bytes; returns how many: 0 if its reader takes none now. */
  writeSync(bytes: Uint8Array<ArrayBuffer>): number;
}

/**
 * Opens a file, or creates it; `-` is the standard output. The first write empties the file. Where a
 * process reads what is written, a write waits for it.
 *
 * @param stop After a signal, a write fails if the reader takes nothing for a second.
 * @throws {UsageError} if the file cannot be written, or is the standard output or error.
 */
export function openSink(name: string, stop?: Pick<StopFlag, "signal">): Sink & Disposable {
  if (name === "-") {
    return { writeSync: (b) => writeAndWait(standardOutput, b, stop), [Symbol.dispose]() {} };
  }
  requirePermission(name);
  const file = new OutputFile(name);
  try {
    requireDistinct([file]);
  } catch (error) {
    file[Symbol.dispose]();
    throw error;
  }
  return {
    writeSync: (bytes) => writeAndWait(file, bytes, stop),
    [Symbol.dispose]: () => file[Symbol.dispose](),
  };
}

/** Asks Deno for the permission to write a file, which the stubs would write without. */
function requirePermission(name: string): void {
  if (Deno.permissions.requestSync({ name: "write", path: name }).state === "granted") return;
  throw new UsageError(
    `${name}: no permission to write it: run with \`deno run --allow-ffi ${permission(name)}\``,
  );
}

/** Returns the option that permits to write a file, quoted for a shell. */
function permission(name: string): string {
  if (name.includes(",")) return "--allow-write"; // Deno takes a comma for the end of a name
  return `--allow-write='${name.replaceAll("'", "'\\''")}'`;
}

/** A file or stream whose writes do not wait. */
type Nonblocking = Pick<OutputFile, "write" | "hasRoom">;

function writeAndWait(
  file: Nonblocking,
  bytes: Uint8Array<ArrayBuffer>,
  stop?: Pick<StopFlag, "signal">,
): number {
  for (let stopped = 0; stopped < STOPPED_MS;) {
    const n = file.write(bytes);
    if (n > 0) return n;
    if (n < 0 && n !== -Errno.EAGAIN) throw new Error(meaningOf(-n));
    if (!file.hasRoom(LOOK_MS) && stop !== undefined && stop.signal !== 0) stopped += LOOK_MS;
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

  /**
   * Offset of the next record, with room for a packet of the maximum length.
   *
   * @throws {DeviceError} if there is no room: the reader of a sink that does not wait is too slow.
   */
  get end(): number {
    if (!this.hasRoom) throw this.#fail("its reader takes no more");
    return this.#end;
  }

  /** Whether everything was written. */
  get isEmpty(): boolean {
    return this.#end === 0;
  }

  /** Whether there is room for a packet of the maximum length: always, if the sink waits. */
  get hasRoom(): boolean {
    return this.#end <= PIECE - MAX_RECORD;
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
    if (!this.hasRoom) this.flush();
  }

  /**
   * Writes the buffer to the sink. What a sink that does not wait leaves stays in the buffer.
   *
   * @throws {DeviceError} if the file cannot be written.
   */
  flush(): void {
    const end = this.#end;
    this.#end = 0; // even if writing fails: closing the capture does not try again
    try {
      let done = 0;
      for (let n = -1; done < end && n !== 0; done += n) {
        n = this.#sink.writeSync(this.bytes.subarray(done, end));
      }
      if (done < end) this.bytes.copyWithin(0, done, end);
      this.#end = end - done;
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      throw this.#fail(reason(error));
    }
  }

  #fail(why: string): DeviceError {
    return this.#failure = new DeviceError(this.#name, `${why}: the capture is cut short here`);
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
