/**
 * Time that passes only when a test says so. Not a test itself.
 *
 * @module
 */

/** Replaces `performance.now()` in this thread, until it is disposed. */
export class FrozenTime implements Disposable {
  readonly #now = performance.now;

  /** @param milliseconds The time, which the test may change. */
  constructor(public milliseconds: number) {
    performance.now = () => this.milliseconds;
  }

  [Symbol.dispose](): void {
    performance.now = this.#now;
  }
}
