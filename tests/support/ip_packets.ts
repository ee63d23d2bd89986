/**
 * IPv4 and IPv6 packets with TCP and UDP and correct checksums, for tests of the NIC model. Not a
 * test itself.
 *
 * @module
 */

import { checksum } from "../../packets/checksum.ts";
import { STATION } from "./model_driver.ts";

/** The fields of a packet; addresses as bytes. */
export interface PacketOptions {
  readonly source: readonly number[];
  readonly destination: readonly number[];
  readonly protocol: "tcp" | "udp";
  readonly ports: readonly [number, number];
  /** Bytes of payload. */
  readonly payload: number;
}

const ETHERNET = 14;

/** Returns the offset of the TCP or UDP header. */
export function l4Of({ source }: PacketOptions): number {
  return ETHERNET + (source.length === 4 ? 20 : 40);
}

/** Returns the bytes before the payload. */
export function headerOf(options: PacketOptions): number {
  return l4Of(options) + (options.protocol === "tcp" ? 20 : 8);
}

/** Returns the sum of the pseudo header with a length: 16 bits, not complemented. */
export function pseudoSum(options: PacketOptions, length: number): number {
  const addresses = Uint8Array.of(...options.source, ...options.destination);
  const protocol = options.protocol === "tcp" ? 6 : 17;
  return ~checksum(addresses, 0, addresses.length, protocol + length) & 0xffff;
}

/** Returns a packet with correct checksums. */
export function packet(options: PacketOptions): Uint8Array<ArrayBuffer> {
  const { source, destination, protocol, ports, payload } = options;
  const l4 = l4Of(options), bytes = new Uint8Array(headerOf(options) + payload);
  const view = new DataView(bytes.buffer);
  const length = bytes.length - l4;
  bytes.set(STATION);
  bytes[6] = 2;
  if (source.length === 4) {
    bytes.set([0x08, 0x00, 0x45], 12);
    view.setUint16(16, bytes.length - ETHERNET);
    view.setUint16(18, 0x1234);
    bytes.set([0x40, 0, 64, protocol === "tcp" ? 6 : 17], 20);
    bytes.set([...source, ...destination], 26);
    view.setUint16(24, checksum(bytes, ETHERNET, l4));
  } else {
    bytes.set([0x86, 0xdd, 0x60], 12);
    view.setUint16(18, length);
    bytes.set([protocol === "tcp" ? 6 : 17, 64, ...source, ...destination], 20);
  }
  view.setUint16(l4, ports[0]);
  view.setUint16(l4 + 2, ports[1]);
  for (let i = 0; i < payload; i++) bytes[bytes.length - payload + i] = i * 13 + 5;
  if (protocol === "tcp") {
    view.setUint32(l4 + 4, 0xffff_ff00); // the sequence number is about to wrap
    view.setUint16(l4 + 12, 5 << 12 | 0x99); // CWR, ACK, PSH and FIN
  } else {
    view.setUint16(l4 + 4, length);
  }
  const at = l4 + (protocol === "tcp" ? 16 : 6);
  view.setUint16(at, checksum(bytes, l4, bytes.length, pseudoSum(options, length)));
  return bytes;
}
