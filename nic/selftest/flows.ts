/**
 * Packets of many flows, each with what the RSS hash covers.
 *
 * @module
 */

import { checksum } from "../../packets/checksum.ts";

/** A packet, and what the NIC hashes of it. */
export interface Flow {
  /** Its kind, for messages: `an IPv4 TCP packet`. */
  readonly name: string;
  readonly frame: Uint8Array;
  /** Addresses and ports, in network order. */
  readonly input: Uint8Array;
}

const ETHERNET = 14, IPV4_HEADER = 20, IPV6_HEADER = 40, TCP_HEADER = 20, UDP_HEADER = 8;
const TCP = 6, UDP = 17;
/** Flows of each kind. */
const FLOWS = 32;
/** Bytes behind the header, for the traffic's tag. */
const PAYLOAD = 24;
const PORT = 49152;

/** Returns flows of all kinds; addresses are those for documentation and benchmarks. */
export function flows(destination: Uint8Array, source: Uint8Array): Flow[] {
  const all: Flow[] = [];
  for (const version of [4, 6] as const) {
    for (const protocol of [TCP, UDP]) {
      for (let i = 0; i < FLOWS; i++) {
        const ports = Uint8Array.of((PORT + i) >>> 8, (PORT + i) & 0xff, 0, 80);
        const input = Uint8Array.of(...addresses(version, i), ...ports);
        const name = `an IPv${version} ${protocol === TCP ? "TCP" : "UDP"} packet`;
        all.push({ name, input, frame: packet(destination, source, version, protocol, input) });
      }
    }
  }
  return all;
}

/** Source and destination: 198.18.0.0/15 (RFC 2544), 2001:db8::/32 (RFC 3849). */
function addresses(version: 4 | 6, i: number): number[] {
  if (version === 4) return [198, 18, 0, i, 198, 19, 0, 1];
  const prefix = [0x20, 0x01, 0x0d, 0xb8, ...new Array(11).fill(0)];
  return [...prefix, i, ...prefix, 0xff];
}

function packet(
  destination: Uint8Array,
  source: Uint8Array,
  version: 4 | 6,
  protocol: number,
  input: Uint8Array,
): Uint8Array {
  const l4 = ETHERNET + (version === 4 ? IPV4_HEADER : IPV6_HEADER);
  const header = protocol === TCP ? TCP_HEADER : UDP_HEADER;
  const bytes = new Uint8Array(l4 + header + PAYLOAD), view = new DataView(bytes.buffer);
  bytes.set([...destination, ...source]);
  if (version === 4) {
    view.setUint16(12, 0x0800);
    view.setUint16(14, 0x4500);
    view.setUint16(16, bytes.length - ETHERNET);
    bytes.set([64, protocol], 22);
    bytes.set(input.subarray(0, 8), 26);
    view.setUint16(24, checksum(bytes, ETHERNET, l4));
  } else {
    view.setUint16(12, 0x86dd);
    bytes[14] = 0x60;
    view.setUint16(18, bytes.length - l4);
    bytes.set([protocol, 64], 20);
    bytes.set(input.subarray(0, 32), 22);
  }
  bytes.set(input.subarray(-4), l4);
  // The NIC does not drop packets with a wrong TCP or UDP checksum; a UDP checksum of 0 is none.
  if (protocol === TCP) bytes[l4 + 12] = TCP_HEADER << 2;
  else view.setUint16(l4 + 4, header + PAYLOAD);
  return bytes;
}
