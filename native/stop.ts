/**
 * A flag that the signals that end a process set, for loops that do not return to the event loop.
 *
 * @module
 */

import { UsageError } from "./errors.ts";
import { checkErrno, Errno, stubs } from "./stubs.ts";

/** The signals with their numbers on x86-64, in the order of `stop_signals` in the stubs. */
const SIGNALS = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGTERM: 15,
  SIGUSR2: 12,
  SIGALRM: 14,
  SIGXCPU: 24,
  SIGXFSZ: 25,
} as const satisfies Partial<Record<Deno.Signal, number>>;
const NAMES = Object.keys(SIGNALS) as (keyof typeof SIGNALS)[];

/**
 * Catches SIGINT, SIGTERM and the other signals that would end the process: SIGHUP (a terminal that
 * closes), SIGQUIT, SIGUSR2, SIGALRM, SIGXCPU and SIGXFSZ. The first signal stores its number, which a loop
 * reads without leaving JavaScript. Signals within a second after it do nothing, because one Ctrl-C can
 * arrive twice; later ones end the process. Under `nohup`, SIGHUP stays ignored. Only one StopFlag can
 * exist at a time.
 */
export class StopFlag implements Disposable {
  readonly #word: Int32Array;
  readonly #listeners: readonly (() => void)[];

  /**
   * Creates the flag and installs the signal handlers.
   *
   * @throws {UsageError} if another StopFlag exists, or this is not Linux on x86-64 with `--allow-ffi`.
   * @throws {SystemError} if the kernel refuses.
   */
  constructor() {
    const nohup = checkErrno("read the handler of SIGHUP", stubs.ixy_stop_nohup());
    // Deno installs its own handlers with the first listener. Later, they would replace ours, so listen
    // first. The listeners catch signals that arrive before ours are installed.
    let early = 0;
    this.#listeners = NAMES.map((name) => () => {
      early ||= SIGNALS[name];
      if (this.#word?.[0] === 0) this.#word[0] = early;
    });
    NAMES.forEach((name, i) => Deno.addSignalListener(name, this.#listeners[i]));
    const address = new BigUint64Array(1);
    const result = stubs.ixy_stop_begin(nohup, address);
    if (result < 0) this.#removeListeners();
    if (result === -Errno.EBUSY) {
      throw new UsageError("another StopFlag exists: dispose it first, or use it");
    }
    checkErrno("install signal handlers", result);
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
    this.#removeListeners();
  }

  #removeListeners(): void {
    NAMES.forEach((name, i) => Deno.removeSignalListener(name, this.#listeners[i]));
  }
}
