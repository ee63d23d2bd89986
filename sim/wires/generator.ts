/**
 * A wire to a packet generator and checker. It sends a stream of numbered frames at a steady rate,
 * and checks the stream that the port transmits: its own or a peer's.
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
  /** Number of the stream, different for each of a model: 0 to 255. */
  readonly id: number;
  /** Bytes of a frame without CRC: 60 to 15,868; default: 60. */
  readonly size?: number | undefined;
  /** Frames per second; default: the line rate of 10 Gbit/s. */
  readonly rate?: number | undefined;
  /** Destination MAC address of the frames; default: a locally administered one. */
  readonly destination?: Uint8Array | undefined;
  /** Whether to measure the round-trip time of each frame; default: no. */
  readonly latency?: boolean | undefined;
  /** Flows of the stream: 1 to 1024; default: 1. */
  readonly flows?: number | undefined;
  /** Returns the time in milliseconds; default: the machine's clock. */
  readonly clock?: (() => number) | undefined;
}

/** After a stall, the frames of at most this time are sent at once; older ones never are. */
const BURST_MILLISECONDS = 0.2;
const DESTINATION = new Uint8Array([0x02, 0, 0, 0, 0, 1]);

/** Returns the frames per second at 10 Gbit/s, with CRC, preamble and gap around `size` bytes. */
export function lineRate(size: number): number {
  return 1e10 / ((size + 4 + 20) * 8);
}

/**
 * Sends one stream and checks one. It sends between `start` and `stop`, while the port receives.
 */
export class Generator implements Wire {
  /** Kind of wire. */
  readonly kind: string = "generator";
  /** It sends at its own rate, and checks all frames that it receives. */
  readonly ignoresPause: boolean = true;
  /** None: its frames come from a clock. */
  readonly fd: number = -1;
  /** Round-trip times of its frames, if it measures them. */
  readonly latency: Latency | undefined;
  readonly #stream: Stream;
  #checker: Checker;
  #peer: Generator = this;
  /** Frames per millisecond. */
  readonly #rate: number;
  readonly #clock: () => number;
  #running = false;
  #missed = 0;
  #tokens = 0;
  #last = 0;

  /**
   * Creates a generator that expects its own stream back, until it is paired.
   *
   * @throws {UsageError} if size, rate or number of flows is out of range.
   */
  constructor(options: GeneratorOptions) {
    this.#stream = new Stream(
      options.id,
      options.size ?? 60,
      options.destination ?? DESTINATION,
      options.flows,
    );
    const rate = options.rate ?? lineRate(this.#stream.size);
    if (!(rate > 0 && rate < 1e9)) {
      throw new UsageError(
        `${rate} frames per second are out of range: give more than 0, below 1e9`,
      );
    }
    this.#rate = rate / 1000;
    this.#clock = options.clock ?? milliseconds;
    this.#checker = new Checker(this.#stream);
    this.latency = options.latency ? new Latency() : undefined;
  }

  /** Pairs two generators: each expects the other's stream from now on. */
  pair(peer: Generator): void {
    this.#peer = peer;
    this.#checker = new Checker(peer.#stream);
    peer.#peer = this;
    peer.#checker = new Checker(this.#stream);
  }

  /**
   * The generator that expects this stream, and whose stream is expected here: itself or the peer.
   */
  get peer(): Generator {
    return this.#peer;
  }

  /** Whether it sends while the port receives. */
  get running(): boolean {
    return this.#running;
  }

  /** Starts sending. */
  start(): void {
    this.#running = true;
    this.#last = this.#clock();
    this.#tokens = 0;
  }

  /** Stops sending; numbers continue at the next start. */
  stop(): void {
    this.#running = false;
  }

  /** Checks a frame that the port transmits. */
  transmit(frame: FrameBuffer, length: number): void {
    this.#peer.latency?.back(frame.words[WORD.SEQUENCE_LOW]);
    this.#checker.check(frame, length);
  }

  /** Sends the frames that are due. */
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

  /** Counts frames sent and missed by the port, and the checker's counts. */
  statistics(): Record<string, number> {
    return {
      sent: this.#stream.count[0],
      missed: this.#missed,
      ...this.#checker.statistics(),
    };
  }

  /** Stops sending. */
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
      // Before the frame is sent: a port in the same process may return it at once.
      stream.count[0] = first + i + 1;
      this.latency?.sent(first + i);
      if (!port.receive(frame, size)) missed++;
    }
    this.#missed += missed;
  }
}
