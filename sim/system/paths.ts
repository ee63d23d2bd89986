/**
 * Sockets and files that the model creates at paths of the command line. Errors are one sentence.
 *
 * @module
 */

import { Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { UsageError } from "../../src/errors.ts";

/** Types of socket, as socket(2) takes them. */
export const SOCK = { STREAM: 1, DGRAM: 2, NONBLOCK: 0x800 } as const;

const O_NONBLOCK = 0x800;
const O_WRONLY_CREAT_TRUNC = 0o1101;
const MODE = 0o644;
const ENXIO = 6;

/**
 * Binds a Unix socket, and makes a stream socket listen. It replaces one that no process serves.
 *
 * @param at Path of the socket.
 * @param type Bits of {@linkcode SOCK}.
 * @returns Its file descriptor.
 * @throws {UsageError} if the path is in use or not a socket, or no socket can be made there.
 */
export function bindSocket(at: string, type: number): number {
  freePath(at, type & ~SOCK.NONBLOCK);
  const fd = stubs.ixy_bind(path(at), type);
  if (fd < 0) throw new UsageError(`cannot make socket ${new SystemError(at, -fd).message}`);
  return fd;
}

/** Closes a socket that {@linkcode bindSocket} has bound, and removes it. */
export function removeSocket(at: string, fd: number): void {
  stubs.ixy_close(fd);
  stubs.ixy_unlink(path(at));
}

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

// Removes a socket that no process serves; anything else at the path is an error.
function freePath(at: string, type: number): void {
  const name = path(at);
  // open() of a socket fails: what it opens is another file, which must stay.
  const file = stubs.ixy_open(name, O_NONBLOCK, 0);
  if (file >= 0) {
    stubs.ixy_close(file);
    throw new UsageError(`${at}: exists and is not a socket; choose another path`);
  }
  if (file !== -ENXIO) return;
  const other = stubs.ixy_connect(name, type);
  if (other >= 0) stubs.ixy_close(other);
  if (other !== -Errno.ECONNREFUSED) {
    throw new UsageError(`${at}: another process uses this socket; choose another path`);
  }
  stubs.ixy_unlink(name);
}
