/**
 * A steady rate, for who sends when something is due.
 *
 * @module
 */

/**
 * After a stall, what was due in this time, or so many packets, is sent at once; the rest never. More
 * would not fit the rings that they go through.
 */
const BURST_MS = 1, BURST_PACKETS = 256;

/** Tells how many packets are due. */
export class Pace {
  /** Packets a millisecond. */
  readonly #rate: number;
  readonly #burst: number;
  #due = 0;
  #last: number;

  /**
   * A pace that begins now.
   *
   * @param rate Packets a second.
   */
  constructor(rate: number) {
    this.#rate = rate / 1000;
    this.#burst = Math.max(BURST_PACKETS, this.#rate * BURST_MS);
    this.#last = performance.now();
  }

  /**
   * Packets due since the beginning, as a whole number.
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
