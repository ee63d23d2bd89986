/**
 * How a signal ends a program that has child processes and temporary directories: the children end, the
 * directories are removed, and the exit code names the signal. Programs that poll devices use `StopFlag`
 * alone.
 *
 * @module
 */

import { StopFlag } from "../native/stop.ts";
import { causes, DeviceError } from "../src/errors.ts";
import { TemporaryDirectory } from "./temporary_directory.ts";

/** Milliseconds between looks at the stop flag, and from a signal to the forced end. */
const LOOK_MS = 20, END_MS = 8000;

/** A wait was given up because of a signal. */
class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** Catches the signals that would end this process. Only one can exist at a time. */
export class Interruption implements Disposable {
  static #current: Interruption | undefined;
  readonly #stop: StopFlag;
  readonly #abort = new AbortController();
  readonly #caught = Promise.withResolvers<void>();
  readonly #timer: ReturnType<typeof setInterval>;

  /**
   * Installs the handlers of {@linkcode StopFlag}.
   *
   * @throws {UsageError} if a StopFlag exists.
   */
  constructor() {
    this.#stop = new StopFlag();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    Interruption.#current = this;
  }

  /** The instance of this process; undefined if there is none. */
  static get current(): Interruption | undefined {
    return Interruption.#current;
  }

  /** The number of the signal that was caught, else 0. */
  get number(): number {
    return this.#stop.signal;
  }

  /** Aborted once a signal is caught: for child processes and other work to end. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Resolves once a signal is caught. */
  get caught(): Promise<void> {
    return this.#caught.promise;
  }

  /** Waits for a promise; throws once a signal is caught. */
  async orEnd<T>(promise: Promise<T>): Promise<T> {
    const interrupted = this.caught.then(() => {
      throw new Interrupted(`signal ${this.number}`);
    });
    return await Promise.race([promise, interrupted]);
  }

  #look(): void {
    if (this.#stop.signal === 0) return;
    clearInterval(this.#timer);
    this.#caught.resolve();
    this.#abort.abort();
  }

  /** Restores the handlers. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    Interruption.#current = undefined;
    this.#stop[Symbol.dispose]();
  }
}

/** Returns whether a signal explains an error: a wait or a call was given up, or a child process ended. */
function isEnd(error: unknown): boolean {
  return error instanceof Interrupted || error instanceof DeviceError ||
    (error instanceof DOMException && error.name === "AbortError");
}

/**
 * Returns a `main` during which signals are caught. If a signal makes it fail, or it does not end within
 * eight seconds after one, the exit code is 128 plus the signal's number; otherwise `main` decides. An error
 * that the signal does not explain is thrown.
 */
export function interruptible<Plan>(
  main: (plan: Plan, interruption: Interruption) => number | Promise<number>,
): (plan: Plan) => Promise<number> {
  return async (plan) => {
    using interruption = new Interruption();
    const late = Promise.withResolvers<number>();
    let timer: ReturnType<typeof setTimeout> | undefined;
    interruption.signal.addEventListener("abort", () => {
      timer = setTimeout(() => late.resolve(128 + interruption.number), END_MS);
    });
    try {
      return await Promise.race([main(plan, interruption), late.promise]);
    } catch (error) {
      if (interruption.number === 0 || !causes(error).every(isEnd)) throw error;
      return 128 + interruption.number;
    } finally {
      clearTimeout(timer);
      TemporaryDirectory.removeAll(); // those that `main` had no time to remove
    }
  };
}
