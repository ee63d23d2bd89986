/**
 * A steady rate for programs that send packets.
 *
 * @module
 */

/**
 * Most packets that are due at once after a stall: those of this time, or this number, whichever is
 * more. The rest is never sent, since it would not fit in the rings on its way.
 */
const BURST_MS = 1, BURST_PACKETS = 256;

/** Calculates how many packets are due. */
export class Pace {
  /** Packets per millisecond. */
  readonly #rate: number;
  readonly #burst: number;
  #due = 0;
  #last: number;

  /**
   * Creates a pace that begins now.
   *
   * @param rate Packets per second.
   */
  constructor(rate: number) {
    this.#rate = rate / 1000;
    this.#burst = Math.max(BURST_PACKETS, this.#rate * BURST_MS);
    this.#last = performance.now();
  }

  /**
   * Returns how many packets are due since the beginning, as a whole number.
   *
   * @param now The time of `performance.now()`.
   * @param sent Packets sent since the beginning.
   */
  due(now: number, sent: number): number {
    this.#due = Math.min(this.#due + (now - this.#last) * this.#rate, sent + this.#burst);
    this.#last = now;
    return Math.floor(this.#due);
  }
}
