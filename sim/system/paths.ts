/**
 * Files that the model creates at paths of the command line. Errors are one sentence.
 *
 * @module
 */

import { path, stubs, SystemError } from "../../native/stubs.ts";
import { UsageError } from "../../src/errors.ts";

const O_WRONLY_CREAT_TRUNC = 0o1101;
const MODE = 0o644;

/**
 * Creates a file for writing, or empties it.
 *
 * @returns Its file descriptor.
 * @throws {UsageError} if it cannot be written.
 */
export function createFile(name: string): number {
  const fd = stubs.ixy_open(path(name), O_WRONLY_CREAT_TRUNC, MODE);
  if (fd < 0) throw new UsageError(`cannot write ${new SystemError(name, -fd).message}`);
  return fd;
}
