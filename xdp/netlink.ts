/**
 * Requests of rtnetlink(7): what the kernel itself uses an interface for, and the XDP program on it.
 *
 * @module
 */

import { stubs } from "../native/stubs.ts";
import { checkCall } from "../src/errors.ts";
import { AF, SOCK } from "./abi.ts";

/** The protocol of netlink for interfaces, addresses and routes. */
const NETLINK_ROUTE = 0;
/** Requests, and the types of messages that end an answer. */
const RTM_GETLINK = 18, RTM_GETADDR = 22, RTM_GETROUTE = 26;
const NLMSG_ERROR = 2, NLMSG_DONE = 3;
/** Flags: a request; for all objects. */
const NLM_F_REQUEST = 1, NLM_F_DUMP = 0x300;
/** Bytes of a header, and of the structures behind it. */
const HEADER = 16, IFINFOMSG = 16, IFADDRMSG = 8, RTMSG = 12;
/** Attributes of a link: what it belongs to (a bridge, a bond), its XDP program. */
const IFLA_MASTER = 10, IFLA_XDP = 43, IFLA_XDP_ATTACHED = 2, IFLA_XDP_PROG_ID = 4;
/** The value of IFLA_XDP_ATTACHED for the generic mode. */
const ATTACHED_GENERIC = 2;
/** Attributes of addresses, and their scope: valid on the link only. */
const IFA_ADDRESS = 1, IFA_LOCAL = 2, SCOPE_LINK = 253;
/** Attribute of routes: the interface. The type of those that lead to other machines. */
const RTA_OIF = 4, RTN_UNICAST = 1;
/** Mask of an attribute's type: the other bits are flags. */
const TYPE_MASK = 0x3fff;
const ANSWER_BYTES = 65536;
const AF_INET6 = 10;

/** A message: the bytes behind its header. */
type Message = Uint8Array;

/** Makes a request; returns the messages of the answer. */
function request(address: string, type: number, body: Uint8Array, flags: number): Message[] {
  const call = `netlink request ${type}`;
  const fd = checkCall(address, call, stubs.ixy_socket(AF.NETLINK, SOCK.RAW, NETLINK_ROUTE));
  try {
    const message = new Uint8Array(HEADER + body.length), header = new DataView(message.buffer);
    header.setUint32(0, message.length, true);
    header.setUint16(4, type, true);
    header.setUint16(6, flags | NLM_F_REQUEST, true);
    message.set(body, HEADER);
    const none = new Int32Array(17);
    checkCall(address, call, stubs.ixy_send(fd, message, message.length, none, 0, 0));
    const messages: Message[] = [], answer = new Uint8Array(ANSWER_BYTES);
    for (;;) {
      const bytes = stubs.ixy_recv(fd, answer, answer.length, none, 0);
      checkCall(address, call, bytes);
      const more = split(address, call, answer.slice(0, bytes), messages);
      if (!more || (flags & NLM_F_DUMP) === 0) return messages;
    }
  } finally {
    stubs.ixy_close(fd);
  }
}

/** Appends the messages in a piece of an answer; returns whether more follow. */
function split(address: string, call: string, piece: Uint8Array, to: Message[]): boolean {
  const view = new DataView(piece.buffer);
  for (let at = 0; at + HEADER <= piece.length;) {
    const length = view.getUint32(at, true), type = view.getUint16(at + 4, true);
    if (type === NLMSG_DONE) return false;
    if (type === NLMSG_ERROR) checkCall(address, call, view.getInt32(at + HEADER, true));
    to.push(piece.subarray(at + HEADER, at + length));
    at += Math.max(HEADER, align(length));
  }
  return true;
}

function align(length: number): number {
  return length + 3 & ~3;
}

/** Returns the attributes behind a structure, by type. */
function attributes(message: Uint8Array, start: number): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = start; at + 4 <= message.length;) {
    const length = message[at] | message[at + 1] << 8,
      type = message[at + 2] | message[at + 3] << 8;
    found.set(type & TYPE_MASK, message.subarray(at + 4, at + length));
    at += Math.max(4, align(length));
  }
  return found;
}

function u32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
}

function linkAttributes(address: string, index: number): Map<number, Uint8Array> {
  const body = new Uint8Array(IFINFOMSG);
  new DataView(body.buffer).setInt32(4, index, true);
  const [message] = request(address, RTM_GETLINK, body, 0);
  return attributes(message, IFINFOMSG);
}

/** An XDP program on an interface. */
export interface AttachedProgram {
  /** Its ID; undefined if it has several, in several modes. */
  readonly id: number | undefined;
  /** Whether the kernel runs it in its generic mode. */
  readonly generic: boolean;
}

/**
 * Returns the XDP program on an interface; undefined if it has none.
 *
 * @param address The device's address, for messages.
 */
export function attachedProgram(address: string, index: number): AttachedProgram | undefined {
  const xdp = linkAttributes(address, index).get(IFLA_XDP);
  const nested = xdp && attributes(xdp, 0), mode = nested?.get(IFLA_XDP_ATTACHED)?.[0] ?? 0;
  if (mode === 0) return undefined;
  const id = nested?.get(IFLA_XDP_PROG_ID);
  return { id: id && u32(id), generic: mode === ATTACHED_GENERIC };
}

/**
 * Returns what the kernel's network stack uses an interface for, in words: its addresses, the default route,
 * a bridge or bond that it is part of. Leaves out addresses that are valid on the link only, which every
 * interface has for IPv6.
 *
 * @param address The device's address, for messages.
 */
export function usesOf(address: string, index: number): string[] {
  const uses: string[] = [];
  for (const message of request(address, RTM_GETADDR, new Uint8Array(IFADDRMSG), NLM_F_DUMP)) {
    const [family, bits, , scope] = message;
    if (u32(message.subarray(4)) !== index || scope === SCOPE_LINK) continue;
    const found = attributes(message, IFADDRMSG);
    const bytes = found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS);
    if (bytes) uses.push(`the address ${formatAddress(family, bytes)}/${bits}`);
  }
  for (const message of request(address, RTM_GETROUTE, new Uint8Array(RTMSG), NLM_F_DUMP)) {
    const [family, bits] = message, type = message[7];
    const out = attributes(message, RTMSG).get(RTA_OIF);
    if (bits !== 0 || type !== RTN_UNICAST || !out || u32(out) !== index) continue;
    uses.push(`the default route of ${family === AF_INET6 ? "IPv6" : "IPv4"}`);
  }
  if (linkAttributes(address, index).has(IFLA_MASTER)) uses.push("a bridge or bond");
  return uses;
}

function formatAddress(family: number, bytes: Uint8Array): string {
  if (family !== AF_INET6) return bytes.join(".");
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const words = Array.from({ length: 8 }, (_, i) => view.getUint16(2 * i).toString(16));
  return new URL(`http://[${words.join(":")}]`).hostname.slice(1, -1); // shortens runs of zeros
}
