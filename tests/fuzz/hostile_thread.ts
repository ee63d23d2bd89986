/**
 * The thread of `replies.ts`: serves a device to one driver after another, and changes what it sends
 * as each case says. The vfio-user server is the NIC model's; the vhost-user back-end answers each
 * request, and has no data path.
 *
 * @module
 */

import { checkErrno, Errno, path, stubs } from "../../native/stubs.ts";
import { Nic } from "../../sim/nic/nic.ts";
import { NoWire } from "../../sim/wires/wire.ts";
import { Server } from "../../sim/pci/server.ts";
import { Mapping } from "../../native/mapping.ts";
import { BAR0_BYTES } from "../../sim/pci/config_space.ts";

/** What the thread is told at its start. */
export interface Start {
  readonly protocol: "vfio-user" | "vhost-user";
  /** Path of its socket. */
  readonly path: string;
  /** Not 0 once the driver is done with a case. */
  readonly stop: Int32Array<SharedArrayBuffer>;
}

/** How to change a message: its number, what to do, and two numbers for that. */
export type Change = readonly number[];

/** Kinds of changes. */
export const CHANGE = {
  ...{ BYTE: 0, WORD: 1, CUT: 2, TWICE: 3, BEFORE: 4, CLOSE: 5, FILES: 6, FLIP: 7 },
} as const;
/** Milliseconds for which a server that has sent nonsense waits for a request. */
const IDLE_MS = 30;
const SOCK_STREAM = 1, SOCK_NONBLOCK = 0x800, MSG_DONTWAIT = 0x40, POLLIN = 1;
/** Features that the back-end offers: VERSION_1, MRG_RXBUF, IN_ORDER, MQ, and features of the protocol. */
const FEATURES = 1n << 32n | 1n << 15n | 1n << 35n | 1n << 22n | 1n << 30n;
/** Features of the protocol: MQ, REPLY_ACK, STATUS. */
const PROTOCOL = 1n | 1n << 3n | 1n << 16n;

const scope = self as unknown as {
  onmessage: (message: MessageEvent<Start | readonly Change[]>) => void;
  postMessage(message: unknown): void;
};

const { ixy_send: send } = stubs;
let changes: readonly Change[] = [], sent = 0, changed = 0, ends = false;

/** Sends a message, changed if the case says so; says that all of it was sent. */
function hostileSend(
  fd: number,
  bytes: Uint8Array<ArrayBuffer>,
  length: number,
  fds: Int32Array<ArrayBuffer>,
  count: number,
  flags: number,
): number {
  let message = new Uint8Array(bytes.buffer, bytes.byteOffset, length).slice(),
    files = fds,
    n = count;
  const number = sent++;
  for (const [at, kind, a, b] of changes) {
    if (at !== number) continue;
    changed = performance.now();
    const view = new DataView(message.buffer);
    const place = (bytes: number) => a % Math.max(1, message.length - bytes + 1);
    if (kind === CHANGE.BYTE && message.length > 0) message[place(1)] = b;
    else if (kind === CHANGE.WORD && message.length >= 4) view.setUint32(place(4) & ~3, b, true);
    else if (kind === CHANGE.FLIP && message.length > 0) message[place(1)] ^= 1 << (b & 7);
    else if (kind === CHANGE.CUT) message = message.slice(0, place(1));
    else if (kind === CHANGE.TWICE) message = Uint8Array.from([...message, ...message]);
    else if (kind === CHANGE.BEFORE) {
      message = Uint8Array.from([...new Uint8Array(a % 64).fill(b), ...message]);
    } else if (kind === CHANGE.FILES) {
      files = Int32Array.from({ length: a % 4 }, () => fd);
      n = files.length;
    } else if (kind === CHANGE.CLOSE) ends = true;
  }
  if (message.length > 0) send(fd, message, message.length, files, n, flags);
  return length;
}

/** Serves the model to one driver. */
function serveModel(nic: Nic, doorbells: Mapping, { path, stop }: Start): void {
  const server = new Server({
    path,
    model: nic,
    deviceId: 0x10fb,
    mac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    doorbells,
    log: () => {},
  });
  nic.onInterrupt = (vector) => server.interrupt(vector);
  scope.postMessage("ready");
  const pollfd = Int32Array.of(0, POLLIN);
  for (let seen = false, last = performance.now(); Atomics.load(stop, 0) === 0 && !ends;) {
    const work = server.poll();
    nic.poll();
    if (server.connected) seen = true;
    else if (seen) break;
    if (work) last = performance.now();
    else if (changed > 0 && performance.now() - last > IDLE_MS) break;
    else {
      pollfd.set([server.fd, POLLIN]);
      stubs.ixy_poll(pollfd, 1, 1);
    }
  }
  server.close();
}

/** Serves a back-end to one driver. */
function serveBackend({ path: socket, stop }: Start): void {
  const listener = checkErrno("listen", stubs.ixy_bind(path(socket), SOCK_STREAM | SOCK_NONBLOCK));
  scope.postMessage("ready");
  const pollfd = new Int32Array(2), input = new Uint8Array(4096), fds = new Int32Array(17);
  const view = new DataView(input.buffer);
  let fd = -1, filled = 0, status = 0n, last = performance.now();
  while (Atomics.load(stop, 0) === 0 && !ends) {
    if (changed > 0 && performance.now() - last > IDLE_MS) break;
    pollfd.set([fd < 0 ? listener : fd, POLLIN]);
    if (stubs.ixy_poll(pollfd, 1, 1) <= 0) continue;
    last = performance.now();
    if (fd < 0) {
      fd = stubs.ixy_accept(listener);
      continue;
    }
    const n = stubs.ixy_recv(fd, input.subarray(filled), input.length - filled, fds, MSG_DONTWAIT);
    if (n === -Errno.EAGAIN) continue;
    if (n <= 0) break;
    for (const one of fds.subarray(0, fds[16])) stubs.ixy_close(one);
    filled += n;
    for (let size; filled >= 12 && filled >= (size = 12 + view.getUint32(8, true));) {
      const request = view.getUint32(0, true), flags = view.getUint32(4, true);
      if (request === 39) status = view.getBigUint64(12, true);
      const value: bigint | undefined = {
        ...{ 1: FEATURES, 15: PROTOCOL, 17: 4n, 40: status },
        11: BigInt(view.getUint32(12, true)),
      }[request] ?? ((flags & 8) !== 0 ? 0n : undefined);
      if (value !== undefined) {
        const reply = new DataView(new ArrayBuffer(20));
        reply.setUint32(0, request, true);
        reply.setUint32(4, 5, true);
        reply.setUint32(8, 8, true);
        reply.setBigUint64(12, value, true);
        hostileSend(fd, new Uint8Array(reply.buffer), 20, new Int32Array(0), 0, 0);
      }
      input.copyWithin(0, size, filled);
      filled -= size;
    }
  }
  if (fd >= 0) stubs.ixy_close(fd);
  stubs.ixy_close(listener);
  stubs.ixy_unlink(path(socket));
}

let start: Start | undefined;
let serve: () => void;
scope.onmessage = ({ data }) => {
  if (start === undefined) {
    const begun = start = data as Start;
    if (begun.protocol === "vhost-user") serve = () => serveBackend(begun);
    else {
      Object.assign(stubs, { ixy_send: hostileSend });
      const doorbells = Mapping.memory(BAR0_BYTES, false);
      const words = new Uint32Array(doorbells.buffer);
      const nic = new Nic({ doorbells: words, pollDoorbells: true });
      nic.wire = new NoWire();
      serve = () => serveModel(nic, doorbells, begun);
    }
    return;
  }
  changes = data as readonly Change[];
  [sent, changed, ends] = [0, 0, false];
  serve();
  scope.postMessage("done");
};
