/**
 * A vhost-user back-end for tests that checks what back-ends built on rust-vmm's crates `vhost`,
 * `vhost-user-backend` and `virtio-queue` check, and ends the connection as they do. It counts
 * queues, takes queues of at most 256 descriptors, and works only after a notification. It sends
 * each packet back. Prints each connection, as a line of JSON at its end.
 *
 * @module
 */

import { status } from "../../native/files.ts";
import { Mapping } from "../../native/mapping.ts";
import { checkErrno, Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { type Driver, Ring } from "./vhost_user_ring.ts";

const SOCK_STREAM = 1, POLLIN = 1, POLLHUP = 16;
const HEADER = 12, VERSION = 1, VERSION_MASK = 3, REPLY = 4, NEED_REPLY = 8, MAX_MESSAGE = 4096;
const MAX_REGIONS = 32, REGION = 32;
/** Bit in the payload of requests about an eventfd: the request has none. */
const NO_FD = 0x100;
const PROTOCOL_FEATURES = 1n << 30n;
const MQ = 1n, REPLY_ACK = 8n;
/** Interval between two attempts to connect, in milliseconds. */
const RETRY_MS = 20;

/** Bytes of each request, and whether it may carry file descriptors. */
const REQUESTS: Readonly<Record<number, readonly [name: string, bytes: number, fds?: true]>> = {
  1: ["GET_FEATURES", 0],
  2: ["SET_FEATURES", 8],
  3: ["SET_OWNER", 0],
  5: ["SET_MEM_TABLE", NaN, true],
  8: ["SET_VRING_NUM", 8],
  9: ["SET_VRING_ADDR", 40],
  10: ["SET_VRING_BASE", 8],
  11: ["GET_VRING_BASE", 8],
  12: ["SET_VRING_KICK", 8, true],
  13: ["SET_VRING_CALL", 8, true],
  15: ["GET_PROTOCOL_FEATURES", 0],
  16: ["SET_PROTOCOL_FEATURES", 8],
  17: ["GET_QUEUE_NUM", 0],
  18: ["SET_VRING_ENABLE", 8],
};

/** How the back-end is configured. */
export interface StrictOptions {
  /** Features that the device offers beside PROTOCOL_FEATURES, in hexadecimal. */
  readonly features: string;
  /** Features of the protocol, in hexadecimal; back-ends built on rust-vmm always add REPLY_ACK. */
  readonly protocol: string;
  /** Queues, not pairs of queues. */
  readonly queues: number;
  /** Most descriptors of a queue. */
  readonly size: number;
  /** Connections to serve; then it ends. */
  readonly connections: number;
  /** Whether it connects to the socket instead of listening on it. */
  readonly client: boolean;
}

/** What happened on a connection. */
export interface StrictReport {
  /** Names of the requests in order. */
  readonly requests: readonly string[];
  /** What the back-end refused; undefined if the front-end has closed the connection. */
  readonly refused?: string;
}

/** A request that does not reach the device: the connection ends without an acknowledgement. */
class InvalidMessage extends Error {}
/** A request that the device refuses: acknowledged as failed, then the connection ends. */
class Refused extends Error {}

/** A queue: its ring, and its eventfds. */
interface Vring {
  readonly ring: Ring;
  kick: number | undefined;
  call: number | undefined;
  enabled: boolean;
}

/** Waits until one of the file descriptors is readable; returns which are. */
function readable(fds: readonly number[], milliseconds: number): boolean[] {
  const pollfds = Int32Array.from([0, ...fds].flatMap((fd) => [fd, POLLIN]));
  const n = stubs.ixy_poll(pollfds, fds.length + 1, milliseconds);
  if (n !== -Errno.EINTR) checkErrno("poll", n);
  const events = (i: number) => pollfds[2 * i + 1] >> 16 & (POLLIN | POLLHUP);
  // Nothing is ever written to the standard input, so the parent process has ended.
  if (events(0) !== 0) Deno.exit(0);
  return fds.map((_, i) => events(i + 1) !== 0);
}

/** A connection to a front-end. */
class Connection implements Driver {
  features = 0n;
  readonly #fd: number;
  readonly #options: StrictOptions;
  readonly #offered: bigint;
  readonly #requests: string[] = [];
  readonly #vrings: readonly Vring[];
  readonly #fds = new Int32Array(17);
  readonly #event = new BigUint64Array(1);
  #regions: { readonly start: number; readonly mapping: Mapping }[] = [];
  #protocol = 0n;
  #owned = false;

  constructor(fd: number, options: StrictOptions) {
    this.#fd = fd;
    this.#options = options;
    this.#offered = BigInt(`0x${options.features}`) | PROTOCOL_FEATURES;
    this.#vrings = Array.from({ length: options.queues }, () => {
      return { ring: new Ring(this), kick: undefined, call: undefined, enabled: false };
    });
  }

  /** Serves until the front-end closes the connection, or a request is refused. */
  serve(): StrictReport {
    try {
      for (;;) {
        const kicked = this.#vrings.filter(({ kick, enabled }) => kick !== undefined && enabled);
        const [message, ...kicks] = readable([this.#fd, ...kicked.map(({ kick }) => kick!)], 1000);
        kicks.forEach((is, i) => {
          if (is) stubs.ixy_read(kicked[i].kick!, this.#event, 8);
        });
        if (kicks.includes(true)) this.#work();
        if (message && !this.#request()) return { requests: this.#requests };
      }
    } catch (error) {
      if (!(error instanceof InvalidMessage || error instanceof Refused)) throw error;
      return { requests: this.#requests, refused: error.message };
    } finally {
      stubs.ixy_close(this.#fd);
      for (const { kick, call } of this.#vrings) {
        for (const fd of [kick, call]) if (fd !== undefined) stubs.ixy_close(fd);
      }
      for (const { mapping } of this.#regions) mapping.unmap();
    }
  }

  memory(address: number, bytes?: number): DataView {
    const region = this.#regions.find(({ start, mapping }) => {
      return address >= start && address + (bytes ?? 1) <= start + mapping.bytes;
    });
    if (!region) throw new Refused(`${bytes} bytes at ${address} are outside the shared memory`);
    return new DataView(region.mapping.buffer, address - region.start, bytes);
  }

  /** Sends packets back, as long as there are packets and room. */
  #work(): void {
    for (let i = 0; i + 1 < this.#vrings.length; i += 2) {
      const [rx, tx] = this.#vrings.slice(i);
      const ready = [rx, tx].every(({ kick, enabled }) => kick !== undefined && enabled);
      if (!ready) continue;
      for (const { ring } of [rx, tx]) {
        if (ring.waiting > ring.entries) throw new Refused("invalid index of the available ring");
      }
      while (tx.ring.waiting > 0 && rx.ring.waiting > 0) Ring.loop(tx.ring, rx.ring, "straight");
    }
  }

  /** Handles a request; returns false at the end of the connection. */
  #request(): boolean {
    const header = new DataView(new ArrayBuffer(HEADER));
    if (!this.#receive(new Uint8Array(header.buffer))) return false;
    const fds = [...this.#fds.subarray(0, this.#fds[16])];
    const [code, flags, size] = [0, 4, 8].map((at) => header.getUint32(at, true));
    const [name, bytes, mayHaveFds] = REQUESTS[code] ?? [`request ${code}`, NaN];
    this.#requests.push(name);
    check(code in REQUESTS, `unknown request ${code}`);
    check((flags & VERSION_MASK) === VERSION, `${name}: version ${flags & VERSION_MASK}`);
    check((flags & ~(VERSION_MASK | NEED_REPLY)) === 0, `${name}: flags ${flags}`);
    check(size <= MAX_MESSAGE, `${name}: ${size} bytes`);
    check(mayHaveFds || fds.length === 0, `${name}: ${fds.length} file descriptors`);
    const body = new DataView(new ArrayBuffer(size));
    check(size === 0 || this.#receive(new Uint8Array(body.buffer)), `${name}: ended early`);
    check(size === 0 || this.#fds[16] === 0, `${name}: file descriptors after its header`);
    check(Number.isNaN(bytes) || size === bytes, `${name}: ${size} bytes instead of ${bytes}`);
    let failure: Refused | undefined;
    let answer: bigint | undefined;
    try {
      answer = this.#handle(name, body, fds);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      failure = error;
    }
    const acknowledged = (this.#protocol & REPLY_ACK) !== 0n && (flags & NEED_REPLY) !== 0;
    if (answer !== undefined) this.#reply(code, answer);
    else if (acknowledged) this.#reply(code, failure ? 1n : 0n);
    if (failure) throw failure;
    return true;
  }

  /** Carries out a request; returns its answer, if it has one of its own. */
  #handle(name: string, body: DataView, fds: readonly number[]): bigint | undefined {
    const u64 = () => body.getBigUint64(0, true), value = () => body.getUint32(4, true);
    switch (name) {
      case "SET_OWNER":
        refuse(this.#owned, "SET_OWNER: already claimed");
        this.#owned = true;
        return undefined;
      case "GET_FEATURES":
        return this.#offered;
      case "SET_FEATURES":
        refuse((u64() & ~this.#offered) !== 0n, "SET_FEATURES: features that were not offered");
        this.features = u64();
        if ((u64() & PROTOCOL_FEATURES) === 0n) this.#vrings.forEach((v) => v.enabled = true);
        return undefined;
      case "GET_PROTOCOL_FEATURES":
        return BigInt(`0x${this.#options.protocol}`);
      case "SET_PROTOCOL_FEATURES":
        refuse(
          (u64() & ~BigInt(`0x${this.#options.protocol}`)) !== 0n,
          `${name}: ${u64()}`,
        );
        this.#protocol = u64();
        return undefined;
      case "GET_QUEUE_NUM":
        check((this.#protocol & MQ) !== 0n, `${name} without MQ`);
        return BigInt(this.#vrings.length);
      case "SET_MEM_TABLE":
        return this.#map(body, fds);
      case "SET_VRING_KICK":
      case "SET_VRING_CALL":
        return this.#setEventfd(name, Number(u64()), fds);
    }
    const index = body.getUint32(0, true), vring = this.#vrings[index];
    if (name === "SET_VRING_ENABLE") {
      check((this.features & PROTOCOL_FEATURES) !== 0n, `${name} without PROTOCOL_FEATURES`);
      check(value() <= 1, `${name}: ${value()}`);
    }
    if (name === "SET_VRING_ADDR") checkAddresses(body);
    refuse(vring === undefined, `${name}: queue ${index} of ${this.#vrings.length}`);
    if (name === "SET_VRING_NUM") {
      const powerOfTwo = value() > 0 && (value() & value() - 1) === 0;
      refuse(!powerOfTwo || value() > this.#options.size, `${name}: ${value()}`);
      vring.ring.entries = value();
    } else if (name === "SET_VRING_ADDR") {
      refuse(this.#regions.length === 0, `${name} before SET_MEM_TABLE`);
      vring.ring.place((at) => this.memory(Number(body.getBigUint64(at, true))));
    } else if (name === "SET_VRING_BASE") vring.ring.next = value();
    else if (name === "SET_VRING_ENABLE") vring.enabled = value() === 1;
    else if (name === "GET_VRING_BASE") {
      for (const what of ["kick", "call"] as const) this.#drop(vring, what);
      return BigInt(index) | BigInt(vring.ring.next) << 32n;
    }
    return undefined;
  }

  #setEventfd(name: string, payload: number, fds: readonly number[]): undefined {
    check(((payload & NO_FD) === 0) === (fds.length === 1), `${name}: ${fds.length} eventfds`);
    const vring = this.#vrings[payload & 0xff];
    refuse(vring === undefined, `${name}: queue ${payload & 0xff} of ${this.#vrings.length}`);
    const what = name === "SET_VRING_KICK" ? "kick" : "call";
    this.#drop(vring, what);
    vring[what] = fds[0];
  }

  #drop(vring: Vring, what: "kick" | "call"): void {
    const fd = vring[what];
    if (fd !== undefined) stubs.ixy_close(fd);
    vring[what] = undefined;
  }

  /** Maps the front-end's memory: regions in the order of their addresses, and within their files. */
  #map(body: DataView, fds: readonly number[]): undefined {
    const count = body.byteLength >= 8 ? body.getUint32(0, true) : 0;
    check(count > 0 && count <= MAX_REGIONS, `SET_MEM_TABLE: ${count} regions`);
    check(body.getUint32(4, true) === 0, "SET_MEM_TABLE: padding is not zero");
    check(body.byteLength === 8 + REGION * count, `SET_MEM_TABLE: ${body.byteLength} bytes`);
    check(fds.length === count, `SET_MEM_TABLE: ${fds.length} files for ${count} regions`);
    const regions = fds.map((fd, i) => {
      const [guest, bytes, user, offset] = [0, 8, 16, 24].map((at) => {
        return Number(body.getBigUint64(8 + REGION * i + at, true));
      });
      check(bytes > 0, "SET_MEM_TABLE: an empty region");
      return { guest, bytes, user, offset, fd };
    });
    regions.forEach(({ guest }, i) => {
      const before = i > 0 ? regions[i - 1].guest + regions[i - 1].bytes : 0;
      refuse(guest < before, "SET_MEM_TABLE: regions are not sorted, or overlap");
    });
    this.#regions = regions.map(({ bytes, user, offset, fd }) => {
      refuse(offset !== 0, `SET_MEM_TABLE: offset ${offset}`); // this back-end cannot map others
      refuse(status(fd).size < bytes, "SET_MEM_TABLE: a region exceeds its file");
      try {
        return { start: user, mapping: Mapping.file("memory of the front-end", fd, bytes) };
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        throw new Refused(`SET_MEM_TABLE: ${error.message}`);
      } finally {
        stubs.ixy_close(fd);
      }
    });
  }

  #reply(code: number, answer: bigint): void {
    const message = new DataView(new ArrayBuffer(HEADER + 8));
    [code, VERSION | REPLY, 8].forEach((word, i) => message.setUint32(4 * i, word, true));
    message.setBigUint64(HEADER, answer, true);
    const bytes = new Uint8Array(message.buffer);
    stubs.ixy_send(this.#fd, bytes, bytes.length, new Int32Array(0), 0, 0);
  }

  #receive(into: Uint8Array<ArrayBuffer>): boolean {
    for (let at = 0; at < into.length;) {
      const n = stubs.ixy_recv(this.#fd, into.subarray(at), into.length - at, this.#fds, 0);
      if (n <= 0) return false;
      at += n;
    }
    return true;
  }
}

/** Ends the connection without an acknowledgement unless a request is well-formed. */
function check(valid: boolean, problem: string): asserts valid {
  if (!valid) throw new InvalidMessage(problem);
}

function refuse(refused: boolean, problem: string): void {
  if (refused) throw new Refused(problem);
}

/** Checks flags and alignment of SET_VRING_ADDR. */
function checkAddresses(body: DataView): void {
  check(body.getUint32(4, true) <= 1, "SET_VRING_ADDR: unknown flags");
  for (const [at, alignment] of [[8, 16n], [16, 4n], [24, 2n]] as const) {
    const address = body.getBigUint64(at, true);
    check(address % alignment === 0n, `SET_VRING_ADDR: address ${address} is not aligned`);
  }
}

/** Connects to a socket as soon as a front-end listens on it. */
function connect(socket: string): number {
  for (;;) {
    const fd = stubs.ixy_connect(path(socket), SOCK_STREAM);
    if (fd >= 0) return fd;
    readable([], RETRY_MS);
  }
}

if (import.meta.main) {
  const [socket, json] = Deno.args;
  const options = JSON.parse(json) as StrictOptions;
  const listener = options.client
    ? -1
    : checkErrno(`listen on ${socket}`, stubs.ixy_bind(path(socket), SOCK_STREAM));
  console.log("ready");
  for (let i = 0; i < options.connections; i++) {
    if (!options.client) { while (!readable([listener], 1000)[0]); }
    const fd = options.client ? connect(socket) : checkErrno("accept", stubs.ixy_accept(listener));
    console.log(JSON.stringify(new Connection(fd, options).serve()));
  }
}
