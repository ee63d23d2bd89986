/**
 * The memory that the two threads of the probe in `distance.ts` share, and their orders.
 *
 * @module
 */

/**
 * Indices of words in separate cache lines: one for each way, and one to stop; and their number.
 */
export const PING = 0, PONG = 64, STOP = 128, WORDS = 192;

/** An order to a thread of the probe. */
export interface Order {
  /** The core to run on; first order only. */
  readonly core?: number;
  /** The shared words; first order only. */
  readonly words?: Int32Array;
  /** Slices to send; 0: to echo. */
  readonly slices?: number;
  /** Milliseconds of each slice. */
  readonly milliseconds?: number;
}
