/**
 * One connection of a vfio-user client. It splits the byte stream into messages, assigns
 * descriptors to the messages that they came with, and sends replies. `server.ts` interprets the
 * messages.
 *
 * @module
 */

import { Errno, path, stubs } from "../../native/stubs.ts";

/** Commands that a client sends. */
export const Command = {
  VERSION: 1,
  DMA_MAP: 2,
  DMA_UNMAP: 3,
  DEVICE_GET_INFO: 4,
  DEVICE_GET_REGION_INFO: 5,
  DEVICE_GET_IRQ_INFO: 7,
  DEVICE_SET_IRQS: 8,
  REGION_READ: 9,
  REGION_WRITE: 10,
  DEVICE_RESET: 13,
} as const;

/** Bytes of a message's header. */
export const HEADER_BYTES = 16;
/** Maximum bytes of a message: all messages of a client are small. */
const MAX_MESSAGE_BYTES = 16384;
/** Maximum number of descriptors with a message, as in the VERSION reply. */
export const MAX_FDS = 16;

const FLAG_TYPE = 0xf;
const FLAG_REPLY = 0x1;
const FLAG_NO_REPLY = 0x10;
const FLAG_ERROR = 0x20;
const MSG_DONTWAIT = 0x40;
const RECEIVE_BYTES = 4 * MAX_MESSAGE_BYTES;
/** No further message is begun after this time: the other ports wait meanwhile. */
const TURN_MILLISECONDS = 1;

/** A message of the client. */
export interface Request {
  /** Number that the reply repeats. */
  readonly id: number;
  /** One of {@linkcode Command}, or unknown. */
  readonly command: number;
  /** Whether the client expects no reply. */
  readonly posted: boolean;
  /** The bytes behind the header. Valid while the request is handled. */
  readonly body: DataView<ArrayBuffer>;
  /** Descriptors with the message. Those that the handler leaves are closed. */
  readonly fds: number[];
}

/** A failure of a request, whose reply has the error number. */
export class RequestError extends Error {
  /** Name of the class. */
  override readonly name: string = "RequestError";
  /** The positive error number. */
  readonly errno: number;

  /** Creates an error with a number for the client and a message for the log. */
  constructor(errno: number, message: string) {
    super(message);
    this.errno = errno;
  }
}

/** The client's connection has ended, or must end because of a fault. */
export class ConnectionEnd extends Error {
  /** Name of the class. */
  override readonly name: string = "ConnectionEnd";
  /** Whether the client has made an error, and not only closed the connection. */
  readonly fault: boolean;

  /** Creates the end of a connection; by default because of the client's fault. */
  constructor(message: string, fault: boolean = true) {
    super(message);
    this.fault = fault;
  }
}

/** One client's connection; all its calls are nonblocking. */
export class Connection {
  /** The connection's descriptor, readable when the client has sent data. */
  readonly fd: number;
  /** Takes the body of a reply before {@linkcode Connection.prototype.reply}. */
  readonly out: DataView<ArrayBuffer>;
  /** The bytes of {@linkcode Connection.prototype.out}. */
  readonly outBytes: Uint8Array<ArrayBuffer>;

  readonly #reply = new Uint8Array(HEADER_BYTES + MAX_MESSAGE_BYTES);
  readonly #replyView = new DataView(this.#reply.buffer);
  #replyBytes = 0;
  #replySent = 0;
  #replyFds: Int32Array<ArrayBuffer> = NO_FDS;

  readonly #input = new Uint8Array(RECEIVE_BYTES);
  readonly #inputView = new DataView(this.#input.buffer);
  #used = 0;
  /** Whether a complete message waits in the input for its turn. */
  #waiting = false;
  readonly #fdsReceived = new Int32Array(MAX_FDS + 1);
  #fds: number[] = [];
  /** End of the input that the descriptors came with. */
  #fdsEnd = 0;

  /**
   * Takes ownership of a connection's descriptor; {@linkcode Connection.prototype.close} closes it.
   */
  constructor(fd: number) {
    this.fd = fd;
    this.out = new DataView(this.#reply.buffer, HEADER_BYTES);
    this.outBytes = new Uint8Array(this.#reply.buffer, HEADER_BYTES);
  }

  /**
   * Handles waiting requests, as long as a turn takes; the rest in the next.
   *
   * @param handle Handles one request: replies to it, or throws {@linkcode RequestError}.
   * @returns Whether there was any input or output.
   * @throws {ConnectionEnd} if the client has disconnected, or sent what cannot be a message.
   */
  poll(handle: (request: Request) => void): boolean {
    // While a client does not read its reply, its requests wait: replies do not accumulate.
    if (this.blocked) {
      if (!this.#flush()) return false;
      this.#handleAll(handle);
      return true;
    }
    const received = this.#waiting || this.#receive();
    if (received) this.#handleAll(handle);
    return received;
  }

  /** Whether a reply waits for room in the client's socket. */
  get blocked(): boolean {
    return this.#replySent < this.#replyBytes;
  }

  /** Replies with the first `bytes` of `out`, and with descriptors, which stay open here. */
  reply(request: Request, bytes: number, fds: readonly number[] = []): void {
    this.#send(request, bytes, FLAG_REPLY, 0, fds);
  }

  /** Replies that a request has failed. */
  replyError(request: Request, errno: number): void {
    this.#send(request, 0, FLAG_REPLY | FLAG_ERROR, errno, []);
  }

  /** Closes the connection, and the descriptors that no request has taken. */
  close(): void {
    for (const fd of this.#fds) stubs.ixy_close(fd);
    this.#fds = [];
    stubs.ixy_close(this.fd);
  }

  #receive(): boolean {
    const room = this.#used === 0 ? this.#input : this.#input.subarray(this.#used);
    const n = stubs.ixy_recv(this.fd, room, room.length, this.#fdsReceived, MSG_DONTWAIT);
    if (n === -Errno.EAGAIN || n === -Errno.EINTR) return false;
    if (n <= 0) throw new ConnectionEnd(`the client has gone (${-n})`, false);
    this.#used += n;
    if (this.#fdsReceived[MAX_FDS] > 0) {
      this.#fds.push(...this.#fdsReceived.subarray(0, this.#fdsReceived[MAX_FDS]));
      this.#fdsEnd = this.#used;
      if (this.#fds.length > MAX_FDS) throw new ConnectionEnd("too many descriptors at once");
      // With the client's own end of this connection open here, its close would go unnoticed.
      if (this.#fds.some((fd) => describe(fd).startsWith("socket:"))) {
        throw new ConnectionEnd("the client sent a socket, which has no use here");
      }
    }
    return true;
  }

  /** Handles the complete messages in the input, and moves the rest to its start. */
  #handleAll(handle: (request: Request) => void): void {
    let at = 0, end = 0;
    this.#waiting = false;
    while (this.#used - at >= HEADER_BYTES && !this.blocked) {
      const size = this.#inputView.getUint32(at + 4, true);
      if (size < HEADER_BYTES || size > MAX_MESSAGE_BYTES) {
        throw new ConnectionEnd(
          `a message has ${HEADER_BYTES} to ${MAX_MESSAGE_BYTES} bytes, not ${size}`,
        );
      }
      if (this.#used - at < size) break;
      if (at === 0) {
        end = performance.now() + TURN_MILLISECONDS;
      } else if (performance.now() > end) {
        this.#waiting = true;
        break;
      }
      this.#handleOne(at, size, handle);
      at += size;
    }
    if (at === 0) return;
    this.#input.copyWithin(0, at, this.#used);
    this.#used -= at;
    this.#fdsEnd -= at;
  }

  #handleOne(at: number, size: number, handle: (request: Request) => void): void {
    const view = this.#inputView;
    const flags = view.getUint32(at + 8, true);
    if ((flags & FLAG_TYPE) !== 0) throw new ConnectionEnd("the client sent a reply to no request");
    // The kernel ends a receive after the part of the stream that has descriptors. So they belong
    // to the last message that begins in that part.
    const mine = this.#fds.length > 0 && at + size >= this.#fdsEnd;
    const request: Request = {
      id: view.getUint16(at, true),
      command: view.getUint16(at + 2, true),
      posted: (flags & FLAG_NO_REPLY) !== 0,
      body: new DataView(this.#input.buffer, at + HEADER_BYTES, size - HEADER_BYTES),
      fds: mine ? this.#fds : [],
    };
    if (mine) this.#fds = [];
    try {
      handle(request);
    } finally {
      for (const fd of request.fds) stubs.ixy_close(fd);
    }
  }

  #send(
    request: Request,
    bytes: number,
    flags: number,
    errno: number,
    fds: readonly number[],
  ): void {
    if (request.posted) return;
    const view = this.#replyView;
    view.setUint16(0, request.id, true);
    view.setUint16(2, request.command, true);
    view.setUint32(4, HEADER_BYTES + bytes, true);
    view.setUint32(8, flags, true);
    view.setUint32(12, errno, true);
    this.#replyBytes = HEADER_BYTES + bytes;
    this.#replySent = 0;
    this.#replyFds = fds.length === 0 ? NO_FDS : Int32Array.from(fds);
    this.#flush();
  }

  /** Sends the rest of the reply; returns false if the client's socket has no room. */
  #flush(): boolean {
    const rest = this.#reply.subarray(this.#replySent, this.#replyBytes);
    const fds = this.#replySent === 0 ? this.#replyFds : NO_FDS;
    const n = stubs.ixy_send(this.fd, rest, rest.length, fds, fds.length, MSG_DONTWAIT);
    if (n === -Errno.EAGAIN || n === -Errno.EINTR) return false;
    if (n < 0) throw new ConnectionEnd(`the client has gone (${-n})`, false);
    this.#replySent += n;
    return this.#replySent === this.#replyBytes;
  }
}

const NO_FDS = new Int32Array(0);

/**
 * Describes a descriptor of this process: `socket:[123]`, `anon_inode:[eventfd]`, a file's path.
 */
export function describe(fd: number): string {
  const text = new Uint8Array(256);
  const n = stubs.ixy_readlink(path(`/proc/self/fd/${fd}`), text, text.length);
  return new TextDecoder().decode(text.subarray(0, Math.max(n, 0)));
}
