/**
 * Messages of vfio-user over a Unix stream socket: requests with replies, and posted writes.
 *
 * @module
 */

import { check, Errno, path, stubs, SystemError } from "../../native/native.ts";
import { DeviceError, UsageError } from "../errors.ts";

const SOCK_STREAM = 1;
const MSG_PEEK = 0x2, MSG_DONTWAIT = 0x40;
const POLLIN = 1, POLLOUT = 4;
const HEADER = 16;
const REPLY = 1, NO_REPLY = 0x10, ERROR = 0x20;
/** Largest message that we take: more than any reply to what we ask. */
const MAX_MESSAGE = 65536;
/** A server answers at once; this long without an answer means that it hangs. */
const DEADLINE_MS = 5000;
/** A server that polls answers in microseconds: so long it is not worth sleeping. */
const SPIN_MS = 0.1;

/** The client's side of a connection. */
export class VfioUserSocket {
  /** Whether the server has not been seen to be gone. */
  alive = true;
  readonly #address: string;
  readonly #fd: number;
  readonly #pollfd = new Int32Array(2);
  readonly #fds = new Int32Array(17);
  readonly #peek = new Uint8Array(1);
  #id = 0;

  /**
   * @param address The device's address, for messages.
   * @param socket Path of the server's socket.
   * @throws {UsageError} if nobody serves the socket.
   */
  constructor(address: string, socket: string) {
    this.#address = address;
    const fd = stubs.ixy_connect(path(socket), SOCK_STREAM);
    if (fd < 0) {
      const { message } = new SystemError(`connect to ${socket}`, -fd);
      throw new UsageError(
        `${address}: ${message}: start the server of this device first, or check the path`,
      );
    }
    this.#fd = fd;
  }

  /**
   * Sends a request and waits for its reply.
   *
   * @param send Descriptors to send along.
   * @param received Takes the descriptors of the reply, which the caller closes.
   * @returns The reply without its header.
   * @throws {DeviceError} if the server is gone, does not answer, or refuses.
   */
  request(command: number, body: Uint8Array, send: number[] = [], received?: number[]): Uint8Array {
    const id = this.#send(command, body, 0, send);
    const deadline = performance.now() + DEADLINE_MS;
    for (;;) {
      const header = new DataView(new ArrayBuffer(HEADER));
      this.#receive(new Uint8Array(header.buffer), deadline, received);
      const size = header.getUint32(4, true), flags = header.getUint32(8, true);
      if (size < HEADER || size > MAX_MESSAGE) throw this.#gone(`sent a message of ${size} bytes`);
      const reply = new Uint8Array(size - HEADER);
      this.#receive(reply, deadline, received);
      if ((flags & 15) !== REPLY) {
        this.#refuse(header);
        continue;
      }
      if (header.getUint16(0, true) !== id) throw this.#gone("replied to what was not asked");
      if (flags & ERROR) {
        const errno = header.getUint32(12, true);
        throw new DeviceError(
          this.#address,
          new SystemError(`the server refused command ${command}`, errno).message,
        );
      }
      return reply;
    }
  }

  /** Sends a request that has no reply. */
  post(command: number, body: Uint8Array): void {
    this.#send(command, body, NO_REPLY, []);
  }

  /**
   * Looks whether the server has closed the connection.
   *
   * @throws {DeviceError} if it has.
   */
  check(): void {
    const n = stubs.ixy_recv(this.#fd, this.#peek, 1, this.#fds, MSG_PEEK | MSG_DONTWAIT);
    if (n === 0 || (n < 0 && n !== -Errno.EAGAIN && n !== -Errno.EINTR)) {
      throw this.#gone("has closed the connection");
    }
  }

  /** Ends the connection. */
  close(): void {
    this.alive = false;
    stubs.ixy_close(this.#fd);
  }

  /** Closes descriptors that came with a reply. */
  closeAll(fds: readonly number[]): void {
    for (const fd of fds) stubs.ixy_close(fd);
  }

  /** Declines a server's own request: it can reach all our memory by descriptor. */
  #refuse(header: DataView): void {
    header.setUint32(4, HEADER, true);
    header.setUint32(8, REPLY | ERROR, true);
    header.setUint32(12, Errno.EINVAL, true);
    this.#write(new Uint8Array(header.buffer), []);
  }

  #send(command: number, body: Uint8Array, flags: number, fds: number[]): number {
    const message = new Uint8Array(HEADER + body.length);
    const view = new DataView(message.buffer);
    this.#id = (this.#id + 1) & 0xffff;
    view.setUint16(0, this.#id, true);
    view.setUint16(2, command, true);
    view.setUint32(4, message.length, true);
    view.setUint32(8, flags, true);
    message.set(body, HEADER);
    this.#write(message, fds);
    return this.#id;
  }

  #write(message: Uint8Array, fds: number[]): void {
    const deadline = performance.now() + DEADLINE_MS;
    let left = message;
    let passed = Int32Array.from(fds);
    while (left.length > 0) {
      const n = stubs.ixy_send(
        this.#fd,
        left as Uint8Array<ArrayBuffer>,
        left.length,
        passed,
        passed.length,
        MSG_DONTWAIT,
      );
      if (n === -Errno.EAGAIN || n === -Errno.EINTR) this.#await(POLLOUT, deadline);
      else if (n < 0) throw this.#gone("has closed the connection");
      else {
        left = left.subarray(n);
        passed = new Int32Array(0);
      }
    }
  }

  #receive(into: Uint8Array, deadline: number, received?: number[]): void {
    let left = into;
    while (left.length > 0) {
      const n = stubs.ixy_recv(
        this.#fd,
        left as Uint8Array<ArrayBuffer>,
        left.length,
        this.#fds,
        MSG_DONTWAIT,
      );
      if (n === -Errno.EAGAIN || n === -Errno.EINTR) {
        if (performance.now() > deadline - DEADLINE_MS + SPIN_MS) this.#await(POLLIN, deadline);
        continue;
      }
      if (n <= 0) throw this.#gone("has closed the connection");
      const fds = this.#fds.subarray(0, this.#fds[16]);
      if (received) received.push(...fds);
      else this.closeAll([...fds]);
      left = left.subarray(n);
    }
  }

  #await(events: number, deadline: number): void {
    const left = Math.ceil(deadline - performance.now());
    if (left <= 0) throw this.#gone(`has not answered for ${DEADLINE_MS} ms`);
    this.#pollfd[0] = this.#fd;
    this.#pollfd[1] = events;
    const n = stubs.ixy_poll(this.#pollfd, 1, left);
    if (n !== -Errno.EINTR) check("poll a vfio-user socket", n);
  }

  #gone(what: string): DeviceError {
    this.alive = false;
    return new DeviceError(this.#address, `the server of this device ${what}: start it again`);
  }
}
