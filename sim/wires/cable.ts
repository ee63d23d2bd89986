/**
 * A cable between two ports of one model: each receives what the other transmits.
 *
 * @module
 */

import { FrameBuffer } from "../frames/frame.ts";
import type { Wire, WirePort } from "./wire.ts";

/** Words for frames in flight in one direction: 1 MiB. */
const WORDS = 1 << 18;

/** A queue of frames in one block of memory, each after a word with its length. */
class FrameRing {
  readonly #words = new Uint32Array(WORDS);
  readonly #frame = new FrameBuffer();
  #head = 0;
  #tail = 0;
  #used = 0;

  /** Appends a frame; returns false if there is no room. */
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

  /** Delivers frames; returns how many, and adds the number of refused ones to `refused[0]`. */
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

/** One end of a cable. {@linkcode cable} creates pairs. */
export class CableEnd implements Wire {
  /** Kind of wire. */
  readonly kind: string = "cable";
  /** None: the same loop polls the other end. */
  readonly fd: number = -1;
  readonly #out: FrameRing;
  readonly #in: FrameRing;
  #sent = 0;
  #dropped = 0;
  #delivered = 0;
  readonly #missed = new Float64Array(1);

  /**
   * Creates one end.
   *
   * @param out Takes the frames that this end's port transmits.
   * @param incoming Holds the frames that this end's port receives.
   */
  constructor(out: FrameRing, incoming: FrameRing) {
    this.#out = out;
    this.#in = incoming;
  }

  /** Puts a frame on the cable, or drops it if the cable is full. */
  transmit(frame: FrameBuffer, length: number): void {
    if (this.#out.push(frame, length)) this.#sent++;
    else this.#dropped++;
  }

  /** Delivers frames from the other end. */
  poll(port: WirePort, budget: number): number {
    const done = this.#in.drain(port, budget, this.#missed);
    this.#delivered += done;
    return done;
  }

  /** Counts frames sent, dropped by a full cable, delivered, and missed by the port of those. */
  statistics(): Record<string, number> {
    return {
      sent: this.#sent,
      dropped: this.#dropped,
      delivered: this.#delivered,
      missed: this.#missed[0],
    };
  }

  /** Does nothing: a cable holds no resources. */
  close(): void {}
}

/** Creates a cable; returns its two ends. */
export function cable(): [CableEnd, CableEnd] {
  const there = new FrameRing();
  const back = new FrameRing();
  return [new CableEnd(there, back), new CableEnd(back, there)];
}
