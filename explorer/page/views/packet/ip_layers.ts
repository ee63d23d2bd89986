/**
 * The parts of a frame from IP inwards, with their checksums.
 *
 * @module
 */

import { ipAt } from "../../../../packets/addresses.ts";
import { checksum } from "../../../../packets/checksum.ts";
import {
  HEADER_BYTES,
  IPV6_EXTENSIONS,
  PROTOCOL,
  TCP_FLAGS,
} from "../../../../packets/protocols.ts";
import type { AddField, Dissection } from "./dissection.ts";

const PROTOCOL_NAMES: Readonly<Record<number, string>> = {
  [PROTOCOL.HOP_BY_HOP]: "hop-by-hop options",
  [PROTOCOL.ICMP]: "ICMP",
  [PROTOCOL.TCP]: "TCP",
  [PROTOCOL.UDP]: "UDP",
  [PROTOCOL.ROUTING]: "routing",
  [PROTOCOL.FRAGMENT]: "fragment",
  [PROTOCOL.ICMPV6]: "ICMPv6",
  [PROTOCOL.DESTINATION_OPTIONS]: "destination options",
};
const ICMP_TYPES: Readonly<Record<number, string>> = { 8: "echo request", 0: "echo reply" };
const ICMPV6_TYPES: Readonly<Record<number, string>> = { 128: "echo request", 129: "echo reply" };

/** Adds the IPv4 header and what it carries. */
export function ipv4(parts: Dissection): void {
  const { view, bytes, at } = parts;
  // A header length that is too small is shown, but does not lead into the next header.
  const size = parts.left > 0 ? (bytes[at] & 0xf) * 4 : 0;
  const header = Math.max(size, HEADER_BYTES.IPV4);
  const whole = parts.header("IPv4", header, (field) => {
    field("version and header length", 0, 1, () => `${bytes[at] >> 4}, ${size} bytes`);
    field("type of service", 1, 1, (at) => hex(view.getUint8(at), 2));
    field("total length", 2, 2, (at) => `${view.getUint16(at)} bytes`);
    field("identification", 4, 2, (at) => `${view.getUint16(at)}`);
    field("flags and fragment offset", 6, 2, (at) => fragment(view.getUint16(at)));
    field("time to live", 8, 1, (at) => `${view.getUint8(at)}`);
    field("protocol", 9, 1, (at) => protocolName(view.getUint8(at)));
    sum(field, parts, 10, checksum(bytes, at, at + header) === 0);
    field("source", 12, 4, (at) => ipAt(view, at, 4));
    field("destination", 16, 4, (at) => ipAt(view, at, 4));
    if (header > HEADER_BYTES.IPV4) field("options", 20, header - 20, () => `${header - 20} bytes`);
  });
  if (!whole) return;
  parts.end = Math.max(parts.at, at + view.getUint16(at + 2));
  const isPart = (view.getUint16(at + 6) & 0x3fff) !== 0; // a fragment's checksum covers all of them
  if ((view.getUint16(at + 6) & 0x1fff) !== 0) return;
  transport(parts, view.getUint8(at + 9), { from: at + 12, to: at + 20, isPart });
}

/** Adds the IPv6 header with its extensions, and what it carries. */
export function ipv6(parts: Dissection): void {
  const { view, at } = parts;
  const whole = parts.header("IPv6", HEADER_BYTES.IPV6, (field) => {
    field("version, class and flow label", 0, 4, (at) => hex(view.getUint32(at), 8));
    field("payload length", 4, 2, (at) => `${view.getUint16(at)} bytes`);
    field("next header", 6, 1, (at) => protocolName(view.getUint8(at)));
    field("hop limit", 7, 1, (at) => `${view.getUint8(at)}`);
    field("source", 8, 16, (at) => ipAt(view, at, 16));
    field("destination", 24, 16, (at) => ipAt(view, at, 16));
  });
  if (!whole) return;
  parts.end = parts.at + view.getUint16(at + 4);
  let next = view.getUint8(at + 6), isPart = false;
  while (IPV6_EXTENSIONS.includes(next)) {
    const start = parts.at, name = protocolName(next), isFragment = next === PROTOCOL.FRAGMENT;
    const bytes = parts.left >= 2 && !isFragment ? (view.getUint8(start + 1) + 1) * 8 : 8;
    const complete = parts.header("IPv6", bytes, (field) => {
      field(name, 0, bytes, () => `then ${protocolName(view.getUint8(start))}`);
    });
    if (!complete) return;
    next = view.getUint8(start);
    if (!isFragment) continue;
    isPart = true;
    if ((view.getUint16(start + 2) & 0xfff8) !== 0) return;
  }
  transport(parts, next, { from: at + 8, to: at + 40, isPart });
}

/** The addresses in the IP header, for checksums; and whether the packet is a fragment. */
interface Ip {
  readonly from: number;
  readonly to: number;
  readonly isPart: boolean;
}

function transport(parts: Dissection, protocol: number, ip: Ip): void {
  switch (protocol) {
    case PROTOCOL.UDP:
      return udp(parts, ip);
    case PROTOCOL.TCP:
      return tcp(parts, ip);
    case PROTOCOL.ICMP:
      return icmp(parts, "ICMP", ICMP_TYPES, ip);
    case PROTOCOL.ICMPV6:
      return icmp(parts, "ICMPv6", ICMPV6_TYPES, ip);
  }
}

function udp(parts: Dissection, ip: Ip): void {
  const { view, at } = parts;
  parts.header("UDP", HEADER_BYTES.UDP, (field) => {
    ports(field, view);
    field("length", 4, 2, (at) => `${view.getUint16(at)} bytes`);
    if (view.getUint16(at + 6) === 0) field("checksum", 6, 2, () => "none");
    else sum(field, parts, 6, sumWithAddresses(parts, PROTOCOL.UDP, ip));
  });
}

function tcp(parts: Dissection, ip: Ip): void {
  const { view, bytes, at } = parts;
  const size = parts.left > 12 ? (bytes[at + 12] >> 4) * 4 : 0;
  const header = Math.max(size, HEADER_BYTES.TCP);
  parts.header("TCP", header, (field) => {
    ports(field, view);
    field("sequence number", 4, 4, (at) => `${view.getUint32(at)}`);
    field("acknowledgement number", 8, 4, (at) => `${view.getUint32(at)}`);
    field("header length", 12, 1, () => `${size} bytes`);
    field("flags", 13, 1, (at) => {
      const flags = TCP_FLAGS.filter((_, bit) => (view.getUint8(at) >> bit & 1) === 1);
      return flags.join(" ") || "none";
    });
    field("window", 14, 2, (at) => `${view.getUint16(at)} bytes`);
    sum(field, parts, 16, sumWithAddresses(parts, PROTOCOL.TCP, ip));
    field("urgent pointer", 18, 2, (at) => `${view.getUint16(at)}`);
    if (header > HEADER_BYTES.TCP) field("options", 20, header - 20, () => `${header - 20} bytes`);
  });
}

function icmp(
  parts: Dissection,
  name: "ICMP" | "ICMPv6",
  types: Readonly<Record<number, string>>,
  ip: Ip,
): void {
  const { view, bytes, at, end } = parts;
  parts.header(name, HEADER_BYTES.ICMP, (field) => {
    const type = view.getUint8(at), echo = types[type] !== undefined;
    field("type", 0, 1, () => echo ? `${type}, ${types[type]}` : `${type}`);
    field("code", 1, 1, (at) => `${view.getUint8(at)}`);
    const isWhole = !ip.isPart && end <= bytes.length;
    const right = name === "ICMP"
      ? isWhole ? checksum(bytes, at, end) === 0 : undefined
      : sumWithAddresses(parts, PROTOCOL.ICMPV6, ip);
    sum(field, parts, 2, right);
    if (!echo) return field("rest of the header", 4, 4, (at) => hex(view.getUint32(at), 8));
    field("identifier", 4, 2, (at) => `${view.getUint16(at)}`);
    field("sequence number", 6, 2, (at) => `${view.getUint16(at)}`);
  });
}

function ports(field: AddField, view: DataView): void {
  field("source port", 0, 2, (at) => `${view.getUint16(at)}`);
  field("destination port", 2, 2, (at) => `${view.getUint16(at)}`);
}

/** Adds a checksum. `right` is undefined if it cannot be known. */
function sum(field: AddField, parts: Dissection, offset: number, right: boolean | undefined): void {
  const verdict = right === undefined ? "of more than this frame" : right ? "right" : "wrong";
  field(
    "checksum",
    offset,
    2,
    (at) => `${hex(parts.view.getUint16(at), 4)}, ${verdict}`,
    right,
  );
}

/** Returns whether a checksum that covers the IP addresses is right; undefined without all bytes. */
function sumWithAddresses(parts: Dissection, protocol: number, ip: Ip): boolean | undefined {
  const { bytes, at, end } = parts;
  if (ip.isPart || end > bytes.length) return undefined;
  let pseudo = protocol + (end - at);
  for (let i = ip.from; i < ip.to; i += 2) pseudo += bytes[i] << 8 | bytes[i + 1];
  return checksum(bytes, at, end, pseudo) === 0;
}

function protocolName(number: number): string {
  const name = PROTOCOL_NAMES[number];
  return name === undefined ? `${number}` : `${number}, ${name}`;
}

function fragment(word: number): string {
  const flags = [
    ...(word & 0x4000 ? ["don't fragment"] : []),
    ...(word & 0x2000 ? ["more fragments"] : []),
    `offset ${(word & 0x1fff) * 8}`,
  ];
  return flags.join(", ");
}

function hex(value: number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}
