/**
 * Reads and writes capture files in the classic pcap format (draft-ietf-opsawg-pcap), one piece at a
 * time and without waiting: a FIFO whose other end pauses must not stop the model.
 *
 * @module
 */

import { visible } from "../../native/files.ts";
import { FileKind, type Status, status } from "../../native/files.ts";
import { type OpenFile, OutputFile } from "../../native/output_file.ts";
import { Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { MAX_SNAPLEN, PcapWriter } from "../../packets/pcap_writer.ts";
import { DeviceError, UsageError } from "../../src/errors.ts";
import { FrameBuffer } from "../frames/frame.ts";

const MAGIC_MICROSECONDS = 0xa1b2c3d4, MAGIC_NANOSECONDS = 0xa1b23c4d;
const VERSION_MAJOR = 2;
const FILE_HEADER_BYTES = 24, RECORD_HEADER_BYTES = 16;
const LINKTYPE_ETHERNET = 1;
/** In the word with the link type: whether frames end with an FCS, and its length in 16-bit words. */
const FCS_PRESENT = 0x0400_0000, FCS_LENGTH_SHIFT = 28;
/** Longest record of Ethernet that libpcap reads and writes: its MAXIMUM_SNAPLEN. */
const MAX_RECORD_BYTES = 262144;
const PIECE_BYTES = RECORD_HEADER_BYTES + MAX_RECORD_BYTES;
/** Longest time to wait for the reader of a FIFO at the end, in milliseconds. */
const CLOSE_MS = 1000;

const O_NOCTTY = 0o400, O_NONBLOCK = 0o4000;

/** Other formats of captures: first bytes, name, and the tool that converts them to classic pcap. */
const FORMATS: readonly (readonly [bytes: readonly number[], name: string, tool: string])[] = [
  [[0x0a, 0x0d, 0x0d, 0x0a], "a pcapng file", "editcap -F pcap"],
  [[0x1f, 0x8b], "compressed by gzip", "gunzip"],
  [[0x28, 0xb5, 0x2f, 0xfd], "compressed by zstd", "unzstd"],
  [[0xfd, 0x37, 0x7a, 0x58, 0x5a], "compressed by xz", "unxz"],
];

/** What {@linkcode PcapReader.next} returns without a frame. */
export const NO_FRAME = { END: -1, NOT_YET: -2 } as const;

/** Reads a capture: a file, or a FIFO, whose header may come later. */
export class PcapReader implements OpenFile {
  readonly name: string;
  readonly status: Status;
  readonly #fd: number;
  readonly #piece = new Uint8Array(PIECE_BYTES);
  readonly #view = new DataView(this.#piece.buffer);
  /** Undefined until the file's header was read. */
  #header: { readonly littleEndian: boolean; readonly fcsBytes: number } | undefined;
  #at = 0;
  #filled = 0;
  /** Whether the file has ended. A FIFO that no process has written to yet has not. */
  #ended = false;
  #begun = false;
  #damage: string | undefined;
  #records = 0;
  #truncated = 0;

  /**
   * Opens the file and reads its header: in either byte order, with microseconds or nanoseconds.
   *
   * @throws {UsageError} if the file cannot be read, or is not a capture of Ethernet frames.
   */
  constructor(name: string) {
    this.name = name;
    this.#fd = stubs.ixy_open(path(name), O_NOCTTY | O_NONBLOCK, 0);
    if (this.#fd < 0) {
      throw new UsageError(`cannot read ${new SystemError(name, -this.#fd).message}`);
    }
    try {
      this.status = status(this.#fd);
      if (!this.#readHeader() && this.status.kind !== FileKind.FIFO) {
        if (this.#damage !== undefined) throw new UsageError(`cannot read ${this.#damage}`);
        throw this.#notPcap("it is shorter than a file header");
      }
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** What is wrong with the file from here on; undefined while nothing is. */
  get damage(): string | undefined {
    return this.#damage;
  }

  /** Frames of which the file holds a part only: its snap length was too small. */
  get truncated(): number {
    return this.#truncated;
  }

  /**
   * Reads the next frame. A frame check sequence is left out.
   *
   * @param frame Takes the frame, or as much of it as fits.
   * @returns Length in bytes of what the file holds of the frame, 0 if its record is invalid;
   * {@linkcode NO_FRAME}.END at the end of the file, or where it is damaged; {@linkcode NO_FRAME}.NOT_YET if
   * the writer of a FIFO has paused.
   */
  next(frame: FrameBuffer): number {
    if (this.#damage !== undefined) return NO_FRAME.END;
    if (this.#header === undefined) {
      try {
        this.#readHeader();
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        this.#damage = error.message;
      }
      if (this.#header === undefined) return this.#noFrame("its header");
    }
    if (!this.#fill(RECORD_HEADER_BYTES)) return this.#noFrame(`record ${this.#records + 1}`);
    const { littleEndian, fcsBytes } = this.#header;
    const kept = this.#view.getUint32(this.#at + 8, littleEndian);
    const whole = this.#view.getUint32(this.#at + 12, littleEndian);
    if (kept > MAX_RECORD_BYTES) {
      this.#damage = `${this.name}: record ${this.#records + 1} has ${kept} bytes, more than the ` +
        `maximum of ${MAX_RECORD_BYTES}`;
      return NO_FRAME.END;
    }
    if (!this.#fill(RECORD_HEADER_BYTES + kept)) {
      return this.#noFrame(`record ${this.#records + 1}`);
    }
    // A snap length can cut off the FCS, or a part of it. A record with more than the frame is invalid.
    const from = this.#at + RECORD_HEADER_BYTES, sent = whole - fcsBytes;
    const length = kept > whole ? 0 : Math.max(0, Math.min(kept, sent));
    if (kept < sent) this.#truncated++;
    frame.bytes.set(this.#piece.subarray(from, from + Math.min(length, FrameBuffer.CAPACITY)));
    this.#at = from + kept;
    this.#records++;
    return length;
  }

  /** Closes the file. */
  close(): void {
    stubs.ixy_close(this.#fd);
  }

  /** Returns END or NOT_YET. If the file ends inside a record, that is the damage. */
  #noFrame(part: string): number {
    if (this.#damage === undefined && !this.#ended) return NO_FRAME.NOT_YET;
    if (this.#filled > this.#at || this.#header === undefined) {
      this.#damage ??= `${this.name}: the file ends inside ${part}`;
    }
    return NO_FRAME.END;
  }

  /**
   * Reads the file's header; returns whether it is there.
   *
   * @throws {UsageError} if this is not a classic pcap file of Ethernet frames.
   */
  #readHeader(): boolean {
    const isWhole = this.#fill(FILE_HEADER_BYTES), start = this.#piece.subarray(0, this.#filled);
    for (const [bytes, format, tool] of FORMATS) {
      if (!bytes.every((byte, i) => start[i] === byte)) continue;
      throw this.#notPcap(`it is ${format}: use what \`${tool}\` makes of it`);
    }
    if (!isWhole) return false;
    const littleEndian = [true, false].find((order) => {
      const magic = this.#view.getUint32(0, order);
      return magic === MAGIC_MICROSECONDS || magic === MAGIC_NANOSECONDS;
    });
    if (littleEndian === undefined) throw this.#notPcap("its magic number is unknown");
    const version = this.#view.getUint16(4, littleEndian);
    if (version !== VERSION_MAJOR) throw this.#notPcap(`its version is ${version}, not 2`);
    const link = this.#view.getUint32(20, littleEndian), type = link & 0xffff;
    if (type !== LINKTYPE_ETHERNET) throw this.#notPcap(`its link type is ${type}, not 1`);
    const fcsBytes = (link & FCS_PRESENT) === 0 ? 0 : 2 * (link >>> FCS_LENGTH_SHIFT);
    this.#header = { littleEndian, fcsBytes };
    this.#at = FILE_HEADER_BYTES;
    return true;
  }

  #notPcap(why: string): UsageError {
    return new UsageError(`${this.name} is not a classic pcap file of Ethernet frames: ${why}`);
  }

  /** Reads until `bytes` follow the current position; returns false if they are not there. */
  #fill(bytes: number): boolean {
    if (this.#filled - this.#at >= bytes) return true;
    this.#piece.copyWithin(0, this.#at, this.#filled);
    this.#filled -= this.#at;
    this.#at = 0;
    while (this.#filled < bytes) {
      const room = this.#piece.subarray(this.#filled);
      const n = stubs.ixy_read(this.#fd, room, room.length);
      if (n === -Errno.EINTR) continue;
      if (n < 0 && n !== -Errno.EAGAIN) {
        this.#damage = new SystemError(this.name, -n).message;
      }
      this.#ended = n === 0 && (this.#begun || this.status.kind !== FileKind.FIFO);
      if (n <= 0) return false;
      this.#begun = true;
      this.#filled += n;
    }
    return true;
  }
}

/**
 * Writes a capture: a file, or a FIFO. If a write fails, the capture ends, and the model runs on. If the
 * reader of a FIFO is slow, frames are left out.
 */
export class PcapFile {
  /** The file, for comparison with others. */
  readonly file: OutputFile;
  readonly #writer: PcapWriter;
  readonly #print: (line: string) => void;
  #failed = false;

  /**
   * Opens the file, or creates it. The first write empties it.
   *
   * @param print Prints a line about the first failure.
   * @throws {UsageError} if it cannot be written.
   */
  constructor(name: string, print: (line: string) => void) {
    this.#print = print;
    this.file = new OutputFile(name);
    const sink = { writeSync: (bytes: Uint8Array<ArrayBuffer>) => this.#write(bytes) };
    this.#writer = new PcapWriter(name, sink, MAX_SNAPLEN);
  }

  /** Whether a write has failed. */
  get failed(): boolean {
    return this.#failed;
  }

  /** Appends a frame with the current time; returns whether it is in the capture. */
  write(frame: FrameBuffer, length: number): boolean {
    if (!this.#failed && !this.#writer.hasRoom) this.flush();
    if (this.#failed || !this.#writer.hasRoom) return false;
    try {
      this.#writer.write(frame.bytes.subarray(0, length), performance.now());
    } catch (error) {
      this.#cutShort(error);
    }
    return !this.#failed;
  }

  /** Writes buffered frames as far as the file takes them. The first failure is reported. */
  flush(): void {
    if (this.#failed) return;
    try {
      this.#writer.flush();
    } catch (error) {
      this.#cutShort(error);
    }
  }

  /**
   * Writes buffered frames and closes the file. If nothing was written before, it leaves the file as it
   * was: the model has not started.
   */
  close(): void {
    using file = this.file;
    if (!file.begun) return;
    const end = performance.now() + CLOSE_MS;
    for (let left = CLOSE_MS; left > 0; left = end - performance.now()) {
      this.flush();
      if (this.#failed || this.#writer.isEmpty) return;
      file.hasRoom(left);
    }
    this.#failed = true;
    this.#print(`${visible(file.name)}: its reader takes no more: the capture is cut short here`);
  }

  /** Writes by a system call: the model's process has no Deno permission to write files. */
  #write(bytes: Uint8Array<ArrayBuffer>): number {
    const n = this.file.write(bytes);
    if (n < 0 && n !== -Errno.EAGAIN) throw new SystemError("write", -n);
    return Math.max(0, n);
  }

  #cutShort(error: unknown): void {
    if (!(error instanceof DeviceError)) throw error;
    this.#failed = true;
    this.#print(visible(error.message));
  }
}
