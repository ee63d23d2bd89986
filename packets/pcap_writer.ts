/**
 * Writes captures: classic pcap files of Ethernet packets, with times in nanoseconds.
 *
 * @module
 */

import { DeviceError, UsageError } from "../src/errors.ts";

const MAGIC_NANOSECONDS = 0xa1b23c4d;
const VERSION_MAJOR = 2, VERSION_MINOR = 4;
const LINKTYPE_ETHERNET = 1;
const FILE_HEADER = 24, RECORD_HEADER = 16;
/** Size of the buffer, in bytes. */
const PIECE = 1 << 20;
/** Largest snap length in bytes: every program that reads captures accepts it. */
export const MAX_SNAPLEN = 65535;

/** A destination for bytes: a file, or the standard output. */
export interface Sink {
  /** Writes at least one of the bytes; returns how many. */
  writeSync(bytes: Uint8Array<ArrayBuffer>): number;
}

/**
 * Creates or truncates a file; `-` is the standard output.
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
      const permission = `--allow-write='${name}'`;
      throw new UsageError(
        `${name}: no permission to write it: run with \`deno run --allow-ffi ${permission}\``,
      );
    }
    throw new UsageError(`cannot write ${name}: ${reason(error)}: choose another file`);
  }
}

/** Returns the system's error message, without what Deno adds to it. */
function reason(error: Error): string {
  return error.message.replace(/ \(os error .*$/, "").toLowerCase();
}

/** Writes packets to a file through a buffer. */
export class PcapWriter {
  readonly #name: string;
  readonly #sink: Sink;
  readonly #snaplen: number;
  readonly #piece = new Uint8Array(PIECE);
  readonly #view = new DataView(this.#piece.buffer);
  /**
   * Wall-clock time at which `performance.now()` was 0: seconds, and the nanoseconds of the rest.
   */
  readonly #seconds = Math.floor(performance.timeOrigin / 1000);
  readonly #nanoseconds = (performance.timeOrigin - this.#seconds * 1000) * 1e6;
  #used = FILE_HEADER;

  /**
   * Creates a writer. The file's header is written with the first packets.
   *
   * @param name Name of the file, for messages.
   * @param snaplen Most bytes to keep of a packet, up to 65535.
   */
  constructor(name: string, sink: Sink, snaplen: number) {
    this.#name = name === "-" ? "standard output" : name;
    this.#sink = sink;
    this.#snaplen = snaplen;
    this.#view.setUint32(0, MAGIC_NANOSECONDS, true);
    this.#view.setUint16(4, VERSION_MAJOR, true);
    this.#view.setUint16(6, VERSION_MINOR, true);
    this.#view.setUint32(16, snaplen, true);
    this.#view.setUint32(20, LINKTYPE_ETHERNET, true);
  }

  /**
   * Appends a packet.
   *
   * @param packet The packet, up to 65535 bytes.
   * @param milliseconds Time of its arrival, from `performance.now()`.
   * @throws {DeviceError} if the file cannot be written.
   */
  write(packet: Uint8Array, milliseconds: number): void {
    const kept = Math.min(packet.length, this.#snaplen), at = this.#used, view = this.#view;
    const time = this.#nanoseconds + milliseconds * 1e6;
    view.setUint32(at, this.#seconds + Math.floor(time / 1e9), true);
    view.setUint32(at + 4, Math.floor(time % 1e9), true);
    view.setUint32(at + 8, kept, true);
    view.setUint32(at + 12, packet.length, true);
    this.#piece.set(kept < packet.length ? packet.subarray(0, kept) : packet, at + RECORD_HEADER);
    this.#used = at + RECORD_HEADER + kept;
    if (this.#used > PIECE - RECORD_HEADER - MAX_SNAPLEN) this.flush();
  }

  /**
   * Writes the buffer to the file.
   *
   * @throws {DeviceError} if the file cannot be written.
   */
  flush(): void {
    const end = this.#used;
    this.#used = 0; // even if writing fails: closing the capture does not try again
    try {
      for (let done = 0; done < end;) {
        done += this.#sink.writeSync(this.#piece.subarray(done, end));
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      throw new DeviceError(this.#name, `${reason(error)}: the capture is cut short here`);
    }
  }
}
