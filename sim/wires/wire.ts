/**
 * The interface between a port and the other end of its cable; and a wire with nothing at that end.
 *
 * @module
 */

import type { FrameBuffer } from "../frames/frame.ts";

/** A port, from its wire's side. */
export interface WirePort {
  /**
   * Takes a frame from the wire. The port copies it, or counts why it did not.
   *
   * @param frame Holds the frame from byte 0, without CRC.
   * @param length Bytes of the frame, without CRC: 14 to 15,868.
   * @returns false if the port had neither a descriptor nor buffer space for it: `missed`.
   */
  receive(frame: FrameBuffer, length: number): boolean;
  /** Whether the port's receiver and its first queue are enabled. */
  readonly receiving: boolean;
  /** Whether the port sends a signal that gives its partner a link; default: true. */
  readonly sendsSignal?: boolean;
  /** Connects or disconnects the link partner; default: its link does not change. */
  setLink?(up: boolean): void;
}

/** The other end of a port's cable: a generator, a file, a TAP device, another port. */
export interface Wire {
  /** Kind of wire, for messages and statistics: `generator`, `pcap`, `tap`, … */
  readonly kind: string;
  /**
   * Takes a frame from the port. The wire copies what it keeps.
   *
   * @param frame Holds the frame from byte 0, without CRC.
   * @param length Bytes of the frame, without CRC.
   */
  transmit(frame: FrameBuffer, length: number): void;
  /**
   * Delivers waiting frames to the port; called in every round of the model's loop.
   *
   * @param budget Maximum number of frames to deliver.
   * @returns Number of frames delivered, including missed ones; 0 lets the model wait.
   */
  poll(port: WirePort, budget: number): number;
  /** Returns counts to print, by name. */
  statistics(): Record<string, number>;
  /** Whether its sender does not stop: pause frames of the port end before it (default: false). */
  readonly ignoresPause?: boolean;
  /** A file descriptor that becomes readable when frames wait, or -1: ends the model's waits. */
  readonly fd: number;
  /** Ends the wire: completes files, removes devices and sockets. */
  close(): void;
}

/** A wire with nothing at its end: the link is up, and sent frames are dropped. */
export class NoWire implements Wire {
  readonly kind: string = "none";
  readonly fd: number = -1;
  #received = 0;

  /** Counts a frame. */
  transmit(_frame: FrameBuffer, _length: number): void {
    this.#received++;
  }

  /** Delivers no frames. */
  poll(_port: WirePort, _budget: number): number {
    return 0;
  }

  /** Counts the frames that the port has transmitted. */
  statistics(): Record<string, number> {
    return { received: this.#received };
  }

  /** Does nothing: the wire holds no resources. */
  close(): void {}
}
