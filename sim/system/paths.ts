/**
 * What the model makes at paths that a user gives: sockets and files. Whatever goes wrong is said in a
 * sentence.
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
 * Binds a Unix socket, in place of one that no process serves any longer; a stream socket listens.
 *
 * @param at Where.
 * @param type What of {@linkcode SOCK} it is.
 * @returns Its file descriptor.
 * @throws {UsageError} if something at the path is in use or is not a socket, or there can be no socket.
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
 * Makes a file to be written, or empties it.
 *
 * @returns Its file descriptor.
 * @throws {UsageError} if that cannot be.
 */
export function createFile(name: string): number {
  const fd = stubs.ixy_open(path(name), O_WRONLY_CREAT_TRUNC, MODE);
  if (fd < 0) throw new UsageError(`cannot write ${new SystemError(name, -fd).message}`);
  return fd;
}

// Removes a socket that no process serves.
function freePath(at: string, type: number): void {
  const name = path(at);
  // A socket cannot be opened as a file: anything that can be is not ours to remove.
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
