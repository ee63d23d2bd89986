/**
 * Errors that a person can act on. Each message is one sentence that names the device, the register
 * or file, and what to do next; or the worker, and what it met.
 *
 * @module
 */

/**
 * What was asked for cannot be done: a bad address, ring size or batch size, a missing device or
 * permission. Nothing was changed. Programs print the message and exit with code 2.
 */
export class UsageError extends Error {
  /** The class. */
  override readonly name = "UsageError";
}

/**
 * A device failed while in use: a wait reached its deadline, a register reads what cannot be, the
 * device or its server is gone. Programs print the message and exit with code 1.
 */
export class DeviceError extends Error {
  /** The class. */
  override readonly name = "DeviceError";
  /** The address under which the device was opened. */
  readonly device: string;

  /**
   * Makes the sentence.
   *
   * @param device The address under which the device was opened.
   * @param problem What failed, and what to do next.
   */
  constructor(device: string, problem: string) {
    super(`${device}: ${problem}`);
    this.device = device;
  }
}

/**
 * Workers failed: one ended although nobody told it to, or they do not start or stop. Programs print
 * the message and exit with code 1.
 */
export class WorkerError extends Error {
  /** The class. */
  override readonly name = "WorkerError";
}

/** An error, and those that closing devices on its way out has brought; the first one first. */
export function causes(error: unknown): unknown[] {
  if (!(error instanceof SuppressedError)) return [error];
  return [...causes(error.suppressed), ...causes(error.error)];
}
