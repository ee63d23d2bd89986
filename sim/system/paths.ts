/**
 * Paths of Unix sockets: whether one can be had.
 *
 * @module
 */

import { Errno, path, stubs } from "../../native/stubs.ts";
import { UsageError } from "../../src/errors.ts";

const O_NONBLOCK = 0x800;
const ENXIO = 6;

/**
 * Makes sure that a socket can be bound at a path: removes a socket that nobody serves.
 *
 * @param kind 1 for a stream socket, 2 for one that takes datagrams.
 * @throws {UsageError} if something is there that is in use, or is no socket.
 */
export function freeSocketPath(at: string, kind: number): void {
  const name = path(at);
  // A socket cannot be opened as a file: anything that can be is not ours to remove.
  const file = stubs.ixy_open(name, O_NONBLOCK, 0);
  if (file >= 0) {
    stubs.ixy_close(file);
    throw new UsageError(`${at}: exists and is no socket; choose another path`);
  }
  if (file !== -ENXIO) return;
  const other = stubs.ixy_connect(name, kind);
  if (other >= 0) stubs.ixy_close(other);
  if (other !== -Errno.ECONNREFUSED) {
    throw new UsageError(`${at}: another process uses this socket; choose another path`);
  }
  stubs.ixy_unlink(name);
}
