/**
 * A vhost-user back-end for tests that follows a script for each connection in turn, and misbehaves
 * as the script says. Prints the requests of each connection, as a line of JSON at its end.
 *
 * @module
 */

import { checkErrno, Errno, path, stubs } from "../../native/stubs.ts";
import { Mapping } from "../../native/mapping.ts";
import { type Driver, type Nonsense, Ring } from "./vhost_user_ring.ts";

const SOCK_STREAM = 1, POLLIN = 1, POLLHUP = 16;
const HEADER = 12, VERSION = 1, REPLY = 4, NEED_REPLY = 8;
/** Requests by their numbers in the protocol. */
const SET_FEATURES = 2, SET_MEM_TABLE = 5, SET_VRING_NUM = 8, SET_VRING_ADDR = 9;
const GET_VRING_BASE = 11, SET_VRING_KICK = 12, SET_VRING_CALL = 13, SET_VRING_ENABLE = 18;
const GET_FEATURES = 1, GET_PROTOCOL_FEATURES = 15, GET_QUEUE_NUM = 17;
const SET_STATUS = 39, GET_STATUS = 40;
const DRIVER_OK = 4;

/** The script of a connection. */
export interface Script {
  /** Features to offer, in hexadecimal: of the device, and of the protocol. */
  readonly features: string;
  readonly protocol: string;
  /** Pairs of queues; default: 1. */
  readonly pairs?: number;
  /** The request at which to misbehave, and how. */
  readonly fault?: { readonly request: number; readonly how: Fault };
  /** How transmitted packets come back; default: not at all. */
  readonly loop?: "straight" | "reversed" | "last";
  /** What to write into a used ring once its queue has buffers. */
  readonly nonsense?: Nonsense;
  /** Bits to add to the device status once the driver is ready. */
  readonly status?: number;
}

/**
 * How to misbehave: close, do not answer, refuse, answer too short, for another request, or
 * unasked.
 */
export type Fault = "close" | "hang" | "refuse" | "short" | "other" | "chatter";

/** Waits until a file descriptor is readable, at most for some milliseconds. */
function readable(fd: number, milliseconds: number): boolean {
  const pollfds = Int32Array.of(fd, POLLIN, 0, POLLIN);
  const n = stubs.ixy_poll(pollfds, 2, milliseconds);
  if (n !== -Errno.EINTR) checkErrno("poll", n);
  // Nothing is ever written to this pipe, so the parent process has ended.
  if ((pollfds[3] >> 16 & (POLLIN | POLLHUP)) !== 0) Deno.exit(0);
  return (pollfds[1] >> 16) !== 0;
}

/** A connection: its requests, and the rings that they set up. */
class Connection implements Driver {
  /** Requests in order. */
  readonly requests: number[] = [];
  features = 0n;
  readonly #fd: number;
  readonly #script: Script;
  readonly #rings: readonly Ring[];
  readonly #fds = new Int32Array(17);
  #memories: { address: number; mapping: Mapping }[] = [];
  #status = 0;
  #open = true;

  constructor(fd: number, script: Script) {
    this.#fd = fd;
    this.#script = script;
    this.#rings = Array.from({ length: 2 * (script.pairs ?? 1) }, () => new Ring(this));
  }

  /** Serves until the other side or the script closes the connection. */
  serve(): void {
    while (this.#open) {
      if (readable(this.#fd, 1)) this.#open = this.#request();
      else this.#work();
    }
    stubs.ixy_close(this.#fd);
    for (const { mapping } of this.#memories) mapping.unmap();
  }

  #work(): void {
    const { loop, nonsense } = this.#script;
    const knowsStatus = (BigInt(`0x${this.#script.protocol}`) >> 16n & 1n) !== 0n;
    if (knowsStatus && (this.#status & DRIVER_OK) === 0) return;
    for (let i = 0; i < this.#rings.length; i += 2) {
      const [rx, tx] = this.#rings.slice(i);
      if (!rx.enabled || !tx.enabled) continue;
      if (nonsense) this.#rings[nonsense.queue].write(nonsense);
      else if (loop) Ring.loop(tx, rx, loop);
    }
  }

  /** Handles a request; returns false to end the connection. */
  #request(): boolean {
    const header = new DataView(new ArrayBuffer(HEADER));
    if (!this.#receive(new Uint8Array(header.buffer))) return false;
    const received = [...this.#fds.subarray(0, this.#fds[16])];
    const request = header.getUint32(0, true), flags = header.getUint32(4, true);
    const payload = new DataView(new ArrayBuffer(header.getUint32(8, true)));
    if (payload.byteLength > 0 && !this.#receive(new Uint8Array(payload.buffer))) return false;
    this.requests.push(request);
    const answer = this.#handle(request, payload, received);
    for (const fd of received) stubs.ixy_close(fd);
    const fault = this.#script.fault?.request === request ? this.#script.fault.how : undefined;
    if (fault === "close") return false;
    if (fault === "hang") {
      while (!readable(this.#fd, 1000) || this.#receive(new Uint8Array(1)));
      return false;
    }
    if (answer) this.#reply(request, answer, fault);
    else if (flags & NEED_REPLY) this.#reply(request, [0, 0], fault);
    if (fault === "chatter") this.#reply(request, [0, 0], undefined);
    return true;
  }

  /** Carries out a request; returns the two halves of its answer, if it has one of its own. */
  #handle(request: number, payload: DataView, fds: number[]): number[] | undefined {
    const word = (at: number) => payload.getUint32(at, true);
    const halves = (n: bigint) => [Number(n & 0xffffffffn), Number(n >> 32n)];
    const ring = this.#rings[payload.byteLength > 0 ? word(0) & 0xff : 0]; // for requests about one ring
    if (request === GET_FEATURES) return halves(BigInt(`0x${this.#script.features}`));
    if (request === GET_PROTOCOL_FEATURES) return halves(BigInt(`0x${this.#script.protocol}`));
    if (request === GET_QUEUE_NUM) return [this.#script.pairs ?? 1, 0];
    if (request === SET_FEATURES) this.features = payload.getBigUint64(0, true);
    if (request === SET_MEM_TABLE) this.#map(payload, fds);
    if (request === SET_VRING_NUM) ring.entries = word(4);
    if (request === SET_VRING_ADDR) {
      ring.place((at) => this.memory(Number(payload.getBigUint64(at, true))));
    }
    if (request === SET_VRING_ENABLE) ring.enabled = word(4) === 1;
    if (request === SET_VRING_KICK) ring.enabled = (this.features >> 30n & 1n) === 0n;
    if (request === SET_VRING_KICK || request === SET_VRING_CALL) ring.descriptors += fds.length;
    if (request === GET_VRING_BASE) {
      ring.enabled = false;
      return [word(0), ring.next];
    }
    if (request === SET_STATUS) this.#status = word(0);
    const ready = (this.#status & DRIVER_OK) !== 0;
    if (request === GET_STATUS) return [this.#status | (ready ? this.#script.status ?? 0 : 0), 0];
    return undefined;
  }

  #reply(request: number, [low, high]: number[], fault: Fault | undefined): void {
    if (fault === "refuse") low = 1;
    const bytes = fault === "short" ? 4 : 8;
    const message = Uint32Array.of(
      fault === "other" ? request + 1 : request,
      ...[VERSION | REPLY, bytes, low, high],
    );
    stubs.ixy_send(this.#fd, message, HEADER + bytes, new Int32Array(0), 0, 0);
  }

  #receive(into: Uint8Array<ArrayBuffer>): boolean {
    for (let at = 0; at < into.length;) {
      const n = stubs.ixy_recv(this.#fd, into.subarray(at), into.length - at, this.#fds, 0);
      if (n <= 0) return false;
      at += n;
    }
    return true;
  }

  #map(table: DataView, fds: number[]): void {
    this.#memories = fds.map((fd, i) => ({
      address: Number(table.getBigUint64(24 + 32 * i, true)),
      mapping: Mapping.file("shared memory", fd, Number(table.getBigUint64(16 + 32 * i, true))),
    }));
  }

  memory(address: number, bytes?: number): DataView {
    const memory = this.#memories.find(({ address: start, mapping }) => {
      return address >= start && address + (bytes ?? 1) <= start + mapping.bytes;
    });
    if (!memory) throw new Error(`${bytes} bytes at ${address} are in no memory that was shared`);
    return new DataView(memory.mapping.buffer, address - memory.address, bytes);
  }
}

if (import.meta.main) {
  const [socket, scripts] = Deno.args;
  const listener = checkErrno(`listen on ${socket}`, stubs.ixy_bind(path(socket), SOCK_STREAM));
  console.log("ready");
  for (const script of JSON.parse(scripts) as Script[]) {
    while (!readable(listener, 1000));
    const connection = new Connection(checkErrno("accept", stubs.ixy_accept(listener)), script);
    connection.serve();
    console.log(JSON.stringify(connection.requests));
  }
}
