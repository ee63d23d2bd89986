/**
 * A vfio-user server for tests that follows a script for each connection in turn, and misbehaves as the script
 * says. It serves what looks like an 82599 until a driver accesses its registers. Prints a line at the end of
 * each connection.
 *
 * @module
 */

import { checkErrno, Errno, path, stubs } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";

const SOCK_STREAM = 1, POLLIN = 1, POLLHUP = 16, MSG_DONTWAIT = 0x40;
const VERSION = 1, REGION_INFO = 5, IRQ_INFO = 7, REGION_READ = 9;
const HEADER = 16, REPLY = 1, NO_REPLY = 0x10, ERROR = 0x20;
const CONFIG_REGION = 7;

/** The script of a connection. */
export interface Script {
  /** Text of the reply to VERSION; default: what the protocol demands. */
  readonly version?: string;
  /** Words of 32 bits in configuration space, by offset; the others are those of an 82599. */
  readonly config?: Readonly<Record<number, number>>;
  /** What every byte of configuration space reads as. */
  readonly allConfig?: number;
  /** Size of BAR 0 in bytes; offset in its file; offset and size of its mappable areas. */
  readonly bar?: {
    readonly size?: number;
    readonly offset?: number;
    readonly areas?: readonly (readonly [offset: number, bytes: number])[];
    /** What shares it: a file of memory (default), a pipe-like file, or nothing. */
    readonly file?: "memory" | "eventfd";
  };
  /** The request at which to misbehave, and how. */
  readonly fault?: { readonly command: number; readonly how: Fault };
}

/**
 * How to misbehave: close, send requests instead of a reply, replies to other requests, messages of no known
 * type, a message with an impossible size, an error with any number, too many file descriptors, or the
 * start of a reply and no more.
 */
export type Fault =
  | "close"
  | "flood"
  | "posted flood"
  | "other"
  | "type"
  | "size"
  | "refuse"
  | "files"
  | "short";

/** Size of the memory that can be shared, in bytes. */
const MEMORY = 2 ** 21;

/** Waits until a file descriptor is readable, at most for some milliseconds. */
function readable(fd: number, milliseconds: number): boolean {
  const pollfds = Int32Array.of(fd, POLLIN, 0, POLLIN);
  const n = stubs.ixy_poll(pollfds, 2, milliseconds);
  if (n !== -Errno.EINTR) checkErrno("poll", n);
  // Nothing is ever written to this pipe, so the parent process has ended.
  if ((pollfds[3] >> 16 & (POLLIN | POLLHUP)) !== 0) Deno.exit(0);
  return (pollfds[1] >> 16) !== 0;
}

class Connection {
  readonly #fd: number;
  readonly #script: Script;
  readonly #memory: Mapping;
  readonly #fds = new Int32Array(17);

  constructor(fd: number, script: Script, memory: Mapping) {
    this.#fd = fd;
    this.#script = script;
    this.#memory = memory;
  }

  /** Serves until the other side or the script closes the connection. */
  serve(): void {
    while (this.#request());
    stubs.ixy_close(this.#fd);
  }

  #request(): boolean {
    const header = this.#receive(HEADER);
    if (header === undefined) return false;
    const [id, command] = [header.getUint16(0, true), header.getUint16(2, true)];
    const body = this.#receive(header.getUint32(4, true) - HEADER);
    if (body === undefined) return false;
    if (this.#script.fault?.command === command) return this.#misbehave(id, command);
    if ((header.getUint32(8, true) & NO_REPLY) !== 0) return true;
    const { bytes, fd } = this.#reply(command, body);
    return this.#send(id, command, REPLY, bytes, 0, fd === undefined ? [] : [fd]);
  }

  #misbehave(id: number, command: number): boolean {
    const { how } = this.#script.fault!, body = new Uint8Array(32);
    const forever = (flags: number) => {
      while (this.#send(id, 11, flags, body));
      return false;
    };
    if (how === "close") return false;
    if (how === "flood") return forever(0);
    if (how === "posted flood") return forever(NO_REPLY);
    if (how === "other") return this.#send(id + 1, command, REPLY, body);
    if (how === "type") return this.#send(id, command, 7, body);
    if (how === "refuse") return this.#send(id, command, REPLY | ERROR, body, 0xffffffff);
    if (how === "files") {
      // The driver reads the header and the body apart: 16 descriptors come with each.
      const fds = Array<number>(16).fill(this.#memory.fd),
        message = this.#message(id, command, REPLY, body);
      return this.#write(message.subarray(0, HEADER), fds) &&
        this.#write(message.subarray(HEADER), fds);
    }
    if (how === "short") return this.#send(id, command, REPLY, new Uint8Array(3));
    const message = this.#message(id, command, REPLY, body);
    new DataView(message.buffer).setUint32(4, 0xfffffff0, true);
    return this.#write(message, []);
  }

  /** Carries out a request, and returns the body of its reply. */
  #reply(command: number, body: DataView): { bytes: Uint8Array; fd?: number } {
    if (command === VERSION) {
      const { version = '{"capabilities":{"max_msg_fds":16}}' } = this.#script;
      return { bytes: new TextEncoder().encode(`\0\0\0\0${version}\0`) };
    }
    if (command === REGION_READ) {
      const [offset, region, count] = [0, 8, 12].map((at) => body.getUint32(at, true));
      const bytes = new Uint8Array(16 + count);
      bytes.set(new Uint8Array(body.buffer, body.byteOffset, 16));
      const value = region === CONFIG_REGION ? this.#config(offset) : 0;
      for (let i = 0; i < count; i++) bytes[16 + i] = value >>> 8 * (i + offset % 4);
      return { bytes };
    }
    if (command === REGION_INFO) return this.#regionInfo(body.getUint32(8, true));
    if (command === IRQ_INFO) {
      return { bytes: new Uint8Array(Uint32Array.of(16, 1, 2, 0xffffffff).buffer) };
    }
    return { bytes: new Uint8Array(0) };
  }

  #config(offset: number): number {
    const { config = {}, allConfig } = this.#script, word = offset & ~3;
    if (allConfig !== undefined) return allConfig * 0x01010101;
    if (word in config) return config[word];
    return word === 0 ? 0x10fb8086 : word === 8 ? 0x02000000 : 0;
  }

  #regionInfo(index: number): { bytes: Uint8Array; fd?: number } {
    const { size = 0x80000, offset = 0, areas, file = "memory" } = this.#script.bar ?? {};
    const bytes = new Uint8Array(areas ? 48 + 16 * areas.length : 32),
      view = new DataView(bytes.buffer);
    const put = (at: number, value: number) => view.setBigUint64(at, BigInt(value), true);
    view.setUint32(0, bytes.length, true);
    view.setUint32(4, areas ? 15 : 3, true);
    view.setUint32(8, index, true);
    view.setUint32(12, areas ? 32 : 0, true);
    put(16, size);
    put(24, offset);
    if (areas === undefined) return { bytes };
    view.setUint16(32, 1, true); // the capability of areas, version 1
    view.setUint16(34, 1, true);
    view.setUint32(40, areas.length, true);
    areas.forEach(([at, length], i) => {
      put(48 + 16 * i, at);
      put(56 + 16 * i, length);
    });
    return { bytes, fd: file === "memory" ? this.#memory.fd : EVENTFD };
  }

  #message(id: number, command: number, flags: number, body: Uint8Array, errno = 0) {
    const message = new Uint8Array(HEADER + body.length), view = new DataView(message.buffer);
    view.setUint16(0, id, true);
    view.setUint16(2, command, true);
    view.setUint32(4, message.length, true);
    view.setUint32(8, flags, true);
    view.setUint32(12, errno, true);
    message.set(body, HEADER);
    return message;
  }

  /** Sends a message; returns false if the connection has ended. */
  #send(
    id: number,
    command: number,
    flags: number,
    body: Uint8Array,
    errno = 0,
    fds: number[] = [],
  ) {
    return this.#write(this.#message(id, command, flags, body, errno), fds);
  }

  #write(message: Uint8Array<ArrayBuffer>, fds: readonly number[]): boolean {
    let passed = Int32Array.from(fds);
    for (let at = 0; at < message.length;) {
      const rest = message.subarray(at);
      const n = stubs.ixy_send(this.#fd, rest, rest.length, passed, passed.length, MSG_DONTWAIT);
      if (n < 0 && n !== -Errno.EAGAIN) return false;
      passed = new Int32Array(0);
      if (n > 0) at += n;
      else if (readable(this.#fd, 1) && this.#receive(1) === undefined) return false; // makes room
    }
    return true;
  }

  /** Receives bytes; undefined if the connection has ended. */
  #receive(bytes: number): DataView<ArrayBuffer> | undefined {
    const into = new Uint8Array(bytes);
    for (let at = 0; at < bytes;) {
      const n = stubs.ixy_recv(this.#fd, into.subarray(at), bytes - at, this.#fds, 0);
      if (n <= 0) return undefined;
      for (const fd of this.#fds.subarray(0, this.#fds[16])) stubs.ixy_close(fd);
      at += n;
    }
    return new DataView(into.buffer);
  }
}

const EVENTFD = import.meta.main ? stubs.ixy_eventfd() : -1;

if (import.meta.main) {
  const [socket, scripts] = Deno.args;
  const listener = checkErrno(`listen on ${socket}`, stubs.ixy_bind(path(socket), SOCK_STREAM));
  const memory = Mapping.memory(MEMORY, false);
  console.log("ready");
  for (const script of JSON.parse(scripts) as Script[]) {
    while (!readable(listener, 1000));
    new Connection(checkErrno("accept", stubs.ixy_accept(listener)), script, memory).serve();
    console.log("closed");
  }
}
