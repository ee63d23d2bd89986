/**
 * Messages of vhost-user (QEMU's "Vhost-user Protocol") over a Unix stream socket, from the front-end's
 * side: what is sent, what has to come back, and nothing of when to send what.
 *
 * @module
 */

import { UnixStream } from "../src/unix_stream.ts";
import { DeviceError } from "../src/errors.ts";

/** The requests that a front-end makes here (section "Front-end message types"). */
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

/** Size of a message without its payload: request, flags and payload size, 32 bits each. */
const HEADER = 12;
/** Flags of a message: version 1, and whether it is a reply or wants one. */
const VERSION = 1, REPLY = 1 << 2, NEED_REPLY = 1 << 3;

/** A number as a payload: one of 64 bits. */
export function u64(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}

/** Numbers of 32 bits as a payload: a queue's index and what is to be known of it. */
export function u32(...values: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** The front-end's side of a connection. */
export class VhostUserSocket {
  /** Whether requests without an answer of their own are acknowledged (REPLY_ACK). */
  acknowledged = false;
  readonly #stream: UnixStream;
  /** A request that was asked without waiting, and when its answer is overdue. */
  #pending: { readonly name: RequestName; readonly deadline: number } | undefined;

  /**
   * Connects.
   *
   * @param address The device's address, for messages.
   * @param socket Path of the back-end's socket.
   * @param milliseconds How long the back-end may take for an answer; 5000 unless given.
   * @throws {UsageError} if nobody serves the socket.
   */
  constructor(address: string, socket: string, milliseconds?: number) {
    this.#stream = new UnixStream(address, socket, milliseconds);
  }

  /** Whether the connection can still be used. */
  get alive(): boolean {
    return this.#stream.alive;
  }

  /** Whether the back-end has closed the connection. */
  get closedByServer(): boolean {
    return this.#stream.closedByServer;
  }

  /**
   * Asks for a number of 64 bits.
   *
   * @throws {DeviceError} if the back-end is gone, does not answer or answers something else.
   */
  get(name: RequestName): bigint {
    this.ask(name);
    return this.#answer(8).getBigUint64(0, true);
  }

  /**
   * Asks for a queue's next index in its available ring, which stops the queue.
   *
   * @throws {DeviceError} if the back-end is gone, does not answer or answers something else.
   */
  getVringBase(queue: number): number {
    this.#send("GET_VRING_BASE", u32(queue, 0));
    this.#expect("GET_VRING_BASE");
    const answer = this.#answer(8);
    if (answer.getUint32(0, true) !== queue) {
      throw this.#stream.gone(`answered GET_VRING_BASE for another queue than ${queue}`);
    }
    return answer.getUint32(4, true);
  }

  /**
   * Tells something, and waits for the acknowledgement where that was agreed on.
   *
   * @param fds Descriptors to send along.
   * @throws {DeviceError} if the back-end is gone, does not answer or refuses.
   */
  set(name: RequestName, payload: Uint8Array = new Uint8Array(0), fds: readonly number[] = []) {
    this.#send(name, payload, fds, this.acknowledged ? NEED_REPLY : 0);
    if (!this.acknowledged) return;
    this.#expect(name);
    const result = this.#answer(8).getBigUint64(0, true);
    if (result !== 0n) {
      throw new DeviceError(
        this.#stream.address,
        `the server of this device refused ${name} (${result}): see what it says of it`,
      );
    }
  }

  /** Asks for a number of 64 bits, for {@linkcode VhostUserSocket.look} to find. */
  ask(name: RequestName): void {
    this.#send(name, new Uint8Array(0));
    this.#expect(name);
  }

  /**
   * Looks for the answer to what was asked, and whether the back-end is still there; does not wait.
   *
   * @returns The answer once it is there.
   * @throws {DeviceError} if the back-end is gone, the answer is overdue or something else.
   */
  look(): bigint | undefined {
    const pending = this.#pending;
    if (this.#stream.readable()) {
      if (!pending) throw this.#stream.gone("sent what it was not asked for");
      return this.#answer(8).getBigUint64(0, true);
    }
    if (!pending || performance.now() < pending.deadline) return undefined;
    throw this.#stream.gone(
      `has not answered for ${this.#stream.milliseconds} ms during ${pending.name}`,
    );
  }

  /** Whether an answer is still to come. */
  get asked(): boolean {
    return this.#pending !== undefined;
  }

  /** Ends the connection. Again: nothing happens. */
  close(): void {
    this.#stream.close();
  }

  #send(name: RequestName, payload: Uint8Array, fds: readonly number[] = [], flags = 0): void {
    if (this.#pending) this.#answer(8); // nobody has looked for it: out of the way
    const message = new Uint8Array(HEADER + payload.length);
    message.set(u32(Request[name], VERSION | flags, payload.length));
    message.set(payload, HEADER);
    this.#stream.write(message, fds, ` during ${name}`);
  }

  #expect(name: RequestName): void {
    this.#pending = { name, deadline: this.#stream.deadline() };
  }

  /** Waits for the answer to the last request; it has to have so many bytes. */
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
