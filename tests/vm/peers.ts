/**
 * The host's end of the guest's network cards: Unix datagram sockets with one frame per datagram,
 * and an exchange of frames that checks each one. Not a test itself.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { delay } from "jsr:@std/async@1/delay";
import { checkErrno, Errno, path, stubs, SystemError } from "../../native/stubs.ts";
import { mix, Random } from "../../packets/random.ts";
import type { TemporaryDirectory } from "../support/processes.ts";

const SOCK_DGRAM = 2;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;
/** Room for more than the longest frame, so that a frame that is too long is detected. */
const CAPACITY = 4096;
/** Sizes of frames in bytes, without CRC. */
const MIN_SIZE = 60, MAX_SIZE = 1514, SIZES = MAX_SIZE - MIN_SIZE + 1;
/** A step that is coprime to the number of sizes: sizes vary widely, and every size occurs. */
const SIZE_STEP = 1033;
/** Offset of a frame's sequence number, after the Ethernet header, and its length in bytes. */
const SEQUENCE_AT = 14, SEQUENCE_BYTES = 8;
/** The first number: its lower half overflows in the middle of 10,000 frames. */
const SEQUENCE_FIRST = 2 ** 32 - 5000;
/** Most frames on their way in one direction: fewer than fit in any ring. */
const WINDOW = 64;
/** Longest wait for a frame before other work is checked, in milliseconds. */
const POLL_MS = 20;
/** Time without a frame after which those on their way count as lost, in milliseconds. */
const LOST_MS = 20000;

/** The other end of a network card's cable. */
export class Peer implements Disposable {
  /** QEMU's `-netdev` for the card, without the id. */
  readonly netdev: string;
  /** Readable when a frame has arrived. */
  readonly fd: number;
  readonly #name: string;
  readonly #remote: Uint8Array<ArrayBuffer>;
  readonly #buffer = new Uint8Array(CAPACITY);
  readonly #fds = new Int32Array(17);

  /** Creates the socket. Its file and QEMU's are in a directory. */
  constructor(directory: TemporaryDirectory, name: string) {
    const [local, remote] = [directory.file(`${name}.host`), directory.file(`${name}.guest`)];
    this.#name = name;
    this.#remote = path(remote);
    this.fd = checkErrno(`bind ${local}`, stubs.ixy_bind(path(local), SOCK_DGRAM));
    this.netdev = `dgram,local.type=unix,local.path=${remote},` +
      `remote.type=unix,remote.path=${local}`;
  }

  /** Sends a frame; returns false if the socket is full. */
  send(frame: Uint8Array<ArrayBuffer>): boolean {
    const sent = stubs.ixy_sendto(this.fd, frame, frame.length, this.#remote, MSG_DONTWAIT);
    if (sent === -Errno.EAGAIN || sent === -Errno.ENOBUFS) return false;
    if (sent < 0) throw new SystemError(`send a frame to ${this.#name}`, -sent);
    return true;
  }

  /** Returns the next frame, valid until the next call, or undefined if none has arrived. */
  receive(): Uint8Array | undefined {
    const bytes = stubs.ixy_recv(this.fd, this.#buffer, CAPACITY, this.#fds, MSG_DONTWAIT);
    if (bytes === -Errno.EAGAIN) return undefined;
    if (bytes < 0) throw new SystemError(`receive a frame from ${this.#name}`, -bytes);
    return this.#buffer.subarray(0, bytes);
  }

  /** Closes the socket. */
  [Symbol.dispose](): void {
    stubs.ixy_close(this.fd);
  }
}

/** The frames of {@linkcode exchange}. */
export interface ExchangeOptions {
  /** Frames each way. */
  readonly frames: number;
  /** Seed of their contents. */
  readonly seed: number;
}

/**
 * Sends frames both ways at once through a forwarder between two cards, and asserts that each
 * arrives once, in order, and unchanged except for byte 1, which is incremented.
 */
export async function exchange(a: Peer, b: Peer, { frames, seed }: ExchangeOptions): Promise<void> {
  const flows = [
    new Flow("there", a, b, frames, seed),
    new Flow("back", b, a, frames, ~seed),
  ];
  const fds = new Int32Array(flows.flatMap(({ to }) => [to.fd, POLLIN]));
  let last = performance.now();
  while (!flows.every((flow) => flow.done)) {
    const progress = flows.map((flow) => flow.turn()).includes(true);
    const now = performance.now();
    if (progress) {
      last = now;
      continue;
    }
    assert(now - last < LOST_MS, `no frame for ${LOST_MS} ms: ${flows.join(", ")}`);
    checkErrno("poll", stubs.ixy_poll(fds, flows.length, POLL_MS));
    await delay(0); // so that the virtual machine's output is read
  }
  // A duplicate frame would arrive by now or soon.
  checkErrno("poll", stubs.ixy_poll(fds, flows.length, POLL_MS));
  for (const { to, name } of flows) assertEquals(to.receive(), undefined, `${name}: one too many`);
}

/** The frames in one direction. */
class Flow {
  readonly #from: Peer;
  readonly #frames: number;
  readonly #seed: number;
  #sent = 0;
  #received = 0;
  #next: Uint8Array<ArrayBuffer> | undefined;

  constructor(readonly name: string, from: Peer, readonly to: Peer, frames: number, seed: number) {
    this.#from = from;
    this.#frames = frames;
    this.#seed = seed;
  }

  get done(): boolean {
    return this.#received === this.#frames;
  }

  /** Sends and receives as many frames as possible; returns whether there were any. */
  turn(): boolean {
    const before = this.#sent + this.#received;
    while (this.#sent < this.#frames && this.#sent - this.#received < WINDOW) {
      this.#next ??= frameOf(this.#seed, this.#sent);
      if (!this.#from.send(this.#next)) break;
      this.#next = undefined;
      this.#sent++;
    }
    for (let frame = this.to.receive(); frame !== undefined; frame = this.to.receive()) {
      this.#check(frame);
      this.#received++;
    }
    return this.#sent + this.#received > before;
  }

  #check(frame: Uint8Array): void {
    const n = this.#received;
    assert(n < this.#frames, `${this.name}: more frames than were sent`);
    const expected = frameOf(this.#seed, n);
    expected[1]++;
    if (frame.length >= MIN_SIZE) {
      assertEquals(sequenceOf(frame), sequenceOf(expected), `${this.name}: number of frame ${n}`);
    }
    const same = frame.length === expected.length && frame.every((byte, i) => byte === expected[i]);
    if (!same) assertEquals(frame, expected, `${this.name}: frame ${n}`);
  }

  toString(): string {
    return `${this.name} ${this.#sent} sent, ${this.#received} received`;
  }
}

/** Returns frame number n of a seed: random content except for its number, each size in turn. */
function frameOf(seed: number, n: number): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(MIN_SIZE + (n * SIZE_STEP) % SIZES);
  const words = new Uint32Array(Math.ceil(frame.length / 4));
  const random = new Random(mix(seed) ^ n);
  for (let i = 0; i < words.length; i++) words[i] = random.word();
  frame.set(new Uint8Array(words.buffer, 0, frame.length));
  new DataView(frame.buffer).setBigUint64(SEQUENCE_AT, BigInt(SEQUENCE_FIRST + n));
  return frame;
}

function sequenceOf(frame: Uint8Array): bigint {
  const view = new DataView(frame.buffer, frame.byteOffset + SEQUENCE_AT, SEQUENCE_BYTES);
  return view.getBigUint64(0);
}
