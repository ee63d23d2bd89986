/**
 * Receive side scaling of the modelled device (datasheet section 7.1.2.8): the hash of a packet's
 * fields, and the redirection table from hash to queue.
 *
 * @module
 */

import { ERETA, MRQC, RETA, RSSRK } from "../../ixgbe/registers.ts";
import { offsetOf } from "../../src/registers.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import { RX_TYPE } from "../rings/descriptors.ts";
import { hashes } from "./traffic_classes.ts";

const { IPV4, TCP, UDP } = RX_TYPE;
/** MRQC.MRQE: without receive side scaling, and with that alone. */
export const MRQE_NONE = 0, MRQE_RSS = 1;
/** Maximum number of hashed bytes: two IPv6 addresses and two ports. */
const MAX_HASHED_BYTES = 36;
/** Entries of the redirection table: 128 of 4 bits, and on the X550 512 of 6 bits. */
const ENTRIES = 128, ENTRIES_X550 = 512;
/** Words of RETA and ERETA in BAR0; to compute them for each frame would be slow. */
const TABLE_WORDS = Uint32Array.from([
  ...Array.from({ length: RETA.count }, (_, i) => offsetOf(RETA, i) / 4),
  ...Array.from({ length: ERETA.count }, (_, i) => offsetOf(ERETA, i) / 4),
]);

/** RSS types (7.1.6.2), and the bits of MRQC that enable them. */
const IPV4_FIELDS = {
  ...{ tcp: 1, ip: 2, udp: 7 },
  tcpAsked: MRQC.RSS_TCP_IPV4,
  ipAsked: MRQC.RSS_IPV4,
  udpAsked: MRQC.RSS_UDP_IPV4,
};
const IPV6_FIELDS: typeof IPV4_FIELDS = {
  ...{ tcp: 3, ip: 5, udp: 8 },
  tcpAsked: MRQC.RSS_TCP_IPV6,
  ipAsked: MRQC.RSS_IPV6,
  udpAsked: MRQC.RSS_UDP_IPV6,
};

/** The hash of the last packet, and the table. */
export class Rss {
  /** Whether packets are hashed. */
  enabled = false;
  /** Hash of the last packet. A signed integer: an unsigned one of 32 bits would be allocated. */
  hash = 0;
  /** RSS type of the packet that was hashed last, or 0. */
  type = 0;
  readonly #file: RegisterFile;
  readonly #entryMask: number;
  readonly #queueMask: number;
  /** What a byte adds to the hash, for each position and value. */
  readonly #table = new Uint32Array(MAX_HASHED_BYTES * 256);
  /** MRQC: which fields are hashed. */
  #asked = 0;

  /**
   * Creates receive side scaling, which is off until {@linkcode Rss.prototype.load}.
   *
   * @param large Whether the redirection table is the X550's.
   */
  constructor(file: RegisterFile, large: boolean) {
    this.#file = file;
    this.#entryMask = (large ? ENTRIES_X550 : ENTRIES) - 1;
    this.#queueMask = large ? 0x3f : 0xf;
  }

  /** Loads mode and key from the registers. */
  load(): void {
    this.#asked = this.#file.get(MRQC);
    this.enabled = hashes(this.#asked & MRQC.MRQE);
    if (this.enabled) this.#loadKey();
  }

  /**
   * Hashes a packet.
   *
   * @param type Its packet type.
   * @param bytes The frame.
   * @param addresses Offset of its addresses.
   * @param l4 Offset of its ports, if there are any.
   * @returns Its RSS type; 0 if MRQC does not enable a hash of such packets.
   */
  take(type: number, bytes: Uint8Array, addresses: number, l4: number): number {
    const asked = this.#asked, ipv4 = (type & IPV4) !== 0;
    const fields = ipv4 ? IPV4_FIELDS : IPV6_FIELDS;
    const count = ipv4 ? 8 : 32;
    let rssType = fields.ip, ports = 4;
    if (type & TCP && asked & fields.tcpAsked) rssType = fields.tcp;
    else if (type & UDP && asked & fields.udpAsked) rssType = fields.udp;
    else if (asked & fields.ipAsked) ports = 0;
    else return this.type = 0;
    const hash = this.#toeplitz(bytes, addresses, count, 0);
    this.hash = hash ^ this.#toeplitz(bytes, l4, ports, count);
    return this.type = rssType;
  }

  /** Entry of the redirection table for the packet that was hashed last. */
  get entry(): number {
    return this.hash & this.#entryMask;
  }

  /** Returns the queue of the packet that was hashed last. */
  queue(): number {
    const { entry } = this;
    const word = this.#file.words[TABLE_WORDS[entry >>> 2]];
    return word >>> (entry & 3) * 8 & this.#queueMask;
  }

  // `place` is the position of the first byte among all hashed bytes.
  #toeplitz(bytes: Uint8Array, from: number, count: number, place: number): number {
    const table = this.#table;
    let hash = 0;
    for (let i = 0; i < count; i++) hash ^= table[(place + i) << 8 | bytes[from + i]];
    return hash;
  }

  // A set bit adds the 32 bits of the key that begin at its position. The key's first byte is the
  // low byte of RSSRK[0].
  #loadKey(): void {
    const file = this.#file, table = this.#table;
    const keyBit = (n: number) => {
      const byte = file.get(RSSRK, n >>> 5) >>> (n >>> 3 & 3) * 8 & 0xff;
      return byte >>> (7 - (n & 7)) & 1;
    };
    let window = 0;
    for (let n = 0; n < 32; n++) window = window << 1 | keyBit(n);
    for (let n = 0; n < MAX_HASHED_BYTES * 8; n++) {
      const bit = 0x80 >>> (n & 7), column = n >>> 3 << 8;
      // The values of higher bits are complete: this bit adds to each of them.
      for (let value = 0; value < 256; value += 2 * bit) {
        table[column | value | bit] = table[column | value] ^ window;
      }
      window = window << 1 | keyBit((n + 32) % (RSSRK.count * 32));
    }
  }
}
