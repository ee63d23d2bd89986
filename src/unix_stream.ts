/**
 * This process's end of a Unix stream socket on which another process, the server, serves a device. It
 * transfers bytes and file descriptors, with deadlines; vfio-user and vhost-user build their messages on
 * it.
 *
 * @module
 */

import { checkStop } from "../native/stop.ts";
import { Errno, path, stubs, SystemError } from "../native/stubs.ts";
import { checkCall, DeviceError, UsageError } from "./errors.ts";
import { Peer } from "./peer.ts";

const SOCK_STREAM = 1, SOCK_NONBLOCK = 0x800;
const MSG_PEEK = 0x2, MSG_DONTWAIT = 0x40;
const POLLIN = 1, POLLOUT = 4;
/** A server that has not answered for this time hangs, in milliseconds. */
const DEADLINE_MS = 5000;
/** Time to spin before sleeping, in milliseconds: a server that polls answers in microseconds. */
const SPIN_MS = 0.1;
/** The most file descriptors with a message. */
export const MAX_FDS = 16;
/** Time between attempts to connect to a server whose backlog is full, in milliseconds. */
const RETRY_MS = 10;
/** The longest time of a single poll, in milliseconds. */
const POLL_MS = 20;
/** How long a server may take for an answer before a signal ends the wait, and with it the connection. */
const HANG_MS = 1000;

/** Results that mean that the server has closed the connection: the end of the stream, and these errors. */
const CLOSED: readonly number[] = [0, Errno.EPIPE, Errno.ECONNRESET];

/** A connection to the server of a device. */
export class UnixStream {
  /** The device's address, for messages. */
  readonly address: string;
  /** The time that the server has for an answer, in milliseconds. */
  readonly milliseconds: number;
  /** Whether the connection is usable: false after it was closed or the server failed. */
  alive = true;
  /** Whether the server has closed the connection. It may still write to memory of this process. */
  closedByServer = false;
  /** The process that serves the device. */
  readonly peer: Peer;
  readonly #fd: number;
  readonly #pollfd = new Int32Array(2);
  readonly #fds = new Int32Array(MAX_FDS + 1);
  readonly #peek = new Uint8Array(1);
  #ended = false;

  /**
   * Connects to a server.
   *
   * @param address The device's address, for messages.
   * @param socket Path of the server's socket; or the descriptor of a connection that the server has
   * made, which then belongs to the stream.
   * @param milliseconds The time that the server has for an answer (default: 5000).
   * @throws {UsageError} if no server listens on the socket, or it does not accept the connection.
   */
  constructor(address: string, socket: string | number, milliseconds = DEADLINE_MS) {
    this.address = address;
    this.milliseconds = milliseconds;
    Peer.look(address);
    if (typeof socket === "number") {
      this.#fd = socket;
      this.peer = new Peer(address, socket);
      return;
    }
    const deadline = this.deadline();
    let fd: number;
    for (;;) {
      const late = performance.now() >= deadline;
      // Without SOCK_NONBLOCK, connecting to a server that hangs would block forever.
      fd = stubs.ixy_connect(path(socket), SOCK_STREAM | SOCK_NONBLOCK);
      if (fd !== -Errno.EAGAIN) break;
      if (late) {
        throw new UsageError(
          `${address}: the server of this device has not accepted a connection for ${milliseconds} ms: ` +
            `end the program that uses the device, or restart the server`,
        );
      }
      checkStop();
      const n = stubs.ixy_poll(this.#pollfd, 0, RETRY_MS);
      if (n !== -Errno.EINTR) checkCall(address, "wait for the server", n);
    }
    if (fd < 0) {
      const cause = new SystemError(`connect to ${socket}`, -fd);
      throw new UsageError(
        `${address}: ${cause.message}: start the server of this device first, or check the path`,
        { cause },
      );
    }
    this.#fd = fd;
    this.peer = new Peer(address, fd);
  }

  /** Returns the time (of `performance.now()`) until which a request sent now must be answered. */
  deadline(): number {
    return performance.now() + this.milliseconds;
  }

  /**
   * Writes all bytes of a message, with file descriptors attached to the first byte.
   *
   * @param during The request, for messages: ` during SET_FEATURES`, or an empty string.
   * @param deadline When to give up, see {@linkcode UnixStream.deadline}.
   * @throws {DeviceError} if the server is gone or does not read.
   */
  write(
    message: Uint8Array,
    fds: readonly number[],
    during = "",
    deadline = this.deadline(),
  ): void {
    let left = message;
    let passed = Int32Array.from(fds);
    while (left.length > 0) {
      const bytes = left as Uint8Array<ArrayBuffer>;
      const n = stubs.ixy_send(this.#fd, bytes, left.length, passed, passed.length, MSG_DONTWAIT);
      if (n === -Errno.EAGAIN || n === -Errno.EINTR) this.#await(POLLOUT, deadline, during);
      else if (n < 0) throw this.#failed("write to", n, during);
      else {
        left = left.subarray(n);
        passed = new Int32Array(0);
      }
    }
  }

  /**
   * Reads until `into` is full.
   *
   * @param deadline When to give up, see {@linkcode UnixStream.deadline}.
   * @param during The request, for messages: ` during GET_FEATURES`, or an empty string.
   * @param received Receives file descriptors that come with the bytes; the caller closes them. Without
   * it they are closed here.
   * @throws {DeviceError} if the server is gone, does not answer, or sends more than 16 file descriptors.
   */
  read(into: Uint8Array, deadline: number, during = "", received?: number[]): void {
    let left = into;
    while (left.length > 0) {
      const bytes = left as Uint8Array<ArrayBuffer>;
      const n = stubs.ixy_recv(this.#fd, bytes, left.length, this.#fds, MSG_DONTWAIT);
      if (n === -Errno.EAGAIN || n === -Errno.EINTR) {
        const spinning = performance.now() < deadline - this.milliseconds + SPIN_MS;
        if (!spinning) this.#await(POLLIN, deadline, during);
        continue;
      }
      if (n <= 0) throw this.#failed("read from", n, during);
      const fds = this.#fds.subarray(0, this.#fds[MAX_FDS]);
      if (received) received.push(...fds);
      else this.closeAll([...fds]);
      if (received && received.length > MAX_FDS) {
        throw this.gone(`sent ${received.length} file descriptors with a message${during}`);
      }
      left = left.subarray(n);
    }
  }

  /**
   * Returns whether there are bytes to read. Nonblocking.
   *
   * @throws {DeviceError} if the server has closed the connection.
   */
  readable(): boolean {
    const n = stubs.ixy_recv(this.#fd, this.#peek, 1, this.#fds, MSG_PEEK | MSG_DONTWAIT);
    // Peeking at a message duplicates its descriptors into this process: close the duplicates.
    if (n > 0) this.closeAll([...this.#fds.subarray(0, this.#fds[MAX_FDS])]);
    if (n > 0) return true;
    if (n === -Errno.EAGAIN || n === -Errno.EINTR) return false;
    throw this.#failed("read from", n, "");
  }

  /** Closes the connection. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.alive = false;
    stubs.ixy_close(this.#fd);
    this.peer.disconnected();
  }

  /** Closes file descriptors that came with a message. */
  closeAll(fds: readonly number[]): void {
    for (const fd of fds) stubs.ixy_close(fd);
  }

  /**
   * Marks the connection as unusable and returns the error to throw.
   *
   * @param what What the server did: `has closed the connection`.
   */
  gone(what: string): DeviceError {
    this.alive = false;
    return new DeviceError(this.address, `the server of this device ${what}: start it again`);
  }

  /** Returns the error for a call that has failed: the end of the connection, or a failure of this process. */
  #failed(what: string, result: number, during: string): DeviceError {
    if (CLOSED.includes(-result)) {
      this.closedByServer = true;
      return this.gone(`has closed the connection${during}`);
    }
    this.alive = false;
    const cause = new SystemError(`${what} the server${during}`, -result);
    return new DeviceError(this.address, `${cause.message}: see what dmesg says`, { cause });
  }

  #await(events: number, deadline: number, during: string): void {
    if (performance.now() > deadline - this.milliseconds + HANG_MS) {
      try {
        checkStop();
      } catch (error) {
        this.alive = false; // the answer to this request would be taken for that to the next one
        throw error;
      }
    }
    // At the deadline it looks once more: this thread may not have run for a while.
    const left = Math.max(Math.ceil(deadline - performance.now()), 0);
    this.#pollfd[0] = this.#fd;
    this.#pollfd[1] = events;
    // A signal may interrupt another thread instead, so checkStop() has to look from time to time.
    const n = stubs.ixy_poll(this.#pollfd, 1, Math.min(left, POLL_MS));
    if (n === 0 && left === 0) {
      throw this.gone(`has not answered for ${this.milliseconds} ms${during}`);
    }
    if (n !== -Errno.EINTR) checkCall(this.address, "poll the socket", n);
  }
}
