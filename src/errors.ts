/**
 * Errors that the user can act on. Each message is one sentence: it names the device and the register or
 * file, or the worker, and says what to do next.
 *
 * @module
 */

import { StopError, SystemError, UsageError } from "../native/errors.ts";

export { StopError, SystemError, UsageError };

/**
 * A device failed while in use: a wait reached its deadline, a register has an impossible value, or the
 * device or its server is gone. Programs print the message and exit with code 1.
 */
export class DeviceError extends Error {
  /** The class. */
  override readonly name = "DeviceError";
  /** The address under which the device was opened. */
  readonly device: string;

  /**
   * Creates the error with its message.
   *
   * @param device The address under which the device was opened.
   * @param problem What failed, and what to do next.
   * @param options The error that caused this one: a {@linkcode SystemError} if a call failed.
   */
  constructor(device: string, problem: string, options?: { readonly cause?: unknown }) {
    super(`${device}: ${problem}`, options);
    this.device = device;
  }
}

/** The advice for system calls that are not expected to fail. */
const SEE_DMESG = "see what dmesg says";

/**
 * Returns the result of a system call for a device if it is not an error.
 *
 * @param device The device's address.
 * @param what What the call does: `notify queue 3`.
 * @param remedy What to do next.
 * @throws {DeviceError} if the result is a negative error number.
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
 * Runs a function that makes system calls for a device, and returns its result.
 *
 * @param device The device's address.
 * @param remedy What to do next.
 * @throws {DeviceError} if the function throws a {@linkcode SystemError}.
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

/** Returns the error for a peer that has given pages of shared DMA memory back to the kernel. */
export function lostMemory(device: string): DeviceError {
  return new DeviceError(
    device,
    "its server has punched holes into the memory that this program shares with it: restart both",
  );
}

/**
 * A worker failed: it ended unexpectedly, or did not start or stop in time. Programs print the message
 * and exit with code 1.
 */
export class WorkerError extends Error {
  /** The class. */
  override readonly name = "WorkerError";
}

/** Returns an error and the errors that closing devices added to it, in the order they happened. */
export function causes(error: unknown): unknown[] {
  if (!(error instanceof SuppressedError)) return [error];
  return [...causes(error.suppressed), ...causes(error.error)];
}
