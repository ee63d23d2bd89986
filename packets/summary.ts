/**
 * A summary of a packet's headers in one line of text. It does not check them: damaged fields are
 * shown with their values.
 *
 * @module
 */

const CUT_SHORT = "cut short";

// Ethernet II.
const ADDRESS = 6, TYPE = 12, VLAN_TAG = 4, MIN_TYPE = 0x0600;
const TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, TYPE_VLAN = 0x8100, TYPE_IPV6 = 0x86dd;
const TYPE_SERVICE_VLAN = 0x88a8;
// ARP for IPv4 on Ethernet.
const ARP_BYTES = 28, OPERATION = 6, SENDER = 8, SENDER_IP = 14, TARGET_IP = 24;
const REQUEST = 1, REPLY = 2;
// IPv4 and IPv6.
const IPV4_BYTES = 20, IPV6_BYTES = 40, FRAGMENT_BYTES = 8;
const HOP_BY_HOP = 0, ICMP = 1, TCP = 6, UDP = 17, ROUTING = 43, FRAGMENT = 44, ICMPV6 = 58;
const DESTINATION_OPTIONS = 60;
// TCP, UDP and ICMP.
const TCP_BYTES = 20, UDP_BYTES = 8, ICMP_BYTES = 8;
const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
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
  const parts = [`${mac(view, ADDRESS)} > ${mac(view, 0)}`];
  let at = TYPE, type;
  for (;; at += VLAN_TAG) {
    need(view, at + 2, parts);
    type = view.getUint16(at);
    if (type !== TYPE_VLAN && type !== TYPE_SERVICE_VLAN) break;
    need(view, at + VLAN_TAG, parts);
    parts.push(`VLAN ${view.getUint16(at + 2) & 0xfff}`);
  }
  at += 2;
  switch (type) {
    case TYPE_ARP:
      return arp(view, at, parts);
    case TYPE_IPV4:
      return ipv4(view, at, parts);
    case TYPE_IPV6:
      return ipv6(view, at, parts);
  }
  const hex = type.toString(16).padStart(4, "0");
  return [...parts, type < MIN_TYPE ? `IEEE 802.3, ${type} bytes` : `type 0x${hex}`];
}

function arp(view: DataView, at: number, parts: string[]): string[] {
  need(view, at + ARP_BYTES, [...parts, "ARP"]);
  const sender = ip(view, at + SENDER_IP, 4), operation = view.getUint16(at + OPERATION);
  if (operation === REQUEST) {
    return [...parts, `ARP who has ${ip(view, at + TARGET_IP, 4)}? tell ${sender}`];
  }
  if (operation === REPLY) return [...parts, `ARP ${sender} is at ${mac(view, at + SENDER)}`];
  return [...parts, `ARP operation ${operation}`];
}

function ipv4(view: DataView, at: number, parts: string[]): string[] {
  need(view, at + IPV4_BYTES, [...parts, "IPv4"]);
  const header = (view.getUint8(at) & 0xf) * 4, end = at + view.getUint16(at + 2);
  const offset = (view.getUint16(at + 6) & 0x1fff) * 8;
  parts.push(`IPv4 ${ip(view, at + 12, 4)} > ${ip(view, at + 16, 4)}`);
  if (offset > 0) return [...parts, `fragment at ${offset}`];
  return payload(view, view.getUint8(at + 9), at + header, end, parts);
}

function ipv6(view: DataView, at: number, parts: string[]): string[] {
  need(view, at + IPV6_BYTES, [...parts, "IPv6"]);
  const end = at + IPV6_BYTES + view.getUint16(at + 4);
  parts.push(`IPv6 ${ip(view, at + 8, 16)} > ${ip(view, at + 24, 16)}`);
  let next = view.getUint8(at + 6);
  at += IPV6_BYTES;
  while ([HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION_OPTIONS].includes(next)) {
    need(view, at + FRAGMENT_BYTES, parts); // the shortest of these headers
    const offset = next === FRAGMENT ? view.getUint16(at + 2) & 0xfff8 : 0;
    if (offset > 0) return [...parts, `fragment at ${offset}`];
    const header = next === FRAGMENT ? FRAGMENT_BYTES : (view.getUint8(at + 1) + 1) * 8;
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
    case UDP:
      need(view, at + UDP_BYTES, [...parts, "UDP"]);
      return [...parts, `UDP ${ports(view, at)}`, bytes(UDP_BYTES)];
    case TCP: {
      need(view, at + TCP_BYTES, [...parts, "TCP"]);
      const flags = TCP_FLAGS.filter((_, bit) => (view.getUint8(at + 13) >> bit & 1) === 1);
      const numbers = [`seq ${view.getUint32(at + 4)}`];
      if (flags.includes("ACK")) numbers.push(`ack ${view.getUint32(at + 8)}`);
      const name = ["TCP", ports(view, at), ...flags].join(" ");
      return [...parts, name, ...numbers, bytes((view.getUint8(at + 12) >> 4) * 4)];
    }
    case ICMP:
      return icmp(view, at, "ICMP", ECHO, parts);
    case ICMPV6:
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
  need(view, at + ICMP_BYTES, [...parts, name]);
  const type = view.getUint8(at), word = echo[type];
  if (word === undefined) return [...parts, `${name} type ${type} code ${view.getUint8(at + 1)}`];
  const id = view.getUint16(at + 4), number = view.getUint16(at + 6);
  return [...parts, `${name} echo ${word}`, `id ${id}`, `seq ${number}`];
}

function ports(view: DataView, at: number): string {
  return `${view.getUint16(at)} > ${view.getUint16(at + 2)}`;
}

function mac(view: DataView, at: number): string {
  const bytes = Array.from({ length: ADDRESS }, (_, i) => view.getUint8(at + i));
  return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** Returns an IP address of 4 or 16 bytes as text (RFC 5952). */
function ip(view: DataView, at: number, bytes: 4 | 16): string {
  if (bytes === 4) return Array.from({ length: 4 }, (_, i) => view.getUint8(at + i)).join(".");
  const words = Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i));
  const text = words.map((word) => word.toString(16)).join(":");
  const zeros = [...text.matchAll(/\b0(?::0)+\b/g)].map(([run]) => run);
  if (zeros.length === 0) return text;
  const longest = zeros.reduce((a, b) => b.length > a.length ? b : a);
  return text.replace(new RegExp(`(?:^|:)\\b${longest}\\b(?::|$)`), "::");
}
