/**
 * Requests of netlink(7): messages to the kernel, and attributes in its answers.
 *
 * @module
 */

import { checkErrno, stubs } from "../native/stubs.ts";
import { AF, MSG_DONTWAIT, SOCK } from "./abi.ts";

/** Protocols: interfaces, addresses and routes; and families that have a name (genetlink). */
export const Netlink = { ROUTE: 0, GENERIC: 16 } as const;
/** Flag: for all objects. */
export const NLM_F_DUMP = 0x300;
const NLM_F_REQUEST = 1;
/** Types of messages that end an answer. */
const NLMSG_ERROR = 2, NLMSG_DONE = 3;
/** Bytes of a header. */
const HEADER = 16;
/** Mask of an attribute's type: the other bits are flags. */
const TYPE_MASK = 0x3fff;
const ANSWER_BYTES = 65536;

/**
 * Makes a request; returns the messages of the answer, without their headers.
 *
 * @param protocol A protocol of {@linkcode Netlink}.
 * @param flags 0 or {@linkcode NLM_F_DUMP}.
 * @throws {SystemError} if the kernel refuses.
 */
export function request(
  protocol: number,
  type: number,
  body: Uint8Array,
  flags = 0,
): Uint8Array[] {
  const call = `netlink request ${type}`;
  const fd = checkErrno(call, stubs.ixy_socket(AF.NETLINK, SOCK.RAW, protocol));
  try {
    const message = new Uint8Array(HEADER + body.length), header = new DataView(message.buffer);
    header.setUint32(0, message.length, true);
    header.setUint16(4, type, true);
    header.setUint16(6, flags | NLM_F_REQUEST, true);
    message.set(body, HEADER);
    const none = new Int32Array(17);
    checkErrno(call, stubs.ixy_send(fd, message, message.length, none, 0, 0));
    const messages: Uint8Array[] = [], answer = new Uint8Array(ANSWER_BYTES);
    for (;;) {
      // The kernel answers within the call that sends, or that receives: there is nothing to wait for.
      const got = stubs.ixy_recv(fd, answer, answer.length, none, MSG_DONTWAIT);
      const bytes = checkErrno(call, got);
      const more = split(call, answer.slice(0, bytes), messages);
      if (!more || (flags & NLM_F_DUMP) === 0) return messages;
    }
  } finally {
    stubs.ixy_close(fd);
  }
}

/** Appends the messages in a piece of an answer; returns whether more follow. */
function split(call: string, piece: Uint8Array, to: Uint8Array[]): boolean {
  const view = new DataView(piece.buffer);
  for (let at = 0; at + HEADER <= piece.length;) {
    const length = view.getUint32(at, true), type = view.getUint16(at + 4, true);
    if (type === NLMSG_DONE) return false;
    if (type === NLMSG_ERROR) checkErrno(call, view.getInt32(at + HEADER, true));
    to.push(piece.subarray(at + HEADER, at + length));
    at += Math.max(HEADER, align(length));
  }
  return true;
}

function align(length: number): number {
  return length + 3 & ~3;
}

/** Returns the attributes behind a structure of this many bytes, by type. */
export function attributes(message: Uint8Array, start: number): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = start; at + 4 <= message.length;) {
    const length = message[at] | message[at + 1] << 8,
      type = message[at + 2] | message[at + 3] << 8;
    found.set(type & TYPE_MASK, message.subarray(at + 4, at + length));
    at += Math.max(4, align(length));
  }
  return found;
}

/** Returns a number of 32 bits. */
export function u32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}
