/**
 * What the two threads of the probe in `distance.ts` share, and what they are told.
 *
 * @module
 */

/** Words of the line that goes to and fro: a line each way, and one that ends it, far apart. */
export const PING = 0, PONG = 64, STOP = 128, WORDS = 192;

/** What a thread of the probe is told. */
export interface Order {
  /** The core to be on; the first order only. */
  readonly core?: number;
  /** The line; the first order only. */
  readonly words?: Int32Array;
  /** Plays: how many slices of how many milliseconds to send, or to answer. */
  readonly slices?: number;
  readonly milliseconds?: number;
}
