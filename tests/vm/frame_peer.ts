/**
 * The other end of a cable of the software NIC, for tests that send and compare whole frames. Not a
 * test itself.
 *
 * @module
 */

import { delay } from "jsr:@std/async@1/delay";
import { FrameBuffer } from "../../sim/frames/frame.ts";
import { DatagramWire } from "../../sim/wires/dgram.ts";
import type { WirePort } from "../../sim/wires/wire.ts";
import { until } from "../support/processes.ts";

/** Frames on their way at most: fewer than a datagram socket holds, so that none is lost. */
export const WINDOW = 8;
/** Frames to read from the socket at once; and time until it is tried again if it is full. */
const BUDGET = 64, RETRY_MS = 2;
/** Longest that frames may take, in milliseconds: an emulated processor handles them. */
const FRAMES_MS = 60000;

/** Sends frames, and collects those that arrive. */
export class FramePeer implements WirePort, Disposable {
  readonly receiving = true;
  readonly #wire: DatagramWire;
  readonly #frame = new FrameBuffer();
  #received: Uint8Array[] = [];

  /**
   * Opens its socket.
   *
   * @param local Path of its socket.
   * @param remote Path of the software NIC's socket.
   */
  constructor(local: string, remote: string) {
    this.#wire = new DatagramWire(local, remote);
  }

  /** Keeps a frame from the wire. */
  receive({ bytes }: FrameBuffer, length: number): boolean {
    this.#received.push(bytes.slice(0, length));
    return true;
  }

  /** Sends frames, and does not wait for frames. */
  async send(frames: readonly Uint8Array[]): Promise<void> {
    for (const frame of frames) {
      while (!this.#send(frame)) await delay(RETRY_MS);
    }
  }

  /**
   * Sends frames, and waits for frames.
   *
   * @param wanted Number of frames to wait for, or whether those that have arrived are enough. If not
   * all frames come back one by one, at most {@linkcode WINDOW} may be sent.
   * @returns All frames that arrived.
   */
  async exchange(
    frames: readonly Uint8Array[],
    wanted: number | ((received: readonly Uint8Array[]) => boolean) = frames.length,
  ): Promise<Uint8Array[]> {
    const received: Uint8Array[] = this.#received = [];
    const enough = typeof wanted === "number" ? () => received.length >= wanted : wanted;
    let sent = 0;
    const step = () => {
      this.#wire.poll(this, BUDGET);
      while (sent < frames.length && sent - received.length < WINDOW && this.#send(frames[sent])) {
        sent++;
      }
      return sent === frames.length && enough(received);
    };
    await until(() => `${received.length} frames have arrived, not enough`, step, FRAMES_MS);
    return received;
  }

  /** Sends a frame; returns false if the socket is full. */
  #send(frame: Uint8Array): boolean {
    const { dropped } = this.#wire.statistics();
    this.#frame.bytes.set(frame);
    this.#wire.transmit(this.#frame, frame.length);
    return this.#wire.statistics().dropped === dropped;
  }

  [Symbol.dispose](): void {
    this.#wire.close();
  }
}
