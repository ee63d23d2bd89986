/**
 * Messages of vhost-user (QEMU's "Vhost-user Protocol") over a Unix stream socket: the front-end
 * sends requests and checks the answers. Either side may listen on the socket. `vhost_user.ts`
 * decides when to send which.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import { checkStop } from "../native/stop.ts";
import { Errno, stubs } from "../native/stubs.ts";
import { BoundSocket, SOCK } from "../src/bound_socket.ts";
import { checkCall, DeviceError, UsageError } from "../src/errors.ts";
import type { Peer } from "../src/peer.ts";
import { UnixStream } from "../src/unix_stream.ts";

/** Requests of the front-end (section "Front-end message types"). */
export const Request = {
  GET_FEATURES: 1,
  SET_FEATURES: 2,
  SET_OWNER: 3,
  SET_MEM_TABLE: 5,
  SET_VRING_NUM: 8,
  SET_VRING_ADDR: 9,
  SET_VRING_BASE: 10,
  GET_VRING_BASE: 11,
  SET_VRING_KICK: 12,
  SET_VRING_CALL: 13,
  GET_PROTOCOL_FEATURES: 15,
  SET_PROTOCOL_FEATURES: 16,
  GET_QUEUE_NUM: 17,
  SET_VRING_ENABLE: 18,
  SET_STATUS: 39,
  GET_STATUS: 40,
} as const;

/** Name of a request. */
export type RequestName = keyof typeof Request;

/** Bytes of a message's header: request, flags and payload size, 32 bits each. */
const HEADER = 12;
/** Flags of a message: the version; it is a reply; it requests a reply. */
const VERSION = 1, REPLY = 1 << 2, NEED_REPLY = 1 << 3;

/** Milliseconds between checks whether a back-end has connected. */
const ACCEPT_MS = 10;

/** Returns a 64-bit number as a payload. */
export function u64(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}

/** Returns 32-bit numbers as a payload: a queue's index and its value. */
export function u32(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** Returns the error for a socket that is no longer at its path. */
function removed(address: string, socket: string): UsageError {
  return new UsageError(
    `${address}: another process has removed or replaced ${socket} while this one waited for a ` +
      `back-end: start this program again`,
  );
}

/** The front-end's end of a connection. */
export class VhostUserSocket {
  /** Whether the back-end acknowledges requests that otherwise have no answer (REPLY_ACK). */
  acknowledged = false;
  readonly #stream: UnixStream;
  /** The request whose answer was not read yet, and the deadline of the answer. */
  #pending: { readonly name: RequestName; readonly deadline: number } | undefined;

  /** The socket on which the back-end has connected; undefined if the back-end listens. */
  readonly #listener: BoundSocket | undefined;

  /** Creates a connection on a stream. */
  private constructor(stream: UnixStream, listener?: BoundSocket) {
    this.#stream = stream;
    this.#listener = listener;
  }

  /**
   * Connects to a back-end.
   *
   * @param address The device's address, for messages.
   * @param socket Path of the back-end's socket.
   * @param milliseconds Longest that the back-end may take to answer; default: 5000.
   * @throws {UsageError} if the connection is refused.
   */
  static connect(address: string, socket: string, milliseconds?: number): VhostUserSocket {
    return new VhostUserSocket(new UnixStream(address, socket, milliseconds));
  }

  /**
   * Listens on a socket until a back-end connects to it and answers. The socket keeps its path until
   * the connection is closed. A second back-end that connects is not served.
   *
   * @param address The device's address, for messages.
   * @param socket Path of the socket to create.
   * @param onWait Called once if no back-end connects at once.
   * @param signal Ends the wait for a back-end, with the signal's reason as the error.
   * @param milliseconds Longest that the back-end may take to answer; default: 5000.
   * @throws {UsageError} if the path is in use or not a socket, no socket can be made there, or another
   * process removes it.
   * @throws {DeviceError} if the back-end does not answer, or gives a wrong answer.
   */
  static async accept(
    address: string,
    socket: string,
    onWait: () => void,
    signal?: AbortSignal,
    milliseconds?: number,
  ): Promise<VhostUserSocket> {
    using undo = new DisposableStack();
    const listener = undo.adopt(
      new BoundSocket(socket, SOCK.STREAM | SOCK.NONBLOCK),
      (listener) => listener.close(),
    );
    for (let waited = false;;) {
      signal?.throwIfAborted();
      const fd = stubs.ixy_accept(listener.fd);
      if (fd === -Errno.EAGAIN || fd === -Errno.EINTR) {
        if (!waited) onWait();
        waited = true;
        if (!listener.present) throw removed(address, socket);
        await delay(ACCEPT_MS);
        continue;
      }
      checkCall(address, `accept a connection on ${socket}`, fd);
      const connection = new VhostUserSocket(new UnixStream(address, fd, milliseconds), listener);
      if (!connection.#answers()) continue;
      undo.move(); // the connection owns the listener
      return connection;
    }
  }

  /**
   * Returns whether the other side answers. A program that only checks whether the path is in use closes
   * its connection instead.
   */
  #answers(): boolean {
    try {
      this.get("GET_FEATURES");
      return true;
    } catch (error) {
      this.#stream.close();
      if (this.closedByServer) return false;
      throw error;
    }
  }

  /**
   * Waits for the first answer; other tasks run meanwhile, because a back-end that hangs must not keep
   * this thread from serving other devices.
   *
   * @throws {DeviceError} if the back-end is gone, does not answer, or gives a wrong answer.
   */
  async firstAnswer(): Promise<void> {
    this.ask("GET_FEATURES");
    while (this.look() === undefined) await delay(1);
  }

  /** The device's address, for messages. */
  get address(): string {
    return this.#stream.address;
  }

  /** Whether the connection is usable. */
  get alive(): boolean {
    return this.#stream.alive;
  }

  /** The back-end's process. */
  get peer(): Peer {
    return this.#stream.peer;
  }

  /** Whether the back-end has closed the connection. */
  get closedByServer(): boolean {
    return this.#stream.closedByServer;
  }

  /**
   * Requests a 64-bit number and waits for it.
   *
   * @throws {DeviceError} if the back-end is gone, does not answer, or gives a wrong answer.
   */
  get(name: RequestName): bigint {
    this.ask(name);
    return this.#answer(8).getBigUint64(0, true);
  }

  /**
   * Stops a queue and returns its next index in the available ring.
   *
   * @throws {DeviceError} if the back-end is gone, does not answer, or gives a wrong answer.
   */
  getVringBase(queue: number): number {
    this.#send("GET_VRING_BASE", u32(queue, 0));
    this.#expect("GET_VRING_BASE");
    const answer = this.#answer(8);
    if (answer.getUint32(0, true) !== queue) {
      throw this.#stream.gone(`answered GET_VRING_BASE for a queue other than ${queue}`);
    }
    return answer.getUint32(4, true);
  }

  /**
   * Sends a request, and waits for its acknowledgement if REPLY_ACK was negotiated.
   *
   * @param fds File descriptors to pass with it.
   * @throws {DeviceError} if the back-end is gone, does not answer, or refuses.
   */
  set(name: RequestName, payload: Uint8Array = new Uint8Array(0), fds: readonly number[] = []) {
    this.#send(name, payload, fds, this.acknowledged ? NEED_REPLY : 0);
    if (!this.acknowledged) return;
    this.#expect(name);
    const result = this.#answer(8).getBigUint64(0, true);
    if (result !== 0n) {
      throw new DeviceError(
        this.#stream.address,
        `the server of this device refused ${name} (${result}): see its log`,
      );
    }
  }

  /**
   * Requests a 64-bit number without waiting: {@linkcode VhostUserSocket.prototype.look} returns
   * it.
   */
  ask(name: RequestName): void {
    this.#send(name, new Uint8Array(0));
    this.#expect(name);
  }

  /**
   * Looks for the answer to {@linkcode VhostUserSocket.prototype.ask}, and checks the connection.
   * Nonblocking.
   *
   * @returns The answer, or undefined if it has not arrived or was not requested.
   * @throws {DeviceError} if the back-end is gone, or the answer is overdue or wrong.
   */
  look(): bigint | undefined {
    const pending = this.#pending;
    const late = pending !== undefined && performance.now() >= pending.deadline;
    if (this.#stream.readable()) {
      if (!pending) throw this.#stream.gone("sent a message without a request");
      return this.#answer(8).getBigUint64(0, true);
    }
    if (!pending || !late) return undefined;
    throw this.#stream.gone(
      `has not answered for ${this.#stream.milliseconds} ms during ${pending.name}`,
    );
  }

  /** Whether an answer is outstanding. */
  get asked(): boolean {
    return this.#pending !== undefined;
  }

  /**
   * Closes the connection. Idempotent. The listening socket is closed first: a back-end that
   * connects again at once then reaches the next one at this path.
   */
  close(): void {
    this.#listener?.close();
    this.#stream.close();
  }

  #send(name: RequestName, payload: Uint8Array, fds: readonly number[] = [], flags = 0): void {
    if (this.#pending) this.#answer(8); // discards an answer that `look` has not read
    checkStop(); // between requests, so that cleaning up can make others
    const message = new Uint8Array(HEADER + payload.length);
    message.set(u32(Request[name], VERSION | flags, payload.length));
    message.set(payload, HEADER);
    this.#stream.write(message, fds, ` during ${name}`);
  }

  #expect(name: RequestName): void {
    this.#pending = { name, deadline: this.#stream.deadline() };
  }

  /** Waits for the answer to the last request, and checks that it has this many bytes. */
  #answer(bytes: number): DataView {
    const { name, deadline } = this.#pending!;
    this.#pending = undefined;
    const header = new DataView(new ArrayBuffer(HEADER));
    this.#stream.read(new Uint8Array(header.buffer), deadline, ` during ${name}`);
    const request = header.getUint32(0, true);
    const flags = header.getUint32(4, true), size = header.getUint32(8, true);
    if (request !== Request[name] || (flags & (3 | REPLY)) !== (VERSION | REPLY)) {
      throw this.#stream.gone(`answered ${name} with request ${request}, flags ${flags}`);
    }
    if (size !== bytes) throw this.#stream.gone(`answered ${name} with ${size} bytes`);
    const payload = new DataView(new ArrayBuffer(bytes));
    this.#stream.read(new Uint8Array(payload.buffer), deadline, ` during ${name}`);
    return payload;
  }
}
