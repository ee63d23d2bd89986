/**
 * Reads and writes capture files in the classic pcap format, one piece at a time.
 *
 * @module
 */

import { path, stubs, SystemError } from "../../native/stubs.ts";
import { MAX_SNAPLEN, PcapWriter } from "../../packets/pcap_writer.ts";
import { err } from "../../programs/output.ts";
import { DeviceError, UsageError } from "../../src/errors.ts";
import { FrameBuffer } from "../frames/frame.ts";
import { createFile } from "../system/paths.ts";

const MAGIC_MICROSECONDS = 0xa1b2c3d4;
const MAGIC_NANOSECONDS = 0xa1b23c4d;
const FILE_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;
const LINKTYPE_ETHERNET = 1;
const PIECE_BYTES = 1 << 18;
const MAX_RECORD_BYTES = 1 << 18;

/** Reads a capture file. */
export class PcapReader {
  readonly #name: string;
  readonly #fd: number;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  readonly #view = new DataView(this.#piece.buffer);
  readonly #littleEndian: boolean;
  #at = 0;
  #filled = 0;
  #broken = false;

  /**
   * Opens the file and reads its header: in either byte order, with microseconds or nanoseconds.
   *
   * @throws {UsageError} if the file cannot be read, or is not a capture of Ethernet frames.
   */
  constructor(name: string) {
    this.#name = name;
    this.#fd = stubs.ixy_open(path(name), 0, 0);
    if (this.#fd < 0) {
      throw new UsageError(`cannot read ${new SystemError(name, -this.#fd).message}`);
    }
    try {
      this.#littleEndian = this.#readHeader();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Whether the file ended inside a record, or a read of it failed. */
  get broken(): boolean {
    return this.#broken;
  }

  /**
   * Reads the next frame.
   *
   * @param frame Takes the frame, or as much of it as fits.
   * @returns Length of the frame in bytes, or -1 at the end of the file.
   */
  next(frame: FrameBuffer): number {
    if (this.#broken || !this.#fill(RECORD_HEADER_BYTES)) {
      this.#broken ||= this.#filled > this.#at;
      return -1;
    }
    const length = this.#view.getUint32(this.#at + 8, this.#littleEndian);
    if (
      length > MAX_RECORD_BYTES - RECORD_HEADER_BYTES || !this.#fill(RECORD_HEADER_BYTES + length)
    ) {
      this.#broken = true;
      return -1;
    }
    const from = this.#at + RECORD_HEADER_BYTES;
    const kept = Math.min(length, FrameBuffer.CAPACITY);
    frame.bytes.set(this.#piece.subarray(from, from + kept));
    this.#at = from + length;
    return length;
  }

  /** Closes the file. */
  close(): void {
    stubs.ixy_close(this.#fd);
  }

  /** Checks the file's header; returns whether the file is little-endian. */
  #readHeader(): boolean {
    if (!this.#fill(FILE_HEADER_BYTES)) throw this.#noCapture("it is shorter than a file header");
    const order = [true, false].find((littleEndian) => {
      const magic = this.#view.getUint32(0, littleEndian);
      return magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS;
    });
    if (order === undefined) {
      throw this.#noCapture("its magic number is another (pcapng is not supported)");
    }
    const type = this.#view.getUint32(20, order) & 0xffff;
    if (type !== LINKTYPE_ETHERNET) throw this.#noCapture(`its link type is ${type}, not 1`);
    this.#at = FILE_HEADER_BYTES;
    return order;
  }

  #noCapture(why: string): UsageError {
    return new UsageError(`${this.#name} is not a classic pcap file of Ethernet frames: ${why}`);
  }

  /** Reads until `bytes` follow the current position; returns false at the end of the file. */
  #fill(bytes: number): boolean {
    if (this.#filled - this.#at >= bytes) return true;
    this.#piece.copyWithin(0, this.#at, this.#filled);
    this.#filled -= this.#at;
    this.#at = 0;
    while (this.#filled < bytes) {
      const room = this.#piece.subarray(this.#filled);
      const n = stubs.ixy_read(this.#fd, room, room.length);
      if (n < 0) this.#broken = true;
      if (n <= 0) return false;
      this.#filled += n;
    }
    return true;
  }
}

/** Writes a capture file. If a write fails, the capture ends, and the model runs on. */
export class PcapFile {
  readonly #fd: number;
  readonly #writer: PcapWriter;
  #failed = false;

  /**
   * Creates the file, or empties it.
   *
   * @throws {UsageError} if it cannot be written.
   */
  constructor(name: string) {
    this.#fd = createFile(name);
    const sink = { writeSync: (bytes: Uint8Array<ArrayBuffer>) => this.#write(bytes) };
    this.#writer = new PcapWriter(name, sink, MAX_SNAPLEN);
  }

  /** Appends a frame with the current time; returns false once a write has failed. */
  write(frame: FrameBuffer, length: number): boolean {
    if (this.#failed) return false;
    try {
      this.#writer.write(frame.bytes.subarray(0, length), performance.now());
    } catch (error) {
      this.#cutShort(error);
    }
    return !this.#failed;
  }

  /** Writes buffered frames to the file. The first failure is reported on stderr. */
  flush(): void {
    if (this.#failed) return;
    try {
      this.#writer.flush();
    } catch (error) {
      this.#cutShort(error);
    }
  }

  /** Writes buffered frames and closes the file. */
  close(): void {
    this.flush();
    stubs.ixy_close(this.#fd);
  }

  /** Writes by a system call: the model's process has no Deno permission to write files. */
  #write(bytes: Uint8Array<ArrayBuffer>): number {
    const n = stubs.ixy_write(this.#fd, bytes, bytes.length);
    if (n <= 0) throw new SystemError("write", -n);
    return n;
  }

  #cutShort(error: unknown): void {
    if (!(error instanceof DeviceError)) throw error;
    this.#failed = true;
    err.print(error.message);
  }
}
