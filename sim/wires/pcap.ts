/**
 * A wire that replays a capture file to the port, and captures the frames that the port transmits.
 *
 * @module
 */

import { visible } from "../../native/files.ts";
import { UsageError } from "../../src/errors.ts";
import { FRAME, FrameBuffer, pad } from "../frames/frame.ts";
import type { OpenFile, OutputFile } from "../../native/output_file.ts";
import { err } from "../../programs/output.ts";
import { NO_FRAME, PcapFile, PcapReader } from "./pcap_file.ts";
import type { Wire, WirePort } from "./wire.ts";

/** The files, and the rate of the replay. */
export interface PcapOptions {
  /** File to replay, if any. */
  readonly input?: string | undefined;
  /** File to write, if any. */
  readonly output?: string | undefined;
  /** Frames per second; default: as fast as the port takes them. */
  readonly rate?: number | undefined;
  /** Prints a line about a file that is damaged or full; default: to the standard error. */
  readonly print?: (line: string) => void;
}

/** Time before a frame that the port refused is delivered again. */
const RETRY_MILLISECONDS = 0.1;
/** Maximum time for which frames wait in memory before they are written to the file. */
const FLUSH_MILLISECONDS = 100;
/** Maximum number of frames due at once, after a stall. */
const BURST = 64;

/**
 * An input file, an output file, or both. The input is replayed once, without loss, up to its current
 * end. The output is written as frames come, so that `tcpdump -r` can read it meanwhile.
 */
export class PcapWire implements Wire {
  /** Kind of wire. */
  readonly kind: string = "pcap";
  /** None: files are always readable. */
  readonly fd: number = -1;
  readonly #input: PcapReader | undefined;
  readonly #output: PcapFile | undefined;
  /** Frames per millisecond. */
  readonly #rate: number;
  readonly #print: (line: string) => void;
  readonly #frame = new FrameBuffer();
  /** Bytes of the next frame to deliver; 0 before it is read, NO_FRAME.END after the last. */
  #length = 0;
  #damaged = false;
  #tokens = 0;
  #last = performance.now();
  #retryAt = 0;
  #flushed = 0;
  #sent = 0;
  #retried = 0;
  #skipped = 0;
  #received = 0;
  #unwritten = 0;

  /**
   * Opens the files. The output is emptied by {@linkcode OutputFile.begin}, or when it is first written.
   *
   * @throws {UsageError} if a file cannot be opened, or the input is not a capture.
   */
  constructor(options: PcapOptions) {
    const rate = options.rate ?? Infinity;
    if (!(rate > 0)) {
      throw new UsageError(`${rate} frames per second are out of range: give more than 0`);
    }
    this.#rate = rate / 1000;
    this.#print = options.print ?? err.print;
    this.#input = options.input === undefined ? undefined : new PcapReader(options.input);
    try {
      this.#output = options.output === undefined
        ? undefined
        : new PcapFile(options.output, this.#print);
    } catch (error) {
      this.#input?.close();
      throw error;
    }
    if (this.#input === undefined) this.#length = NO_FRAME.END;
  }

  /** The open files: what it reads, and what it writes. */
  get files(): { readonly read: readonly OpenFile[]; readonly written: readonly OutputFile[] } {
    return {
      read: this.#input === undefined ? [] : [this.#input],
      written: this.#output === undefined ? [] : [this.#output.file],
    };
  }

  /** Whether the input is damaged, or the capture incomplete. Each was reported. */
  get failed(): boolean {
    return this.#damaged || (this.#output?.failed ?? false);
  }

  /** Whether the replay is held back. */
  held = false;

  /** Whether the whole input has been delivered. */
  get finished(): boolean {
    return this.#length < 0;
  }

  /** Captures a frame. */
  transmit(frame: FrameBuffer, length: number): void {
    this.#received++;
    if (this.#output !== undefined && !this.#output.write(frame, length)) this.#unwritten++;
  }

  /** Delivers the frames that are due. */
  poll(port: WirePort, budget: number): number {
    if (this.#length < 0 && this.#output === undefined) return 0;
    const now = performance.now();
    this.#flushAt(now);
    const due = this.#due(now, budget);
    if (this.held || !port.receiving || now < this.#retryAt) return 0;
    const before = this.#skipped;
    let done = 0;
    while (done < due && this.#load(budget - (this.#skipped - before))) {
      if (!port.receive(this.#frame, this.#length)) {
        this.#retried++;
        this.#retryAt = now + RETRY_MILLISECONDS;
        break;
      }
      this.#length = 0;
      this.#sent++;
      done++;
    }
    if (this.#rate !== Infinity) this.#tokens -= done;
    return done + this.#skipped - before;
  }

  /**
   * Counts frames delivered, refused by the port and retried, skipped for their length, truncated in the file,
   * captured, and not written because the file system was full or a reader was slow. Also says whether the
   * input is damaged, and whether it is finished.
   */
  statistics(): Record<string, number> {
    return {
      sent: this.#sent,
      retried: this.#retried,
      skipped: this.#skipped,
      truncated: this.#input?.truncated ?? 0,
      received: this.#received,
      unwritten: this.#unwritten,
      damaged: this.#damaged ? 1 : 0,
      finished: this.finished ? 1 : 0,
    };
  }

  /** Completes and closes the files. */
  close(): void {
    this.#input?.close();
    this.#output?.close();
  }

  /**
   * Reads the next frame unless one is ready; returns whether one is.
   *
   * @param most The most records to read: a file can consist of records to skip.
   */
  #load(most: number): boolean {
    for (let i = 0; i < most && this.#length === 0; i++) {
      const length = this.#input!.next(this.#frame);
      if (length === NO_FRAME.NOT_YET) return false;
      if (length === NO_FRAME.END) this.#end();
      else if (length < FRAME.HEADER || length > FRAME.MAX) this.#skipped++;
      else this.#length = pad(this.#frame, length);
    }
    return this.#length > 0;
  }

  #end(): void {
    this.#length = NO_FRAME.END;
    const { damage } = this.#input!;
    if (damage === undefined) return;
    this.#damaged = true;
    const frames = this.#sent === 1 ? "1 frame" : `${this.#sent} frames`;
    this.#print(visible(`${damage}: replayed ${frames} before that`));
  }

  #due(now: number, budget: number): number {
    if (this.#rate === Infinity) return budget;
    this.#tokens = Math.min(BURST, this.#tokens + (now - this.#last) * this.#rate);
    this.#last = now;
    return Math.min(budget, Math.floor(this.#tokens));
  }

  /** Flushes the output in time, for a reader of the growing file. */
  #flushAt(now: number): void {
    if (this.#output === undefined || now - this.#flushed < FLUSH_MILLISECONDS) return;
    this.#flushed = now;
    this.#output.flush();
  }
}
