/**
 * Signals that end a program, for loops that do not return to the event loop.
 *
 * @module
 */

import { checkErrno, stubs } from "./stubs.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
const doNothing = () => {};

/**
 * Catches SIGINT and SIGTERM: the first one stores its number where a loop can look for it without
 * leaving JavaScript, the second one of a kind ends the process. One at a time.
 */
export class StopFlag implements Disposable {
  readonly #word: Int32Array;

  /**
   * Installs the signal handlers.
   *
   * @throws {UsageError} if this is not Linux on x86-64 with `--allow-ffi`.
   * @throws {SystemError} if the kernel refuses.
   */
  constructor() {
    // Deno installs its own handlers when it first needs them, which would undo ours: do that now.
    for (const signal of SIGNALS) Deno.addSignalListener(signal, doNothing);
    const address = new BigUint64Array(1);
    checkErrno("install signal handlers", stubs.ixy_stop_begin(address));
    const pointer = Deno.UnsafePointer.create(address[0])!;
    this.#word = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, 4));
  }

  /** The signal's number once one has come, else 0. */
  get signal(): number {
    return this.#word[0];
  }

  /**
   * Puts the former handlers back.
   *
   * @throws {SystemError} if the kernel refuses.
   */
  [Symbol.dispose](): void {
    checkErrno("restore signal handlers", stubs.ixy_stop_end());
    for (const signal of SIGNALS) Deno.removeSignalListener(signal, doNothing);
  }
}
