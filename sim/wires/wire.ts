/**
 * What stands at the other end of a port's cable, as the port knows it; and the end where nothing
 * stands.
 *
 * @module
 */

import type { FrameBuffer } from "../frames/frame.ts";

/** The port as a wire sees it. */
export interface WirePort {
  /**
   * A frame arrives from the wire. The port copies it, or counts why it did not.
   *
   * @param frame Holds the frame from byte 0, without CRC.
   * @param length Bytes of the frame, without CRC: 14 to 15,868.
   * @returns false if the port had no free descriptor (or no buffer space) for it: `missed`.
   */
  receive(frame: FrameBuffer, length: number): boolean;
  /** Whether the port's receiver and its first queue are enabled: a frame would be looked at. */
  readonly receiving: boolean;
}

/** What stands at the other end of a port's cable: a generator, a file, a TAP device, a port. */
export interface Wire {
  /** What it is, for messages and statistics: `generator`, `pcap`, `tap`, … */
  readonly kind: string;
  /**
   * The port sends a frame. The wire copies what it keeps.
   *
   * @param frame Holds the frame from byte 0, without CRC.
   * @param length Bytes of the frame, without CRC.
   */
  transmit(frame: FrameBuffer, length: number): void;
  /**
   * Hands waiting frames to the port; called in every round of the model's loop.
   *
   * @param budget The most frames to hand over.
   * @returns Frames handed over, missed ones included; 0 lets the model rest.
   */
  poll(port: WirePort, budget: number): number;
  /** Counts to print, by name. */
  statistics(): Record<string, number>;
  /**
   * A file descriptor that becomes readable when frames wait, for a model that has nothing else to do;
   * or -1.
   */
  readonly fd: number;
  /** Ends the wire: completes files, removes devices and sockets. */
  close(): void;
}

/** A wire with nothing at its end: the link is up, and frames end there. */
export class NoWire implements Wire {
  readonly kind: string = "none";
  readonly fd: number = -1;
  #received = 0;

  /** Counts a frame. */
  transmit(_frame: FrameBuffer, _length: number): void {
    this.#received++;
  }

  /** Brings no frames. */
  poll(_port: WirePort, _budget: number): number {
    return 0;
  }

  /** Frames that the port has transmitted. */
  statistics(): Record<string, number> {
    return { received: this.#received };
  }

  /** Does nothing: there is nothing to end. */
  close(): void {}
}
