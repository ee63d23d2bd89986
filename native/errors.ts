/**
 * The errors that `native/` itself throws: a failed system call, and a problem that the user can fix.
 * The other errors are in `src/errors.ts`.
 *
 * @module
 */

const MEANING: Record<number, string> = {
  1: "operation not permitted",
  2: "no such file or directory",
  4: "interrupted",
  5: "input/output error",
  6: "no such device or address",
  9: "bad file descriptor",
  11: "would block",
  12: "out of memory",
  13: "permission denied",
  14: "bad address",
  16: "busy",
  17: "file exists",
  19: "no such device",
  20: "not a directory",
  21: "is a directory",
  22: "invalid argument",
  23: "too many open files in the system",
  24: "too many open files (raise `ulimit -n`)",
  28: "no space left on device",
  30: "read-only file system",
  32: "the other side has closed",
  34: "out of range",
  36: "name too long",
  38: "not known to this kernel",
  90: "message too long",
  95: "not supported",
  97: "address family not supported",
  98: "address in use",
  100: "network is down",
  104: "connection reset",
  105: "no buffer space",
  107: "not connected",
  111: "connection refused",
};

/** Names of signals on x86-64. */
const SIGNALS: Record<number, string> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  6: "SIGABRT",
  10: "SIGUSR1",
  12: "SIGUSR2",
  14: "SIGALRM",
  15: "SIGTERM",
  16: "SIGSTKFLT",
  24: "SIGXCPU",
  25: "SIGXFSZ",
  26: "SIGVTALRM",
  27: "SIGPROF",
  29: "SIGIO",
  30: "SIGPWR",
};

/** Returns what a positive error number of Linux means. */
export function meaningOf(errno: number): string {
  return MEANING[errno] ?? `error ${errno}`;
}

/**
 * A system call failed. Usually this is the `cause` of another error, which says what to do. It is
 * thrown itself only if a call fails that normally cannot: waiting, catching signals, unmapping memory.
 */
export class SystemError extends Error {
  /** The class. */
  override readonly name = "SystemError";
  /** The positive error number of Linux: 2 is ENOENT. */
  readonly errno: number;

  /**
   * Creates the error with its message.
   *
   * @param what The call and its object: `open nic0.sock`.
   * @param errno The positive error number.
   */
  constructor(what: string, errno: number) {
    super(`${what}: ${meaningOf(errno)}`);
    this.errno = errno;
  }
}

/**
 * The request cannot be met: an address, an option or a size is wrong, or a device or a permission is
 * missing. The message is one sentence that says what to change. Programs print it and exit with
 * code 2.
 */
export class UsageError extends Error {
  /** The class. */
  override readonly name = "UsageError";
  /**
   * The option of `open` or of a pool that the error is about: its value is wrong, the device does not
   * support it, or setting it would help. Undefined if the error is not about an option.
   */
  readonly option: string | undefined;

  /**
   * Creates the error.
   *
   * @param message One sentence: what cannot be done, and what to change.
   * @param options The option that the error is about, and the error that caused this one.
   */
  constructor(
    message: string,
    options: { readonly option?: string; readonly cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.option = options.option;
  }
}

/**
 * A signal that a StopFlag caught ended the wait for a device, such as in `open` or `waitForLink`. Programs
 * print the message and exit with 128 plus the number of the signal. The error has no stack trace, because
 * it is not a fault of the program.
 */
export class StopError extends Error {
  /** The class. */
  override readonly name = "StopError";
  /** The signal's number. */
  readonly signal: number;

  /** Creates the error. */
  constructor(signal: number) {
    super(`${SIGNALS[signal] ?? `signal ${signal}`} ended the wait for the device`);
    this.stack = `${this.name}: ${this.message}`; // else Deno prints where it was thrown
    this.signal = signal;
  }
}
