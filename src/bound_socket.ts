/**
 * Unix sockets that this process creates at a path, for others to connect or send to.
 *
 * @module
 */

import { FileKind, ifReadable, type Status, status } from "../native/files.ts";
import { Errno, path, stubs, SystemError } from "../native/stubs.ts";
import { UsageError } from "./errors.ts";

/** Types of socket, as socket(2) takes them. */
export const SOCK = { STREAM: 1, DGRAM: 2, NONBLOCK: 0x800 } as const;

/** A Unix socket at a path. The umask decides who can connect: it takes permission to write. */
export class BoundSocket {
  /** Its file descriptor. */
  readonly fd: number;
  readonly #at: string;
  readonly #made: Status;
  #closed = false;

  /**
   * Binds the socket, and makes a stream socket listen. It replaces one that no process serves.
   *
   * @param at Path of the socket.
   * @param type Bits of {@linkcode SOCK}.
   * @throws {UsageError} if the path is in use or not a socket, or no socket can be made there.
   */
  constructor(at: string, type: number) {
    this.#at = at;
    freePath(at, type);
    this.fd = stubs.ixy_bind(path(at), type);
    if (this.fd < 0) {
      const { message } = new SystemError(at, -this.fd);
      throw new UsageError(
        `cannot make socket ${message}: use a path that this process may create`,
      );
    }
    this.#made = status(at);
  }

  /** Removes the socket, unless its path has become another process's, and closes it. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.present) stubs.ixy_unlink(path(this.#at));
    stubs.ixy_close(this.fd);
  }

  /** Whether the path leads to this socket: another process may have removed or replaced it. */
  get present(): boolean {
    // While the socket is open, no other file can have its inode number.
    const now = ifReadable(() => status(this.#at));
    return now?.inode === this.#made.inode && now.device === this.#made.device;
  }
}

/** Removes a socket that no process serves; anything else at the path is an error. */
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
    throw new UsageError(`${at}: exists and is not a socket: choose another path`);
  }
  // Nonblocking: a process that does not accept connections has no room for another one.
  const other = stubs.ixy_connect(path(at), type | SOCK.NONBLOCK);
  if (other >= 0) stubs.ixy_close(other);
  if (other !== -Errno.ECONNREFUSED) {
    throw new UsageError(`${at}: another process uses this socket: choose another path`);
  }
  stubs.ixy_unlink(path(at));
}
