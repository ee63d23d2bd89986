/**
 * A flag that the signals that end a process set, for loops that do not return to the event loop, and for
 * waits that end with the signal.
 *
 * @module
 */

import { StopError, UsageError } from "./errors.ts";
import { checkErrno, Errno, stubs } from "./stubs.ts";

/** The signals of `listened` in the stubs. */
const LISTENED: readonly Deno.Signal[] = [
  ...["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"] as const,
  ...["SIGUSR2", "SIGALRM", "SIGXCPU", "SIGXFSZ"] as const,
];

/** The flag of this thread. */
let current: StopFlag | undefined;

/**
 * Catches the signals that would end the process: SIGINT, SIGTERM, SIGHUP (a terminal that closes), SIGQUIT,
 * SIGABRT, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT, SIGXCPU, SIGXFSZ and
 * real-time signals. It does not catch SIGKILL, nor the signals of a crash: SIGSEGV, SIGBUS, SIGFPE, SIGILL,
 * SIGTRAP and SIGSYS. Only SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR2, SIGALRM, SIGXCPU and SIGXFSZ replace
 * a handler that exists already, so V8's profiler keeps SIGPROF.
 *
 * The first signal stores its number, which a loop reads without leaving JavaScript. It also ends `open()`
 * and `waitForLink()` of a device with a {@linkcode StopError}. Signals within a second after the first do
 * nothing, because one Ctrl-C can arrive twice; later ones end the process. Under `nohup`, SIGHUP stays
 * ignored. Only one StopFlag can exist at a time.
 */
export class StopFlag implements Disposable {
  readonly #word: Int32Array;
  readonly #listener = (): void => {};

  /**
   * Creates the flag and installs the signal handlers.
   *
   * @throws {UsageError} if another StopFlag exists, or this is not Linux on x86-64 with `--allow-ffi`.
   * @throws {SystemError} if the kernel refuses.
   */
  constructor() {
    const address = new BigUint64Array(1);
    const begun = stubs.ixy_stop_begin(address);
    if (begun === -Errno.EBUSY) {
      throw new UsageError("another StopFlag exists: dispose it first, or use it");
    }
    // Deno installs its own handlers with the first listener. Later, they would replace ours.
    for (const signal of LISTENED) Deno.addSignalListener(signal, this.#listener);
    const result = begun < 0 ? begun : stubs.ixy_stop_cover();
    if (result < 0) {
      stubs.ixy_stop_end();
      this.#removeListeners();
    }
    checkErrno("install signal handlers", result);
    const pointer = Deno.UnsafePointer.create(address[0])!;
    this.#word = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, 4));
    current = this;
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
    if (current === this) current = undefined;
    checkErrno("restore signal handlers", stubs.ixy_stop_end());
    this.#removeListeners();
  }

  #removeListeners(): void {
    for (const signal of LISTENED) Deno.removeSignalListener(signal, this.#listener);
  }
}

/** Running calls of {@linkcode stoppable}, and whether a signal has ended one of them. */
let running = 0, ended = false;

/**
 * Runs work whose waits a signal ends: they call {@linkcode checkStop}, which throws once, so that the work
 * can clean up after the error.
 *
 * @throws {StopError} if a StopFlag has caught a signal.
 * @throws whatever `work` throws.
 */
export async function stoppable<Result>(work: () => Promise<Result>): Promise<Result> {
  running++;
  try {
    checkStop();
    return await work();
  } finally {
    if (--running === 0) ended = false;
  }
}

/** Runs work whose waits a signal does not end, such as closing a device while another one is opened. */
export function unstoppable<Result>(work: () => Result): Result {
  const before = running;
  running = 0;
  try {
    return work();
  } finally {
    running = before;
  }
}

/**
 * Ends {@linkcode stoppable} work once a signal has arrived. Every wait for a device calls this.
 *
 * @throws {StopError} if a StopFlag has caught a signal.
 */
export function checkStop(): void {
  if (running === 0 || ended || current === undefined || current.signal === 0) return;
  ended = true;
  throw new StopError(current.signal);
}
