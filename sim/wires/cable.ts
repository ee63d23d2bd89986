/**
 * A cable between two ports of one model: what one transmits, the other receives.
 *
 * @module
 */

import { FrameBuffer } from "../frames/frame.ts";
import type { Wire, WirePort } from "./wire.ts";

/** Words of frames on their way in one direction: 1 MiB. */
const WORDS = 1 << 18;

/** Frames in order in one block of memory, a word with the length before each. */
class FrameRing {
  readonly #words = new Uint32Array(WORDS);
  readonly #frame = new FrameBuffer();
  #head = 0;
  #tail = 0;
  #used = 0;

  /** Appends a frame; false if there is no room. */
  push(frame: FrameBuffer, length: number): boolean {
    const count = (length + 3) >>> 2;
    if (this.#used + count + 1 > WORDS) return false;
    const words = this.#words;
    const from = frame.words;
    let at = this.#head;
    words[at] = length;
    for (let i = 0; i < count; i++) {
      at = (at + 1) & (WORDS - 1);
      words[at] = from[i];
    }
    this.#head = (at + 1) & (WORDS - 1);
    this.#used += count + 1;
    return true;
  }

  /** Hands frames over; returns how many, and counts those refused to `refused[0]`. */
  drain(port: WirePort, budget: number, refused: Float64Array): number {
    const words = this.#words;
    const to = this.#frame.words;
    let done = 0;
    while (done < budget && this.#used > 0) {
      let at = this.#tail;
      const length = words[at];
      const count = (length + 3) >>> 2;
      for (let i = 0; i < count; i++) {
        at = (at + 1) & (WORDS - 1);
        to[i] = words[at];
      }
      this.#tail = (at + 1) & (WORDS - 1);
      this.#used -= count + 1;
      if (!port.receive(this.#frame, length)) refused[0]++;
      done++;
    }
    return done;
  }
}

/** One end of a cable. Made in pairs by {@linkcode cable}. */
export class CableEnd implements Wire {
  /** What it is. */
  readonly kind: string = "cable";
  /** Nothing to wait for: the other end is polled by the same loop. */
  readonly fd: number = -1;
  readonly #out: FrameRing;
  readonly #in: FrameRing;
  #sent = 0;
  #dropped = 0;
  #delivered = 0;
  readonly #missed = new Float64Array(1);

  /**
   * One end, of two rings.
   *
   * @param out Takes what this end's port transmits.
   * @param incoming Has what this end's port receives.
   */
  constructor(out: FrameRing, incoming: FrameRing) {
    this.#out = out;
    this.#in = incoming;
  }

  /** Puts a frame on the cable, or drops it where the cable is full. */
  transmit(frame: FrameBuffer, length: number): void {
    if (this.#out.push(frame, length)) this.#sent++;
    else this.#dropped++;
  }

  /** Hands over what has come from the other end. */
  poll(port: WirePort, budget: number): number {
    const done = this.#in.drain(port, budget, this.#missed);
    this.#delivered += done;
    return done;
  }

  /** Frames sent, dropped because the cable was full, delivered, and of these missed by the port. */
  statistics(): Record<string, number> {
    return {
      sent: this.#sent,
      dropped: this.#dropped,
      delivered: this.#delivered,
      missed: this.#missed[0],
    };
  }

  /** Nothing to end. */
  close(): void {}
}

/** The two ends of a new cable. */
export function cable(): [CableEnd, CableEnd] {
  const there = new FrameRing();
  const back = new FrameRing();
  return [new CableEnd(there, back), new CableEnd(back, there)];
}
