/**
 * What wires with a file descriptor share: each system call reads or writes one frame.
 *
 * @module
 */

import { FRAME, FrameBuffer, pad } from "../frames/frame.ts";
import type { Wire, WirePort } from "./wire.ts";

/** A wire whose other end is read and written by system calls. */
export abstract class FileDescriptorWire implements Wire {
  /** Kind of wire. */
  abstract readonly kind: string;
  /** Readable when frames wait. */
  abstract readonly fd: number;
  /** Takes the frame of {@linkcode FileDescriptorWire.prototype.read}. */
  protected readonly frame: FrameBuffer = new FrameBuffer();
  #sent = 0;
  #received = 0;
  #dropped = 0;
  #missed = 0;
  #begun = false;

  /** Reads the next frame into `frame`; returns its length in bytes, or less than 0 without one. */
  protected abstract read(): number;

  /** Writes a frame; returns false if the other end does not exist or has no room. */
  protected abstract write(frame: FrameBuffer, length: number): boolean;

  /** Ends the wire. */
  abstract close(): void;

  /**
   * Sends a frame, or drops it if the other end does not take it, or if it is longer than its buffer:
   * the system call would send what lies behind.
   */
  transmit(frame: FrameBuffer, length: number): void {
    if (length <= FrameBuffer.CAPACITY && this.write(frame, length)) this.#sent++;
    else this.#dropped++;
  }

  /**
   * Delivers waiting frames. They wait until the port receives for the first time, so that the other
   * end may start earlier. Later, a port that does not receive loses them, as with a cable.
   */
  poll(port: WirePort, budget: number): number {
    if (port.receiving) this.#begun = true;
    else if (!this.#begun) return 0;
    let done = 0;
    while (done < budget) {
      const length = this.read();
      if (length < 0) break;
      done++;
      if (length < FRAME.HEADER || length > FRAME.MAX) this.#dropped++;
      else if (!port.receive(this.frame, pad(this.frame, length))) this.#missed++;
    }
    this.#received += done;
    return done;
  }

  /** Counts frames sent, received, dropped, and received ones that the port missed. */
  statistics(): Record<string, number> {
    return {
      sent: this.#sent,
      received: this.#received,
      dropped: this.#dropped,
      missed: this.#missed,
    };
  }
}
