/**
 * A wire with nobody at its end: the link is up, and frames end there.
 *
 * @module
 */

import type { FrameBuffer, Wire, WirePort } from "./wire.ts";

/** Counts what the port transmits, and sends nothing. */
export class NoWire implements Wire {
  /** What it is. */
  readonly kind: string = "none";
  /** Nothing to wait for. */
  readonly fd: number = -1;
  #received = 0;

  /** Counts a frame. */
  transmit(_frame: FrameBuffer, _length: number): void {
    this.#received++;
  }

  /** Nothing comes. */
  poll(_port: WirePort, _budget: number): number {
    return 0;
  }

  /** Frames that the port has transmitted. */
  statistics(): Record<string, number> {
    return { received: this.#received };
  }

  /** Nothing to end. */
  close(): void {}
}
