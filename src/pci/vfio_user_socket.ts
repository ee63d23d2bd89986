/**
 * vfio-user messages on a Unix stream socket: requests with replies, and posted writes.
 *
 * @module
 */

import { waitUntil } from "../../native/clock.ts";
import { checkStop } from "../../native/stop.ts";
import { Errno, SystemError } from "../../native/stubs.ts";
import { DeviceError } from "../errors.ts";
import type { Peer } from "../peer.ts";
import { UnixStream } from "../unix_stream.ts";

const HEADER = 16;
const COMMAND = 0, REPLY = 1, TYPE = 0xf, NO_REPLY = 0x10, ERROR = 0x20;
/** Largest message that is accepted, in bytes: more than any reply to the requests sent here. */
const MAX_MESSAGE = 65536;
/** The most requests that a server may send instead of a reply. */
const MAX_REQUESTS = 256;

/** The client side of a connection. */
export class VfioUserSocket {
  readonly #stream: UnixStream;
  #id = 0;

  /**
   * Connects to a server.
   *
   * @param address The device's address, for messages.
   * @param socket Path of the server's socket.
   * @throws {UsageError} if no server listens on the socket, or it does not accept the connection.
   */
  constructor(address: string, socket: string) {
    this.#stream = new UnixStream(address, socket);
  }

  /** The device's address. */
  get address(): string {
    return this.#stream.address;
  }

  /** Whether the connection is usable: false after it was closed or the server failed. */
  get alive(): boolean {
    return this.#stream.alive;
  }

  /** The process that serves the device. */
  get peer(): Peer {
    return this.#stream.peer;
  }

  /**
   * Sends a request and waits for its reply. The deadline is for the whole call, whatever the server sends
   * before the reply.
   *
   * @param send File descriptors to send with the request.
   * @param received Receives the file descriptors of the reply; the caller closes them.
   * @returns The reply without its header.
   * @throws {DeviceError} if the server is gone, does not answer, or refuses.
   */
  request(command: number, body: Uint8Array, send: number[] = [], received?: number[]): Uint8Array {
    return this.#reply(this.#send(command, body, 0, send), command, received);
  }

  /**
   * Sends the first request and waits for its reply; other tasks run meanwhile, because a server that hangs
   * must not keep this thread from serving other devices.
   *
   * @returns The reply without its header.
   * @throws {DeviceError} as {@linkcode VfioUserSocket.prototype.request} does.
   */
  async firstRequest(command: number, body: Uint8Array): Promise<Uint8Array> {
    const id = this.#send(command, body, 0, []);
    const stream = this.#stream;
    if (!await waitUntil(stream.milliseconds, () => stream.readable())) {
      throw stream.gone(`has not answered for ${stream.milliseconds} ms`);
    }
    return this.#reply(id, command);
  }

  /** Waits for the reply to a request. */
  #reply(id: number, command: number, received?: number[]): Uint8Array {
    const stream = this.#stream, deadline = stream.deadline();
    for (let requests = 0; requests < MAX_REQUESTS; requests++) {
      const fds: number[] = [];
      try {
        const { header, message } = this.#receive(deadline, fds);
        const flags = header.getUint32(8, true);
        if ((flags & TYPE) === COMMAND) {
          if ((flags & NO_REPLY) === 0) this.#refuse(header, deadline);
          continue;
        }
        if ((flags & TYPE) !== REPLY) throw stream.gone("sent a message of an unknown type");
        if (header.getUint16(0, true) !== id) throw stream.gone("sent a reply to another request");
        if (flags & ERROR) throw refused(stream.address, command, header.getUint32(12, true));
        received?.push(...fds.splice(0));
        return message;
      } finally {
        stream.closeAll(fds);
      }
    }
    throw stream.gone(`sent ${MAX_REQUESTS} requests instead of a reply`);
  }

  /** Receives a message, with its file descriptors. */
  #receive(deadline: number, fds: number[]): { header: DataView; message: Uint8Array } {
    const stream = this.#stream, header = new DataView(new ArrayBuffer(HEADER));
    stream.read(new Uint8Array(header.buffer), deadline, "", fds);
    const size = header.getUint32(4, true);
    if (size < HEADER || size > MAX_MESSAGE) throw stream.gone(`sent a message of ${size} bytes`);
    const message = new Uint8Array(size - HEADER);
    stream.read(message, deadline, "", fds);
    return { header, message };
  }

  /** Sends a request without a reply. */
  post(command: number, body: Uint8Array): void {
    this.#send(command, body, NO_REPLY, []);
  }

  /**
   * Checks that the server has not closed the connection.
   *
   * @throws {DeviceError} if it has.
   */
  checkAlive(): void {
    this.#stream.readable();
  }

  /** Closes the connection. Idempotent. */
  close(): void {
    this.#stream.close();
  }

  /** Closes file descriptors that came with a reply. */
  closeAll(fds: readonly number[]): void {
    this.#stream.closeAll(fds);
  }

  /** Refuses a request from the server: it reaches all DMA memory by descriptor and needs none. */
  #refuse(header: DataView, deadline: number): void {
    header.setUint32(4, HEADER, true);
    header.setUint32(8, REPLY | ERROR, true);
    header.setUint32(12, Errno.EINVAL, true);
    this.#stream.write(new Uint8Array(header.buffer), [], "", deadline);
  }

  #send(command: number, body: Uint8Array, flags: number, fds: number[]): number {
    checkStop(); // between requests, so that cleaning up can make others
    const message = new Uint8Array(HEADER + body.length);
    const view = new DataView(message.buffer);
    this.#id = (this.#id + 1) & 0xffff;
    view.setUint16(0, this.#id, true);
    view.setUint16(2, command, true);
    view.setUint32(4, message.length, true);
    view.setUint32(8, flags, true);
    message.set(body, HEADER);
    this.#stream.write(message, fds);
    return this.#id;
  }
}

function refused(address: string, command: number, errno: number): DeviceError {
  const cause = new SystemError(`the server refused command ${command}`, errno);
  return new DeviceError(address, cause.message, { cause });
}
