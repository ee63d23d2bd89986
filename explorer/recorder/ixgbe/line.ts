/**
 * The wire of a port: frames wait in it until the device takes them, and a watcher sees each one.
 *
 * @module
 */

import { FrameBuffer } from "../../../sim/frames/frame.ts";
import type { Wire, WirePort } from "../../../sim/wires/wire.ts";

/** A frame on its way to the port. */
export interface WireFrame {
  readonly number: number;
  readonly bytes: Uint8Array;
}

/** Sees the frames on a wire. */
export interface LineWatcher {
  /** A frame arrives. `receive` gives it to the port. */
  arrive(frame: WireFrame, receive: () => void): void;
  /** The port has sent a frame. */
  sent(bytes: Uint8Array): void;
}

/** The wire. */
export class Line implements Wire {
  readonly kind = "line";
  readonly fd = -1;
  /** Frames for the port, in order. */
  readonly waiting: WireFrame[] = [];
  readonly #watcher: LineWatcher;
  readonly #buffer = new FrameBuffer();

  constructor(watcher: LineWatcher) {
    this.#watcher = watcher;
  }

  transmit(frame: FrameBuffer, length: number): void {
    this.#watcher.sent(frame.bytes.slice(0, length));
  }

  poll(port: WirePort, budget: number): number {
    const n = Math.min(budget, this.waiting.length);
    for (const frame of this.waiting.splice(0, n)) {
      this.#buffer.bytes.set(frame.bytes);
      this.#watcher.arrive(frame, () => port.receive(this.#buffer, frame.bytes.length));
    }
    return n;
  }

  statistics(): Record<string, number> {
    return { waiting: this.waiting.length };
  }

  close(): void {}
}
