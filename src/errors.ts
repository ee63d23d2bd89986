/**
 * Errors that a person can act on. Each message is one sentence that names the device, the register
 * or file, and what to do next; or the worker, and what it met.
 *
 * @module
 */

import { SystemError, UsageError } from "../native/errors.ts";

export { SystemError, UsageError };

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
   * @param options The error that led to this one: a {@linkcode SystemError} where a call failed.
   */
  constructor(device: string, problem: string, options?: { readonly cause?: unknown }) {
    super(`${device}: ${problem}`, options);
    this.device = device;
  }
}

/** What to do next about a system call that fails although it should not. */
const SEE_DMESG = "see what dmesg says";

/**
 * Passes the result of a device's system call on, if it is no error.
 *
 * @param device The device's address.
 * @param what The call and what it was for: `notify queue 3`.
 * @param remedy What to do next.
 * @throws {DeviceError} if the result is negative, which is an error number.
 */
export function checkCall(
  device: string,
  what: string,
  result: number,
  remedy: string = SEE_DMESG,
): number {
  if (result >= 0) return result;
  const cause = new SystemError(what, -result);
  throw new DeviceError(device, `${cause.message}: ${remedy}`, { cause });
}

/**
 * Makes several system calls for a device.
 *
 * @param device The device's address.
 * @param remedy What to do next.
 * @throws {DeviceError} if one of them throws a {@linkcode SystemError}.
 */
export function makeCalls<Result>(
  device: string,
  calls: () => Result,
  remedy: string = SEE_DMESG,
): Result {
  try {
    return calls();
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new DeviceError(device, `${error.message}: ${remedy}`, { cause: error });
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
