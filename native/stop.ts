/**
 * SIGINT and SIGTERM as a flag, for loops that do not return to the event loop.
 *
 * @module
 */

import { checkErrno, stubs } from "./stubs.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const doNothing = () => {};

/**
 * Catches SIGINT and SIGTERM. The first one stores its number, which a loop reads without leaving
 * JavaScript; the same signal again ends the process. Only one StopFlag can exist at a time.
 */
export class StopFlag implements Disposable {
  readonly #word: Int32Array;

  /**
   * Creates the flag and installs the signal handlers.
   *
   * @throws {UsageError} if this is not Linux on x86-64 with `--allow-ffi`.
   * @throws {SystemError} if the kernel refuses.
   */
  constructor() {
    // Deno installs its own handlers with its first listener, and would replace ours then: do it now.
    for (const signal of SIGNALS) Deno.addSignalListener(signal, doNothing);
    const address = new BigUint64Array(1);
    checkErrno("install signal handlers", stubs.ixy_stop_begin(address));
    const pointer = Deno.UnsafePointer.create(address[0])!;
    this.#word = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, 4));
  }

  /** The number of the signal that was caught, else 0. */
  get signal(): number {
    return this.#word[0];
  }

  /**
   * Restores the previous handlers.
   *
   * @throws {SystemError} if the kernel refuses.
   */
  [Symbol.dispose](): void {
    checkErrno("restore signal handlers", stubs.ixy_stop_end());
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, doNothing);
  }
}
