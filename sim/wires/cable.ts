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

/** Whether the port at each end of a cable sends a signal. */
type Signals = [boolean, boolean];

/** One end of a cable. {@linkcode cable} creates pairs. */
export class CableEnd implements Wire {
  /** Kind of wire. */
  readonly kind: string = "cable";
  /** None: the same loop polls the other end. */
  readonly fd: number = -1;
  readonly #out: FrameRing;
  readonly #in: FrameRing;
  readonly #signals: Signals | undefined;
  readonly #number: 0 | 1;
  /** Whether a signal arrived in the last round. */
  #arrives = true;
  #sent = 0;
  #dropped = 0;
  #delivered = 0;
  readonly #missed = new Float64Array(1);

  /**
   * Creates one end.
   *
   * @param out Takes the frames that this end's port transmits.
   * @param incoming Holds the frames that this end's port receives.
   * @param number Which end it is.
   * @param signals Signals of both ends; undefined if a port's link does not depend on the other port.
   */
  constructor(out: FrameRing, incoming: FrameRing, number: 0 | 1, signals?: Signals) {
    this.#out = out;
    this.#in = incoming;
    this.#number = number;
    this.#signals = signals;
  }

  /** Puts a frame on the cable, or drops it if the cable is full. */
  transmit(frame: FrameBuffer, length: number): void {
    if (this.#out.push(frame, length)) this.#sent++;
    else this.#dropped++;
  }

  /** Delivers signal and frames from the other end. */
  poll(port: WirePort, budget: number): number {
    if (this.#signals !== undefined) this.#carrySignals(port, this.#signals);
    const done = this.#in.drain(port, budget, this.#missed);
    this.#delivered += done;
    return done;
  }

  #carrySignals(port: WirePort, signals: Signals): void {
    signals[this.#number] = port.sendsSignal ?? true;
    const arrives = signals[1 - this.#number];
    if (arrives !== this.#arrives) port.setLink?.(arrives);
    this.#arrives = arrives;
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

/**
 * Creates a cable; returns its two ends.
 *
 * @param signal Whether a port that sends no signal takes the other port's link down (default: false).
 */
export function cable(signal = false): [CableEnd, CableEnd] {
  const there = new FrameRing(), back = new FrameRing();
  const signals: Signals | undefined = signal ? [true, true] : undefined;
  return [new CableEnd(there, back, 0, signals), new CableEnd(back, there, 1, signals)];
}
