/**
 * Frames for the tests of DPDK's driver. Not a test itself.
 *
 * @module
 */

import { checksum } from "../../packets/checksum.ts";
import { sctpChecksum } from "../../sim/frames/crc32c.ts";
import { toeplitz } from "../../src/toeplitz.ts";
import { packet, type PacketOptions, pseudoSum } from "../support/ip_packets.ts";

/** The address of all boards. */
export const STATION: readonly number[] = [0x02, 0x69, 0x78, 0x79, 0, 0];
/** Offsets in a frame: its type; and the headers of an IPv4 packet without options. */
export const TYPE = 12, IP = 14, L4 = 34;
/** Offset of the addresses in an IPv4 header, and bytes of addresses and ports. */
const ADDRESSES = 12, HASHED = 12;
/** Bytes of all headers of TCP over IPv4; and of the shortest frame. */
export const TCP_HEADERS = 54;
const SHORTEST = 60;
/** TCP flags. */
export const FIN = 0x01, SYN = 0x02, PSH = 0x08, ACK = 0x10, CWR = 0x80;

/** Returns a frame of an experimental EtherType to an address. */
export function frameTo(destination: readonly number[], length = SHORTEST): Uint8Array {
  const frame = new Uint8Array(length);
  frame.set([...destination, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]);
  return frame;
}

/** Returns numbered frames of many sizes. */
export function numbered(count: number, longest = 1514): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const frame = frameTo(STATION, SHORTEST + i * 37 % (longest - SHORTEST + 1));
    for (let at = IP; at < frame.length; at++) frame[at] = at * 7 + i;
    new DataView(frame.buffer).setUint32(IP, i);
    return frame;
  });
}

/** Returns the packet of a flow: UDP over IPv4 from 10.0.I.1 to 10.1.0.I, port 1000 + I to 53. */
export function flow(i: number, options: Partial<PacketOptions> = {}): Uint8Array {
  const ports = [1000 + i, 53] as const;
  const addresses = { source: [10, 0, i, 1], destination: [10, 1, 0, i] };
  const frame = packet({ ...addresses, protocol: "udp", ports, payload: 30, ...options });
  frame.set(STATION);
  return frame;
}

/** Returns an SCTP packet over IPv4 with 20 bytes of payload. */
export function sctp(i: number): Uint8Array {
  const frame = flow(i, { payload: 24 }), view = new DataView(frame.buffer);
  frame[IP + 9] = 132;
  view.setUint16(IP + 10, 0);
  view.setUint16(IP + 10, checksum(frame, IP, L4));
  for (let at = L4 + 4; at < frame.length; at++) frame[at] = at;
  view.setUint32(L4 + 8, sctpChecksum(frame, L4, frame.length), true);
  return frame;
}

/** Returns the RSS hash of an IPv4 packet with ports. */
export function hashOf(frame: Uint8Array, key: Uint8Array): number {
  return toeplitz(frame.slice(IP + ADDRESSES, IP + ADDRESSES + HASHED), key);
}

/** Returns a frame with a VLAN tag. */
export function tagged(frame: Uint8Array, id: number): Uint8Array {
  return Uint8Array.of(...frame.slice(0, TYPE), 0x81, 0, id >> 8, id & 0xff, ...frame.slice(TYPE));
}

/** Returns a frame with a changed byte. */
export function corrupt(frame: Uint8Array, at: number): Uint8Array {
  const copy = frame.slice();
  copy[at] ^= 0x55;
  return copy;
}

/** Returns a frame without its addresses, which testpmd changes in some modes. */
export function withoutAddresses(frame: Uint8Array): Uint8Array {
  return frame.slice(TYPE);
}

/**
 * Returns the segments of a TCP packet with these options, which are for IPv4.
 *
 * @param flags The flags of the last segment, and of all others.
 */
export function segments(
  options: PacketOptions,
  size: number,
  flags: readonly [last: number, others: number],
): Uint8Array[] {
  const whole = packet(options), { payload } = options;
  const from = new DataView(whole.buffer);
  const parts: Uint8Array[] = [];
  for (let at = 0; at < payload; at += size) {
    const bytes = Math.min(size, payload - at), last = at + bytes === payload;
    const part = new Uint8Array(TCP_HEADERS + bytes), view = new DataView(part.buffer);
    part.set(whole.subarray(0, TCP_HEADERS));
    part.set(whole.subarray(TCP_HEADERS + at, TCP_HEADERS + at + bytes), TCP_HEADERS);
    view.setUint16(IP + 2, part.length - IP);
    view.setUint16(IP + 4, from.getUint16(IP + 4) + parts.length);
    view.setUint32(L4 + 4, from.getUint32(L4 + 4) + at);
    view.setUint16(L4 + 12, 5 << 12 | flags[last ? 0 : 1]);
    view.setUint16(IP + 10, 0);
    view.setUint16(IP + 10, checksum(part, IP, L4));
    view.setUint16(L4 + 16, 0);
    view.setUint16(L4 + 16, checksum(part, L4, part.length, pseudoSum(options, part.length - L4)));
    parts.push(part);
  }
  return parts;
}
