/**
 * A driver of the NIC model that sets flow director filters, packets for these filters, and their
 * hash, computed bit by bit. Not a test itself.
 *
 * @module
 */

import {
  FDIRCMD,
  FDIRCTRL,
  FDIRHASH,
  FDIRHKEY,
  FDIRIPDA,
  FDIRIPSA,
  FDIRPORT,
  FDIRSKEY,
  FDIRVLAN,
  RDBAH,
  RDBAL,
  RDH,
  RDLEN,
  RDT,
  RXCSUM,
  RXDCTL,
  RXPBSIZE,
  SRRCTL,
} from "../../ixgbe/registers.ts";
import { IOVA, RING, RX_BUFFERS, TestDriver } from "./model_driver.ts";
import { packet, type PacketOptions } from "./ip_packets.ts";

/** Keys that all drivers use. */
export const BUCKET_KEY = 0x3dad14e2, SIGNATURE_KEY = 0x174d3614;
/** What all drivers set in a filter that leads to a queue. */
export const ADD = FDIRCMD.CMD_ADD_FLOW | FDIRCMD.LAST | FDIRCMD.QUEUE_EN;
/** The queue of all filters; other packets go to queue 0. */
export const QUEUE = 5;
const RING_AT = 0x1000, BUFFERS_AT = RX_BUFFERS + RING * 2048;
const BUFFER = 2048;

/** FDIRCMD.L4TYPE and IPV6, from bit 0 on. */
export const UDP = 1, TCP = 2, IPV6 = 4;
/** Bits of word 2 of a descriptor: a filter has matched, and errors of its. */
export const FLM = 1 << 2, LENGTH = 1 << 20, DROPPED = 1 << 21, COLLISION = 1 << 22;
export const ERRORS = LENGTH | DROPPED | COLLISION;
/** Field of word 0 of a descriptor: 15 if word 1 is about filters. */
export const RSS_TYPE = 0xf;
/** 64 KB, flexible bytes at the EtherType, ten filters a list. */
export const SIGNATURE = FDIRCTRL.REPORT_STATUS | 1 | 6 << 16 | 10 << 24;
export const PERFECT = SIGNATURE | FDIRCTRL.PERFECT_MATCH;
/** The command that adds a filter to queue {@linkcode QUEUE}, or changes an existing one. */
export const UPDATE = ADD | FDIRCMD.FILTER_UPDATE | QUEUE << 16;

/** An IPv4 packet with published hashes. */
export const V4: PacketOptions = {
  source: [192, 168, 0, 1],
  destination: [192, 168, 0, 2],
  protocol: "udp",
  ports: [1024, 1024],
  payload: 20,
};
/** An IPv6 packet with published hashes. */
export const V6: PacketOptions = {
  ...V4,
  source: [0x20, 1, 0x0d, 0xb8, 0x85, 0xa3, 0, 0, 0, 0, 0x8a, 0x2e, 3, 0x70, 0x70, 0],
  destination: [0x20, 1, 0x0d, 0xb8, 0x85, 0xa3, 0, 0, 0, 0, 0x8a, 0x2e, 3, 0x70, 0x73, 0x38],
};
/** The perfect filter that fits {@linkcode V4}. */
export const FILTER = {
  source: "192.168.0.1",
  destination: "192.168.0.2",
  ports: [1024, 1024] as [number, number],
};

/**
 * Returns an IPv4 packet that is neither TCP nor UDP, with two bytes in the place of GRE's
 * protocol.
 */
export function other(type = 0): Uint8Array {
  const bytes = packet(V4);
  bytes[23] = 47;
  bytes.set([type >> 8, type & 0xff], 36);
  return bytes;
}

/** Returns a packet with a VLAN tag. */
export function tagged(tag: number, options = V4): Uint8Array {
  const bytes = packet(options);
  const vlan = [0x81, 0x00, tag >> 8, tag & 0xff];
  return Uint8Array.of(...bytes.subarray(0, 12), ...vlan, ...bytes.subarray(12));
}

/** Returns bytes as the words that the hash takes. */
export function words(bytes: readonly number[]): number[] {
  const view = new DataView(Uint8Array.from(bytes).buffer);
  return Array.from({ length: bytes.length / 4 }, (_, i) => view.getUint32(i * 4));
}

/** A packet's fields as the hash takes them: addresses as words, ports, type and tag. */
export interface Flow {
  readonly addresses: readonly number[];
  /** Source port in bits 31:16. */
  readonly ports: number;
  readonly flex: number;
  /** FDIRCMD.L4TYPE and IPV6, from bit 0 on. */
  readonly kind: number;
  readonly vlan: number;
}

/**
 * Returns the 16-bit hash under a key. Bit `j` is the XOR of the bits `p + j` of a stream over all
 * bits `p` that are set in the key. The stream is the XOR of the fields' words, with its halves in
 * the order high, low, high, and with type and tag added. For key bit 0 the stream is without type
 * and tag.
 */
export function flowHash(key: number, { addresses, ports, flex, kind, vlan }: Flow): number {
  const sum = [...addresses, ports, flex << 16].reduce((a, b) => a ^ b) >>> 0;
  const high = BigInt(sum >>> 16), low = BigInt(sum & 0xffff), tag = BigInt(vlan);
  const type = BigInt(kind);
  const stream = (high ^ type) << 32n | (low ^ type ^ tag) << 16n | high ^ tag;
  let hash = 0;
  for (let j = 0; j < 16; j++) {
    let bit = 0n;
    for (let p = 0; p < 32; p++) {
      if (key >>> p & 1) bit ^= (p === 0 ? high : stream) >> BigInt(p + j) & 1n;
    }
    hash |= Number(bit) << j;
  }
  return hash;
}

/** The result for a frame: its queue, or -1, and words of its descriptor. */
export interface Received {
  readonly queue: number;
  readonly type: number;
  readonly id: number;
  readonly status: number;
}

/** What a perfect filter compares; addresses as text, ports as numbers. */
export interface PerfectFilter {
  readonly source: string;
  readonly destination: string;
  readonly ports: readonly [number, number];
  readonly vlan?: number;
  readonly flex?: number;
}

/** Returns an IPv4 address as a register holds it: first byte lowest. */
export function addressRegister(address: string): number {
  return address.split(".").reduce((word, byte, i) => word | Number(byte) << i * 8, 0) >>> 0;
}

/** A driver with queue 0 and queue {@linkcode QUEUE}, and filters. */
export class FlowDriver extends TestDriver {
  readonly #next = new Map([[0, 0], [QUEUE, 0]]);

  /** Starts the NIC in the right order; `control` is FDIRCTRL. */
  static start(control: number, { legacy = false } = {}): FlowDriver {
    const driver = new FlowDriver();
    driver.reset();
    driver.configure();
    if (legacy) driver.write(SRRCTL, 2);
    driver.write(RXPBSIZE, 128 << 10);
    driver.write(RXCSUM, RXCSUM.PCSD);
    driver.write(FDIRHKEY, BUCKET_KEY);
    driver.write(FDIRSKEY, SIGNATURE_KEY);
    driver.initialise(control);
    driver.enableTransmit();
    driver.enableReceive();
    driver.#enableQueue();
    return driver;
  }

  /** Clears and initialises the table. */
  initialise(control: number): void {
    this.write(FDIRCMD, FDIRCMD.CLEARHT);
    this.write(FDIRCMD, 0);
    this.write(FDIRCTRL, control);
    for (let looks = 0; (this.read(FDIRCTRL) & FDIRCTRL.INIT_DONE) === 0; looks++) {
      if (looks === 10) throw new Error("FDIRCTRL.INIT_DONE was not set");
    }
  }

  /** Gives a command for a hash; returns FDIRCMD once it is done. */
  command(command: number, hash: number, id: number): number {
    this.write(FDIRHASH, (id << 16 | hash) >>> 0);
    this.write(FDIRCMD, command >>> 0);
    const done = this.read(FDIRCMD);
    if (done & FDIRCMD.CMD) throw new Error("FDIRCMD.CMD was not cleared");
    return done;
  }

  /** Adds a perfect filter to queue {@linkcode QUEUE}; `bits` are further bits of FDIRCMD. */
  addPerfect(filter: PerfectFilter, kind: number, hash: number, index: number, bits = 0): void {
    const { source, destination, ports, vlan = 0, flex = 0x0800 } = filter;
    this.write(FDIRIPSA, addressRegister(source));
    this.write(FDIRIPDA, addressRegister(destination));
    this.write(FDIRPORT, (ports[1] << 16 | ports[0]) >>> 0);
    this.write(FDIRVLAN, ((flex & 0xff) << 24 | flex >>> 8 << 16 | vlan) >>> 0);
    this.command(ADD | kind << 5 | QUEUE << 16 | bits, hash, index);
  }

  /** Receives a frame. */
  take(frame: Uint8Array): Received {
    this.wire.waiting.push(frame);
    this.nic.poll();
    for (const [queue, next] of this.#next) {
      const at = (queue === 0 ? 0 : RING_AT / 4) + next * 4;
      if ((this.words[at + 2] & 1) === 0) continue;
      const [type, id, status] = this.words.slice(at, at + 3);
      this.#fill(queue, next);
      this.#next.set(queue, (next + 1) % RING);
      this.write(RDT, next, queue);
      return { queue, type, id, status };
    }
    return { queue: -1, type: 0, id: 0, status: 0 };
  }

  #enableQueue(): void {
    const high = Math.floor(IOVA / 2 ** 32);
    this.write(RDBAL, (IOVA + RING_AT) >>> 0, QUEUE);
    this.write(RDBAH, high, QUEUE);
    this.write(RDLEN, RING * 16, QUEUE);
    this.write(RDH, 0, QUEUE);
    this.write(SRRCTL, SRRCTL.DROP_EN | SRRCTL.DESCTYPE_ADVANCED | 2, QUEUE);
    for (let i = 0; i < RING; i++) this.#fill(QUEUE, i);
    this.set(RXDCTL, RXDCTL.ENABLE, QUEUE);
    this.write(RDT, RING - 1, QUEUE);
  }

  #fill(queue: number, index: number): void {
    if (queue === 0) return this.fillReceive(index);
    const at = RING_AT / 4 + index * 4, address = IOVA + BUFFERS_AT + index * BUFFER;
    this.words.set([address >>> 0, Math.floor(address / 2 ** 32), 0, 0], at);
  }
}
