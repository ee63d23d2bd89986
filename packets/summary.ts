/**
 * A summary of a packet's headers in one line of text. It does not check them: damaged fields are
 * shown with their values.
 *
 * @module
 */

import { ipAt, MAC_BYTES, macAt } from "./addresses.ts";
import { ETHERTYPE, HEADER_BYTES, IPV6_EXTENSIONS, PROTOCOL, TCP_FLAGS } from "./protocols.ts";

const CUT_SHORT = "cut short";

// Offsets in ARP for IPv4 on Ethernet.
const OPERATION = 6, SENDER = 8, SENDER_IP = 14, TARGET_IP = 24;
const REQUEST = 1, REPLY = 2;
/** Offset of the EtherType. */
const TYPE = 12;
const ECHO: Readonly<Record<number, string>> = { 8: "request", 0: "reply" };
const ECHO_V6: Readonly<Record<number, string>> = { 128: "request", 129: "reply" };

/**
 * Returns a summary of a packet's headers, from Ethernet inwards, separated by commas:
 * `02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff, ARP who has 192.0.2.9? tell 192.0.2.1`. It supports VLAN,
 * ARP, IPv4, IPv6, TCP, UDP, ICMP and ICMPv6, and shows the numbers of other protocols.
 *
 * @param packet The packet from its Ethernet header on, of any length.
 */
export function summarize(packet: Uint8Array): string {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  try {
    return ethernet(view).join(", ");
  } catch (error) {
    if (error instanceof CutShort) return [...error.before, CUT_SHORT].join(", ");
    throw error;
  }
}

/** Thrown for a header that is truncated. */
class CutShort extends Error {
  /** @param before Parts of the summary before that header. */
  constructor(readonly before: readonly string[]) {
    super(CUT_SHORT);
  }
}

/** Checks that the packet contains a header completely. */
function need(view: DataView, end: number, before: readonly string[]): void {
  if (end > view.byteLength) throw new CutShort(before);
}

function ethernet(view: DataView): string[] {
  need(view, TYPE, []);
  const parts = [`${macAt(view, MAC_BYTES)} > ${macAt(view, 0)}`];
  let at = TYPE, type;
  for (;; at += HEADER_BYTES.VLAN) {
    need(view, at + 2, parts);
    type = view.getUint16(at);
    if (type !== ETHERTYPE.VLAN && type !== ETHERTYPE.SERVICE_VLAN) break;
    need(view, at + HEADER_BYTES.VLAN, parts);
    parts.push(`VLAN ${view.getUint16(at + 2) & 0xfff}`);
  }
  at += 2;
  switch (type) {
    case ETHERTYPE.ARP:
      return arp(view, at, parts);
    case ETHERTYPE.IPV4:
      return ipv4(view, at, parts);
    case ETHERTYPE.IPV6:
      return ipv6(view, at, parts);
  }
  const hex = type.toString(16).padStart(4, "0");
  return [...parts, type < ETHERTYPE.LENGTH ? `IEEE 802.3, ${type} bytes` : `type 0x${hex}`];
}

function arp(view: DataView, at: number, parts: string[]): string[] {
  need(view, at + HEADER_BYTES.ARP, [...parts, "ARP"]);
  const sender = ipAt(view, at + SENDER_IP, 4), operation = view.getUint16(at + OPERATION);
  if (operation === REQUEST) {
    return [...parts, `ARP who has ${ipAt(view, at + TARGET_IP, 4)}? tell ${sender}`];
  }
  if (operation === REPLY) return [...parts, `ARP ${sender} is at ${macAt(view, at + SENDER)}`];
  return [...parts, `ARP operation ${operation}`];
}

function ipv4(view: DataView, at: number, parts: string[]): string[] {
  need(view, at + HEADER_BYTES.IPV4, [...parts, "IPv4"]);
  const header = (view.getUint8(at) & 0xf) * 4, end = at + view.getUint16(at + 2);
  const offset = (view.getUint16(at + 6) & 0x1fff) * 8;
  parts.push(`IPv4 ${ipAt(view, at + 12, 4)} > ${ipAt(view, at + 16, 4)}`);
  if (offset > 0) return [...parts, `fragment at ${offset}`];
  return payload(view, view.getUint8(at + 9), at + header, end, parts);
}

function ipv6(view: DataView, at: number, parts: string[]): string[] {
  need(view, at + HEADER_BYTES.IPV6, [...parts, "IPv6"]);
  const end = at + HEADER_BYTES.IPV6 + view.getUint16(at + 4);
  parts.push(`IPv6 ${ipAt(view, at + 8, 16)} > ${ipAt(view, at + 24, 16)}`);
  let next = view.getUint8(at + 6);
  at += HEADER_BYTES.IPV6;
  while (IPV6_EXTENSIONS.includes(next)) {
    need(view, at + HEADER_BYTES.EXTENSION, parts); // the shortest of these headers
    const offset = next === PROTOCOL.FRAGMENT ? view.getUint16(at + 2) & 0xfff8 : 0;
    if (offset > 0) return [...parts, `fragment at ${offset}`];
    const header = next === PROTOCOL.FRAGMENT
      ? HEADER_BYTES.EXTENSION
      : (view.getUint8(at + 1) + 1) * 8;
    next = view.getUint8(at);
    at += header;
  }
  return payload(view, next, at, end, parts);
}

/** Describes the payload of IP, from `at` to `end`. */
function payload(
  view: DataView,
  protocol: number,
  at: number,
  end: number,
  parts: string[],
): string[] {
  const bytes = (header: number) => `${Math.max(0, end - at - header)} bytes`;
  switch (protocol) {
    case PROTOCOL.UDP:
      need(view, at + HEADER_BYTES.UDP, [...parts, "UDP"]);
      return [...parts, `UDP ${ports(view, at)}`, bytes(HEADER_BYTES.UDP)];
    case PROTOCOL.TCP: {
      need(view, at + HEADER_BYTES.TCP, [...parts, "TCP"]);
      const flags = TCP_FLAGS.filter((_, bit) => (view.getUint8(at + 13) >> bit & 1) === 1);
      const numbers = [`seq ${view.getUint32(at + 4)}`];
      if (flags.includes("ACK")) numbers.push(`ack ${view.getUint32(at + 8)}`);
      const name = ["TCP", ports(view, at), ...flags].join(" ");
      return [...parts, name, ...numbers, bytes((view.getUint8(at + 12) >> 4) * 4)];
    }
    case PROTOCOL.ICMP:
      return icmp(view, at, "ICMP", ECHO, parts);
    case PROTOCOL.ICMPV6:
      return icmp(view, at, "ICMPv6", ECHO_V6, parts);
  }
  return [...parts, `protocol ${protocol}`, bytes(0)];
}

function icmp(
  view: DataView,
  at: number,
  name: string,
  echo: Readonly<Record<number, string>>,
  parts: string[],
): string[] {
  need(view, at + HEADER_BYTES.ICMP, [...parts, name]);
  const type = view.getUint8(at), word = echo[type];
  if (word === undefined) return [...parts, `${name} type ${type} code ${view.getUint8(at + 1)}`];
  const id = view.getUint16(at + 4), number = view.getUint16(at + 6);
  return [...parts, `${name} echo ${word}`, `id ${id}`, `seq ${number}`];
}

function ports(view: DataView, at: number): string {
  return `${view.getUint16(at)} > ${view.getUint16(at + 2)}`;
}
