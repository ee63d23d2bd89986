/**
 * Frames that are sent to the ports, without CRC. Their checksums are valid, but for the damaged one's.
 *
 * @module
 */

import { checksum } from "../../packets/checksum.ts";
import type { FrameKind } from "../recording/experiment.ts";

/** What a frame is made of. */
interface FrameOptions {
  /** Address of the port. */
  readonly station: Uint8Array;
  /** Number of the flow, 0 to 65535: it chooses the source's address and port. */
  readonly flow: number;
  /** Bytes of a long and of a jumbo frame. */
  readonly long: number;
  readonly jumbo: number;
}

const FOREIGN = [2, 0, 0, 0, 0, 0x77], BROADCAST = [255, 255, 255, 255, 255, 255];
/** The Ethernet address of the IPv4 multicast address 224.0.0.251. */
const MULTICAST = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb];
const SOURCE = [2, 0, 0, 0, 0, 1];
const ETHERNET = 14, IPV4 = 20, TAG = 4;
const ICMP = 1, TCP = 6, UDP = 17;
const L4_BYTES: Readonly<Record<number, number>> = { [ICMP]: 8, [TCP]: 20, [UDP]: 8 };
/** Bytes of the shortest legal frame, and of one that is too short. */
const SHORTEST = 60, SHORT = 48;
/** Ports: the source's depend on the flow, so that successive flows have different queues. */
const FIRST_PORT = 10_000, PORT_STEP = 97, SERVER_PORT = 7;
const VLAN = 5;

/** Builds a frame. */
export function buildFrame(kind: FrameKind, options: FrameOptions): Uint8Array<ArrayBuffer> {
  const { station, long, jumbo } = options;
  switch (kind) {
    case "udp":
      return packet(UDP, station, SHORTEST, options.flow);
    case "tcp":
      return packet(TCP, station, SHORTEST, options.flow);
    case "ping":
      return packet(ICMP, station, 98, options.flow); // as Linux's ping sends them
    case "foreign":
      return packet(UDP, FOREIGN, SHORTEST, options.flow);
    case "broadcast":
      return packet(UDP, BROADCAST, SHORTEST, options.flow);
    case "multicast":
      return packet(UDP, MULTICAST, SHORTEST, options.flow);
    case "vlan":
      return tagged(packet(UDP, station, SHORTEST, options.flow));
    case "short":
      return packet(UDP, station, SHORT, options.flow);
    case "long":
      return packet(UDP, station, long, options.flow);
    case "jumbo":
      return packet(UDP, station, jumbo, options.flow);
    case "damaged": {
      const bytes = packet(UDP, station, SHORTEST, options.flow);
      bytes[ETHERNET + 10] ^= 0xff; // the IPv4 checksum
      return bytes;
    }
  }
}

/** Builds an IPv4 packet in a frame of so many bytes. */
function packet(
  protocol: number,
  destination: ArrayLike<number>,
  length: number,
  flow: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length), view = new DataView(bytes.buffer);
  const l4 = ETHERNET + IPV4;
  bytes.set(destination);
  bytes.set([...SOURCE, 0x08, 0x00, 0x45], 6);
  view.setUint16(16, length - ETHERNET);
  view.setUint16(18, flow);
  bytes.set([0x40, 0, 64, protocol], 20); // do not fragment; 64 hops
  bytes.set([10, 0, flow >>> 8, (flow & 0xff) || 254, 10, 1, 0, 1], 26);
  view.setUint16(24, checksum(bytes, ETHERNET, l4));
  const header = L4_BYTES[protocol];
  for (let i = l4 + header; i < length; i++) bytes[i] = i - l4 - header;
  if (protocol === ICMP) fillEcho(bytes, view, l4, flow);
  else fillPorts(bytes, view, l4, protocol, flow);
  return bytes;
}

/** Writes the header of an echo request. */
function fillEcho(bytes: Uint8Array, view: DataView, l4: number, flow: number): void {
  bytes[l4] = 8;
  view.setUint16(l4 + 6, flow);
  view.setUint16(l4 + 2, checksum(bytes, l4, bytes.length));
}

/** Writes the header of a UDP packet, or of a TCP segment with ACK. */
function fillPorts(
  bytes: Uint8Array,
  view: DataView,
  l4: number,
  protocol: number,
  flow: number,
): void {
  const length = bytes.length - l4;
  view.setUint16(l4, FIRST_PORT + flow * PORT_STEP % 50_000);
  view.setUint16(l4 + 2, SERVER_PORT);
  if (protocol === TCP) {
    view.setUint16(l4 + 12, 5 << 12 | 0x10);
    view.setUint16(l4 + 14, 0xffff); // window
  } else {
    view.setUint16(l4 + 4, length);
  }
  // The pseudo header: addresses, protocol and length.
  const pseudo = ~checksum(bytes, 26, 34, protocol + length) & 0xffff;
  view.setUint16(l4 + (protocol === TCP ? 16 : 6), checksum(bytes, l4, bytes.length, pseudo));
}

/** Inserts a VLAN tag. */
function tagged(frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(frame.length + TAG), at = 12;
  bytes.set(frame.subarray(0, at));
  bytes.set([0x81, 0x00, 0x00, VLAN], at);
  bytes.set(frame.subarray(at), at + TAG);
  return bytes;
}
