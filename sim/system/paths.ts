/**
 * Sockets and files that the model creates at paths of the command line. Errors are one sentence.
 *
 * @module
 */

import { FileKind, ifReadable, type Status, status } from "../../native/files.ts";
import { Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { UsageError } from "../../src/errors.ts";

/** Types of socket, as socket(2) takes them. */
export const SOCK = { STREAM: 1, DGRAM: 2, NONBLOCK: 0x800 } as const;

const O_WRONLY_CREAT_TRUNC = 0o1101;
const MODE = 0o644;

/** A Unix socket at a path. */
export class BoundSocket {
  /** Its file descriptor. */
  readonly fd: number;
  readonly #at: string;
  readonly #made: Status;

  /**
   * Binds the socket, and makes a stream socket listen. It replaces one that no process serves.
   *
   * @param at Path of the socket.
   * @param type Bits of {@linkcode SOCK}.
   * @throws {UsageError} if the path is in use or not a socket, or no socket can be made there.
   */
  constructor(at: string, type: number) {
    this.#at = at;
    freePath(at, type & ~SOCK.NONBLOCK);
    this.fd = stubs.ixy_bind(path(at), type);
    if (this.fd < 0) {
      const { message } = new SystemError(at, -this.fd);
      throw new UsageError(
        `cannot make socket ${message}: use a path that this process may create`,
      );
    }
    this.#made = status(at);
  }

  /** Closes the socket, and removes it, unless its path has become another process's. */
  close(): void {
    stubs.ixy_close(this.fd);
    const now = ifReadable(() => status(this.#at));
    if (now?.inode !== this.#made.inode || now.device !== this.#made.device) return;
    stubs.ixy_unlink(path(this.#at));
  }
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
  let found: Status | undefined;
  try {
    found = ifReadable(() => status(at));
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new UsageError(`cannot make socket ${error.message}`, { cause: error });
  }
  if (found === undefined) return;
  if (found.kind !== FileKind.SOCKET) {
    throw new UsageError(`${at}: exists and is not a socket; choose another path`);
  }
  const other = stubs.ixy_connect(path(at), type);
  if (other >= 0) stubs.ixy_close(other);
  if (other !== -Errno.ECONNREFUSED) {
    throw new UsageError(`${at}: another process uses this socket; choose another path`);
  }
  stubs.ixy_unlink(path(at));
}
