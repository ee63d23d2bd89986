/**
 * The client's end of a Unix stream socket over which a device is served: bytes and descriptors, with
 * deadlines, and no knowledge of what the messages mean. vfio-user and vhost-user stand on it.
 *
 * @module
 */

import { Errno, path, stubs, SystemError } from "../native/stubs.ts";
import { checkCall, DeviceError, UsageError } from "./errors.ts";

const SOCK_STREAM = 1, SOCK_NONBLOCK = 0x800;
const MSG_PEEK = 0x2, MSG_DONTWAIT = 0x40;
const POLLIN = 1, POLLOUT = 4;
/** A server answers at once; this long without an answer means that it hangs, in milliseconds. */
const DEADLINE_MS = 5000;
/** A server that polls answers in microseconds: so long it is not worth sleeping. */
const SPIN_MS = 0.1;
/** How long to wait before trying again to connect to a server whose queue is full. */
const RETRY_MS = 10;

/** A connection to the server of a device. */
export class UnixStream {
  /** The device's address, for messages. */
  readonly address: string;
  /** How long the server may take for an answer, in milliseconds. */
  readonly milliseconds: number;
  /** Whether the connection can still be used: not ended, and nothing wrong was seen of the server. */
  alive = true;
  /** Whether the server has closed the connection, so that it reaches no memory of ours any more. */
  closedByServer = false;
  readonly #fd: number;
  readonly #pollfd = new Int32Array(2);
  readonly #fds = new Int32Array(17);
  readonly #peek = new Uint8Array(1);
  #ended = false;

  /**
   * Connects.
   *
   * @param address The device's address, for messages.
   * @param socket Path of the server's socket.
   * @param milliseconds How long the server may take for an answer; 5000 unless given.
   * @throws {UsageError} if nobody serves the socket.
   */
  constructor(address: string, socket: string, milliseconds = DEADLINE_MS) {
    this.address = address;
    this.milliseconds = milliseconds;
    const deadline = this.deadline();
    let fd: number;
    // Without SOCK_NONBLOCK this would wait for a server that hangs, and for ever.
    while ((fd = stubs.ixy_connect(path(socket), SOCK_STREAM | SOCK_NONBLOCK)) === -Errno.EAGAIN) {
      if (performance.now() > deadline) {
        throw new UsageError(
          `${address}: the server of this device has let nobody in for ${milliseconds} ms: end the ` +
            `program that uses the device now, or start its server again`,
        );
      }
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
  }

  /** The time, as of `performance.now()`, at which an answer to what is asked now is overdue. */
  deadline(): number {
    return performance.now() + this.milliseconds;
  }

  /**
   * Writes all bytes of a message, with descriptors beside the first.
   *
   * @param during What is asked, for messages: ` during SET_FEATURES`, or nothing.
   * @throws {DeviceError} if the server is gone or takes no bytes.
   */
  write(message: Uint8Array, fds: readonly number[], during = ""): void {
    const deadline = this.deadline();
    let left = message;
    let passed = Int32Array.from(fds);
    while (left.length > 0) {
      const bytes = left as Uint8Array<ArrayBuffer>;
      const n = stubs.ixy_send(this.#fd, bytes, left.length, passed, passed.length, MSG_DONTWAIT);
      if (n === -Errno.EAGAIN || n === -Errno.EINTR) this.#await(POLLOUT, deadline, during);
      else if (n < 0) throw this.#closed(during);
      else {
        left = left.subarray(n);
        passed = new Int32Array(0);
      }
    }
  }

  /**
   * Reads as many bytes as there is room for.
   *
   * @param deadline When to give up, see {@linkcode UnixStream.deadline}.
   * @param during What was asked, for messages: ` during GET_FEATURES`, or nothing.
   * @param received Takes descriptors that come along, which the caller closes; without it they are
   * closed here.
   * @throws {DeviceError} if the server is gone or does not answer.
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
      if (n <= 0) throw this.#closed(during);
      const fds = this.#fds.subarray(0, this.#fds[16]);
      if (received) received.push(...fds);
      else this.closeAll([...fds]);
      left = left.subarray(n);
    }
  }

  /**
   * Looks whether there is something to read, without waiting.
   *
   * @throws {DeviceError} if the server has closed the connection.
   */
  readable(): boolean {
    const n = stubs.ixy_recv(this.#fd, this.#peek, 1, this.#fds, MSG_PEEK | MSG_DONTWAIT);
    // Descriptors of a message that is only peeked at are received all the same, as copies.
    if (n > 0) this.closeAll([...this.#fds.subarray(0, this.#fds[16])]);
    if (n > 0) return true;
    if (n === -Errno.EAGAIN || n === -Errno.EINTR) return false;
    throw this.#closed("");
  }

  /** Ends the connection. Again: nothing happens. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.alive = false;
    stubs.ixy_close(this.#fd);
  }

  /** Closes descriptors that came with a message. */
  closeAll(fds: readonly number[]): void {
    for (const fd of fds) stubs.ixy_close(fd);
  }

  /** The error to throw for a server that cannot be talked to any more; `what` says why. */
  gone(what: string): DeviceError {
    this.alive = false;
    return new DeviceError(this.address, `the server of this device ${what}: start it again`);
  }

  #closed(during: string): DeviceError {
    this.closedByServer = true;
    return this.gone(`has closed the connection${during}`);
  }

  #await(events: number, deadline: number, during: string): void {
    const left = Math.ceil(deadline - performance.now());
    if (left <= 0) throw this.gone(`has not answered for ${this.milliseconds} ms${during}`);
    this.#pollfd[0] = this.#fd;
    this.#pollfd[1] = events;
    const n = stubs.ixy_poll(this.#pollfd, 1, left);
    if (n !== -Errno.EINTR) checkCall(this.address, "poll the socket", n);
  }
}
