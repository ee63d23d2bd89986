/**
 * Wires that are a file descriptor, what they have in common: one frame a read, one frame a write.
 *
 * @module
 */

import { FRAME, FrameBuffer, pad } from "../frames/frame.ts";
import type { Wire, WirePort } from "./wire.ts";

/** A wire whose other end is read and written by system calls. */
export abstract class FileDescriptorWire implements Wire {
  /** What it is. */
  abstract readonly kind: string;
  /** Readable when frames wait. */
  abstract readonly fd: number;
  /** Where {@linkcode FileDescriptorWire.read} puts a frame. */
  protected readonly frame: FrameBuffer = new FrameBuffer();
  #sent = 0;
  #received = 0;
  #dropped = 0;
  #missed = 0;

  /** Reads the next frame into `frame`; returns its bytes, or less than 0 if none waits. */
  protected abstract read(): number;

  /** Writes a frame; returns false if the other end has no room for it, or is not there. */
  protected abstract write(frame: FrameBuffer, length: number): boolean;

  /** Ends it. */
  abstract close(): void;

  /** Sends a frame; what the other end does not take is dropped. */
  transmit(frame: FrameBuffer, length: number): void {
    if (this.write(frame, length)) this.#sent++;
    else this.#dropped++;
  }

  /** Hands over the frames that wait. */
  poll(port: WirePort, budget: number): number {
    if (!port.receiving) return 0;
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

  /** Frames sent, received, dropped, and of those received missed by the port. */
  statistics(): Record<string, number> {
    return {
      sent: this.#sent,
      received: this.#received,
      dropped: this.#dropped,
      missed: this.#missed,
    };
  }
}
