/**
 * A wire with a packet generator and checker at its end: sends a stream of numbered frames at a
 * steady rate, and checks the stream that arrives from the port, its own or a peer's.
 *
 * @module
 */

import { milliseconds } from "../../native/clock.ts";
import { UsageError } from "../../src/errors.ts";
import type { FrameBuffer } from "../frames/frame.ts";
import { Latency } from "./latency.ts";
import { Checker, Stream, WORD } from "./stream.ts";
import type { Wire, WirePort } from "./wire.ts";

/** What a generator sends. */
export interface GeneratorOptions {
  /** Tells the streams of a model apart: 0 to 255. */
  readonly id: number;
  /** Bytes of a frame without CRC: 60 to 15,868; default 60. */
  readonly size?: number | undefined;
  /** Frames a second; default as many as fit 10 Gbit/s. */
  readonly rate?: number | undefined;
  /** MAC address that the frames go to; default a locally administered one. */
  readonly destination?: Uint8Array | undefined;
  /** Whether to measure how long each frame of its stream is away; default no. */
  readonly latency?: boolean | undefined;
  /** Flows of its stream: 1 to 1024; default 1. */
  readonly flows?: number | undefined;
  /** Tells the time in milliseconds; default the machine's clock. */
  readonly clock?: (() => number) | undefined;
}

/** After a stall, frames of this time at most are sent at once; the others were never sent. */
const BURST_MILLISECONDS = 0.2;
const DESTINATION = new Uint8Array([0x02, 0, 0, 0, 0, 1]);

/** Frames a second that fit 10 Gbit/s, with CRC, preamble and gap around `size` bytes. */
export function lineRate(size: number): number {
  return 1e10 / ((size + 4 + 20) * 8);
}

/** Sends one stream and checks one. It sends between `start` and `stop`, while the port receives. */
export class Generator implements Wire {
  /** What it is. */
  readonly kind: string = "generator";
  /** Nothing to wait for. */
  readonly fd: number = -1;
  /** The times of its frames, where they are taken. */
  readonly latency: Latency | undefined;
  readonly #stream: Stream;
  #checker: Checker;
  #peer: Generator = this;
  /** Frames a millisecond. */
  readonly #rate: number;
  readonly #clock: () => number;
  #running = false;
  #missed = 0;
  #tokens = 0;
  #last = 0;

  /**
   * Its own stream is expected back, until it is paired.
   *
   * @throws {UsageError} for a size, rate or number of flows out of range.
   */
  constructor(options: GeneratorOptions) {
    this.#stream = new Stream(
      options.id,
      options.size ?? 60,
      options.destination ?? DESTINATION,
      options.flows,
    );
    const rate = options.rate ?? lineRate(this.#stream.size);
    if (!(rate > 0 && rate < 1e9)) throw new UsageError(`${rate} frames a second cannot be`);
    this.#rate = rate / 1000;
    this.#clock = options.clock ?? milliseconds;
    this.#checker = new Checker(this.#stream);
    this.latency = options.latency ? new Latency() : undefined;
  }

  /** Each of the two expects the other's stream from now on. */
  pair(peer: Generator): void {
    this.#peer = peer;
    this.#checker = new Checker(peer.#stream);
    peer.#peer = this;
    peer.#checker = new Checker(this.#stream);
  }

  /** Whose stream is expected here, and where this one is expected: itself unless paired. */
  get peer(): Generator {
    return this.#peer;
  }

  /** Whether it has been started, and not stopped since. */
  get running(): boolean {
    return this.#running;
  }

  /** Sends from now on. */
  start(): void {
    this.#running = true;
    this.#last = this.#clock();
    this.#tokens = 0;
  }

  /** Sends no more; numbers go on at the next start. */
  stop(): void {
    this.#running = false;
  }

  /** Checks a frame from the port. */
  transmit(frame: FrameBuffer, length: number): void {
    this.#peer.latency?.back(frame.words[WORD.SEQUENCE_LOW]);
    this.#checker.check(frame, length);
  }

  /** Sends what is due. */
  poll(port: WirePort, budget: number): number {
    if (!this.#running) return 0;
    const now = this.#clock();
    const most = Math.max(1, this.#rate * BURST_MILLISECONDS);
    this.#tokens = Math.min(most, this.#tokens + (now - this.#last) * this.#rate);
    this.#last = now;
    if (!port.receiving) return 0;
    const due = Math.min(budget, Math.floor(this.#tokens));
    this.#tokens -= due;
    this.#send(port, due);
    return due;
  }

  /** The stream's counts: what was sent, and what has come back. */
  statistics(): Record<string, number> {
    return {
      sent: this.#stream.count[0],
      missed: this.#missed,
      ...this.#checker.statistics(),
    };
  }

  /** Nothing to end. */
  close(): void {
    this.stop();
  }

  #send(port: WirePort, count: number): void {
    const stream = this.#stream;
    const { frame, size } = stream;
    const first = stream.count[0];
    let missed = 0;
    for (let i = 0; i < count; i++) {
      stream.number(first + i);
      // Before it is sent: a port in the same process may return it at once.
      stream.count[0] = first + i + 1;
      this.latency?.sent(first + i);
      if (!port.receive(frame, size)) missed++;
    }
    this.#missed += missed;
  }
}
