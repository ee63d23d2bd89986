/**
 * What wires have in common that are a file descriptor: one frame a read, one frame a write.
 *
 * @module
 */

import { FRAME } from "../frames/frame.ts";
import { FrameBuffer, type Wire, type WirePort } from "./wire.ts";
import { pad } from "./pad.ts";

/** Bytes of an Ethernet header: what is shorter is no frame. */
const HEADER_BYTES = 14;

/** A wire whose other end is read and written by system calls. */
export abstract class DescriptorWire implements Wire {
  /** What it is. */
  abstract readonly kind: string;
  /** Readable when frames wait. */
  abstract readonly fd: number;
  /** Where {@linkcode DescriptorWire.read} puts a frame. */
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
      if (length < HEADER_BYTES || length > FRAME.LONGEST) this.#dropped++;
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
