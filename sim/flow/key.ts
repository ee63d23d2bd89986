/**
 * The key by which the modelled device's flow director matches a packet: its masked fields, and two
 * hashes of them. One hash finds a list of filters; the other, the signature, tells the filters of
 * a list apart (datasheet section 7.1.2.7). The filters are in `filter_table.ts`.
 *
 * The hash function follows from what drivers do. It agrees with the hashes in received descriptors
 * that DPDK's test plan for the 82599 shows.
 *
 * @module
 */

import {
  FDIRCTRL,
  FDIRDIP4M,
  FDIRHKEY,
  FDIRIP6M,
  FDIRM,
  FDIRSCTPM,
  FDIRSIP4M,
  FDIRSKEY,
  FDIRTCPM,
  FDIRUDPM,
} from "../../ixgbe/registers.ts";
import type { RegisterFile } from "../registers/register_file.ts";

/** Kinds of packet, as in FDIRCMD from bit 5 on: L4TYPE in two bits, and IPV6. */
export const FLOW = { OTHER: 0, UDP: 1, TCP: 2, SCTP: 3, L4: 3, IPV6: 4 } as const;
const { UDP, TCP, SCTP, L4, IPV6 } = FLOW;

const IPV4_SOURCE = 12, IPV4_DESTINATION = 16;
const IPV6_SOURCE = 8, IPV6_DESTINATION = 24;
/** Hashed bytes: 4 of addresses, ports and flexible bytes, 3 of kind and VLAN tag. */
const HASHED_BYTES = 7;
const VLAN_ID = 0x0fff, VLAN_PRIORITY = 0xf000;

/** The key of the last packet. Addresses and ports are in network byte order. */
export class FlowKey {
  /** Hash with FDIRHKEY in bits 15:0, with FDIRSKEY above. */
  hash = 0;
  /** Kind of packet. */
  flow = 0;
  /** Addresses; of IPv6, the exclusive or of an address's words. */
  source = 0;
  destination = 0;
  /** Source port in bits 31:16, destination port below. */
  ports = 0;
  /** VLAN tag, or 0. */
  vlan = 0;
  /** The two bytes at FDIRCTRL.FLEX_OFFSET. */
  flex = 0;

  /** What a byte adds to both hashes, for each position and value. */
  readonly #table = new Int32Array(HASHED_BYTES * 256);
  // Masks of the bits that count; of ports, one for each L4TYPE.
  #source = -1;
  #destination = -1;
  readonly #ports = Int32Array.of(0, -1, -1, -1);
  readonly #sourceBytes = new Int32Array(4);
  readonly #destinationBytes = new Int32Array(4);
  #vlanBits = 0xffff;
  #flexBits = 0xffff;
  #flowBits = 7;
  #flexAt = 0;

  /** Loads keys, masks and the offset of the flexible bytes from the registers. */
  load(file: RegisterFile): void {
    const mask = file.get(FDIRM);
    this.#flowBits = (mask & FDIRM.L4P ? 0 : L4) | (mask & FDIRM.L3P ? 0 : IPV6);
    this.#vlanBits = (mask & FDIRM.VLANID ? 0 : VLAN_ID) | (mask & FDIRM.VLANP ? 0 : VLAN_PRIORITY);
    this.#flexBits = mask & FDIRM.FLEX ? 0 : 0xffff;
    this.#flexAt = (file.get(FDIRCTRL) & FDIRCTRL.FLEX_OFFSET) >>> 15;
    // The low byte of a register is the first byte of an address.
    this.#source = ~swapped(file.get(FDIRSIP4M));
    this.#destination = ~swapped(file.get(FDIRDIP4M));
    for (const [flow, register] of [[UDP, FDIRUDPM], [TCP, FDIRTCPM], [SCTP, FDIRSCTPM]] as const) {
      this.#ports[flow] = ~portMask(file.get(register));
    }
    const bytes = file.get(FDIRIP6M);
    for (let word = 0; word < 4; word++) {
      this.#sourceBytes[word] = ~byteMask(bytes >>> word * 4);
      this.#destinationBytes[word] = ~byteMask(bytes >>> 16 + word * 4);
    }
    this.#loadTable(file.get(FDIRHKEY), file.get(FDIRSKEY));
  }

  /**
   * Takes the key of an IP packet.
   *
   * @param bytes The frame.
   * @param ip Offset of the IP header.
   * @param l4 Offset of the ports, if there are any.
   * @param flow Kind of packet, by {@linkcode FLOW}.
   * @param tag VLAN tag, or a negative number.
   * @param length Bytes of the frame.
   */
  take(
    bytes: Uint8Array,
    ip: number,
    l4: number,
    flow: number,
    tag: number,
    length: number,
  ): void {
    const kind = this.flow = flow & this.#flowBits;
    if (flow & IPV6) this.#takeIpv6(bytes, ip);
    else {
      this.source = read32(bytes, ip + IPV4_SOURCE) & this.#source;
      this.destination = read32(bytes, ip + IPV4_DESTINATION) & this.#destination;
    }
    this.ports = kind & L4 ? read32(bytes, l4) & this.#ports[kind & L4] : 0;
    this.vlan = tag < 0 ? 0 : tag & this.#vlanBits;
    const at = this.#flexAt;
    this.flex = at + 2 > length ? 0 : (bytes[at] << 8 | bytes[at + 1]) & this.#flexBits;
    const words = this.source ^ this.destination ^ this.ports ^ this.flex << 16;
    this.hash = this.#hash(words, kind << 16 | this.vlan);
  }

  #takeIpv6(bytes: Uint8Array, ip: number): void {
    let source = 0, destination = 0;
    for (let word = 0; word < 4; word++) {
      source ^= read32(bytes, ip + IPV6_SOURCE + word * 4) & this.#sourceBytes[word];
      destination ^= read32(bytes, ip + IPV6_DESTINATION + word * 4) & this.#destinationBytes[word];
    }
    this.source = source;
    this.destination = destination;
  }

  #hash(words: number, flow: number): number {
    const table = this.#table;
    return table[words & 0xff] ^ table[0x100 | words >>> 8 & 0xff] ^
      table[0x200 | words >>> 16 & 0xff] ^ table[0x300 | words >>> 24] ^
      table[0x400 | flow & 0xff] ^ table[0x500 | flow >>> 8 & 0xff] ^ table[0x600 | flow >>> 16];
  }

  // The hash of an exclusive or is the exclusive or of the hashes: those of single bits give all.
  #loadTable(bucketKey: number, signatureKey: number): void {
    const table = this.#table;
    for (let n = 0; n < HASHED_BYTES * 8; n++) {
      const words = n < 32 ? 1 << n : 0, flow = n < 32 ? 0 : 1 << n - 32;
      const hash = hashOf(bucketKey, words, flow) | hashOf(signatureKey, words, flow) << 16;
      const column = n >>> 3 << 8, bit = 1 << (n & 7);
      for (let value = 0; value < bit; value++) {
        table[column | bit | value] = table[column | value] ^ hash;
      }
    }
  }
}

/**
 * Returns the hash. The fields give 48 bits, and each set bit of the key adds the 16 bits that
 * begin at its position.
 *
 * @param words Exclusive or of addresses, ports and flexible bytes, in words of 32 bits.
 * @param flow Kind of packet in bits 31:16, VLAN tag below.
 */
function hashOf(key: number, words: number, flow: number): number {
  const kind = flow >>> 16, vlan = flow & 0xffff, high = words >>> 16;
  const middle = words & 0xffff ^ kind ^ vlan;
  const low = high ^ vlan | middle << 16;
  const upper = middle | (high ^ kind) << 16;
  let hash = key & 1 ? high : 0; // the first position alone does not include the tag
  for (let n = 1; n < 16; n++) if (key >>> n & 1) hash ^= low >>> n;
  for (let n = 0; n < 16; n++) if (key >>> 16 + n & 1) hash ^= upper >>> n;
  return hash & 0xffff;
}

/** Returns a word with its four bytes in reverse. */
export function swapped(word: number): number {
  return word << 24 | (word & 0xff00) << 8 | word >>> 8 & 0xff00 | word >>> 24;
}

// A register with a mask of ports has the destination's in its upper half, and the bits of each
// half in reverse.
function portMask(register: number): number {
  let mask = 0;
  for (let n = 0; n < 32; n++) if (register >>> n & 1) mask |= 1 << 31 - n;
  return mask;
}

// Expands four bits of a mask of bytes, the lowest for the first byte.
function byteMask(bits: number): number {
  let mask = 0;
  for (let n = 0; n < 4; n++) if (bits >>> n & 1) mask |= 0xff << 24 - n * 8;
  return mask;
}

function read32(bytes: Uint8Array, at: number): number {
  return bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
}
