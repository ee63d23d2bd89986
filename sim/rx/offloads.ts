/**
 * What the modelled device finds out about frames that it receives: packet type, checksums, RSS hash
 * and queue, VLAN tag (datasheet sections 7.1.2, 7.1.6.2, 7.1.11 and 7.1.13). Descriptors are
 * `receive_queue.ts`'s.
 *
 * A frame is looked into only if a driver has asked for something: the loops that move packets
 * would be slower for drivers that do not.
 *
 * @module
 */

import { ERETA, MRQC, RETA, RSSRK, RXCSUM, RXDCTL, VFTA, VLNCTRL } from "../../ixgbe/registers.ts";
import { checksum } from "../../packets/checksum.ts";
import { offsetOf } from "../../src/registers.ts";
import type { FlowDirector } from "../flow/director.ts";
import { FLOW } from "../flow/key.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";

// Packet type: word 0 of a written back descriptor, from bit 4 on (7.1.6.2).
const TYPE_IPV4 = 1 << 4,
  TYPE_IPV4_OPTIONS = 1 << 5,
  TYPE_IPV6 = 1 << 6,
  TYPE_IPV6_EXTENDED = 1 << 7;
const TYPE_TCP = 1 << 8, TYPE_UDP = 1 << 9, TYPE_SCTP = 1 << 10;
// RSS type: the low bits of the same word.
const RSS_TYPE = 0xf, RSS_TYPE_FLOW_DIRECTOR = 0xf;
const { OTHER, TCP, UDP, SCTP, IPV6 } = FLOW;
// Status and errors: word 2.
const STATUS_VP = 1 << 3, STATUS_UDPCS = 1 << 4, STATUS_L4I = 1 << 5, STATUS_IPCS = 1 << 6;
const STATUS_UDPV = 1 << 10;
const ERROR_L4 = 1 << 30, ERROR_IP = 1 << 31;

const ETHERTYPE_AT = 12, ETHERNET_BYTES = 14, TAG_BYTES = 4;
const ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd;
const IPV4_BYTES = 20, IPV6_BYTES = 40;
const FRAGMENT = 0x3fff, FRAGMENT_OFFSET = 0x1fff; // more fragments and offset, or offset alone
const PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_SCTP = 132, PROTOCOL_FRAGMENT = 44;
const EXTENSIONS = [0, 43, 60]; // hop-by-hop, routing, destination options: all of one form
const SCTP_BYTES = 12, TCP_BYTES = 20, UDP_BYTES = 8, UDP_CHECKSUM = 6;
/** Where the words of both redirection tables are: a frame has no time to look for them. */
const TABLE_WORDS = Uint32Array.from([
  ...Array.from({ length: RETA.count }, (_, i) => offsetOf(RETA, i) / 4),
  ...Array.from({ length: ERETA.count }, (_, i) => offsetOf(ERETA, i) / 4),
]);
const MRQE_NONE = 0, MRQE_RSS = 1;
/** Most bytes that are hashed: two IPv6 addresses and two ports. */
const HASHED_BYTES = 36;
const TAG_CFI = 1 << 12;

/** RSS types, and the bits of MRQC that ask for them. */
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

/** What was found out about the frame that was looked into last. */
export class ReceiveOffloads {
  /** Whether a driver has asked for anything: only then are frames looked into. */
  active = false;
  /** Word 0 of the descriptor: RSS type and packet type. */
  type = 0;
  /**
   * Word 1 of the descriptor: the RSS hash, or sum and identification of a fragment. As an integer with
   * a sign: what exceeds 31 bits would take memory.
   */
  hash = 0;
  /** What is to be added to status and errors, word 2. */
  status = 0;
  /** VLAN tag, or -1 if the frame has none. */
  tag = -1;
  /** The queue for it. */
  queue = 0;
  /** Whether the VLAN filter refuses it. */
  refused = false;
  /** Whether the redirection table has 512 entries of 6 bits, as the X550's, not 128 of 4. */
  largeTable = false;
  /** Filters that lead flows to queues, if there are such. */
  director: FlowDirector | undefined;
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  /** What a byte adds to the hash, for each place of it and each value. */
  readonly #table = new Uint32Array(HASHED_BYTES * 256);
  #spread = false;
  /** Whether the flow director has filters, and where the packet's L4 header is, or -1. */
  #directs = false;
  #l4At = -1;
  /** Whether descriptors have hash and RSS type (RXCSUM.PCSD), or rather what fragments need. */
  #showsHash = false;
  /** Whether payloads of UDP fragments are summed up (RXCSUM.IPPCSE). */
  #sums = false;
  /** Word 1 of the descriptor where it has no hash. */
  #fragment = 0;
  /** MRQC: which fields are hashed. */
  #asked = 0;
  /** VLNCTRL. */
  #vlan = VLNCTRL.reset;

  constructor(file: RegisterFile, rules: Rules) {
    this.#file = file;
    this.#rules = rules;
  }

  /** Takes the settings from the registers. */
  load(): void {
    const file = this.#file;
    let strips = false;
    for (let i = 0; i < RXDCTL.count; i++) strips ||= (file.get(RXDCTL, i) & RXDCTL.VME) !== 0;
    this.#vlan = file.get(VLNCTRL);
    const filters = (this.#vlan & (VLNCTRL.VFE | VLNCTRL.CFIEN)) !== 0;
    this.#asked = file.get(MRQC);
    const mode = this.#asked & MRQC.MRQE;
    this.#spread = mode === MRQE_RSS;
    if (mode !== MRQE_NONE && mode !== MRQE_RSS) {
      const found = `MRQE ${mode}: the model has 0 (one queue) and 1 (RSS)`;
      this.#rules.violate("MRQC", "8.2.3.7.12", "a mode that is modelled", found);
    }
    const sums = file.get(RXCSUM);
    this.#showsHash = (sums & RXCSUM.PCSD) !== 0;
    this.#sums = (sums & (RXCSUM.PCSD | RXCSUM.IPPCSE)) === RXCSUM.IPPCSE;
    this.#directs = this.director?.enabled ?? false;
    this.active = strips || filters || mode !== MRQE_NONE || sums !== 0 || this.#directs;
    if (this.#spread) this.#loadKey();
  }

  /** Looks into a frame; `again` if it has been looked into, and counted, when it came. */
  inspect(bytes: Uint8Array, length: number, again = false): void {
    this.type =
      this.hash =
      this.status =
      this.queue =
      this.#fragment =
        0;
    this.tag = -1;
    this.refused = false;
    this.#l4At = -1;
    let at = ETHERTYPE_AT;
    const vlan = this.#vlan;
    if (read16(bytes, at) === (vlan & VLNCTRL.VET)) {
      this.tag = read16(bytes, at + 2);
      this.#filter(vlan);
      at += TAG_BYTES;
    }
    const ethertype = read16(bytes, at);
    const ip = at + ETHERNET_BYTES - ETHERTYPE_AT;
    if (ethertype === ETHERTYPE_IPV4) this.#ipv4(bytes, ip, length);
    else if (ethertype === ETHERTYPE_IPV6) this.#ipv6(bytes, ip, length);
    if (this.type & RSS_TYPE) this.#choose();
    if (!this.#showsHash) this.#hideHash();
    if (!this.#directs) return;
    this.#direct(bytes, ip, length);
    if (!again && !this.refused) this.director!.count();
  }

  /** The tag is in the descriptor and no longer in the frame: its status bit. */
  strip(): void {
    this.status |= STATUS_VP;
  }

  #filter(vlan: number): void {
    const id = this.tag & 0xfff;
    if (vlan & VLNCTRL.VFE && (this.#file.get(VFTA, id >>> 5) >>> (id & 31) & 1) === 0) {
      this.refused = true;
    }
    if (vlan & VLNCTRL.CFIEN && ((this.tag & TAG_CFI) !== 0) !== ((vlan & VLNCTRL.CFI) !== 0)) {
      this.refused = true;
    }
  }

  #ipv4(bytes: Uint8Array, ip: number, length: number): void {
    const header = (bytes[ip] & 0xf) * 4;
    const end = ip + read16(bytes, ip + 2);
    if (bytes[ip] >>> 4 !== 4 || header < IPV4_BYTES || end > length || ip + header > end) return;
    this.type = header > IPV4_BYTES ? TYPE_IPV4 | TYPE_IPV4_OPTIONS : TYPE_IPV4;
    this.status = STATUS_IPCS;
    if (checksum(bytes, ip, ip + header) !== 0) this.status |= ERROR_IP;
    const fragment = read16(bytes, ip + 6) & FRAGMENT;
    if (fragment === 0) this.#l4At = ip + header;
    if (fragment === 0) this.#l4(bytes, bytes[ip + 9], ip + 12, ip + header, end);
    else if (this.#sums) this.#sum(bytes, fragment, ip, ip + header, end);
    this.#hash(bytes, ip + 12, ip + header);
  }

  #ipv6(bytes: Uint8Array, ip: number, length: number): void {
    const end = ip + IPV6_BYTES + read16(bytes, ip + 4);
    if (bytes[ip] >>> 4 !== 6 || end > length) return;
    this.type = TYPE_IPV6;
    let protocol = bytes[ip + 6];
    let l4 = ip + IPV6_BYTES;
    while (EXTENSIONS.includes(protocol) && l4 + 8 <= end) {
      this.type |= TYPE_IPV6_EXTENDED;
      protocol = bytes[l4];
      l4 += (bytes[l4 + 1] + 1) * 8;
    }
    if (protocol !== PROTOCOL_FRAGMENT) this.#l4At = l4;
    this.#l4(bytes, protocol, ip + 8, l4, end);
    this.#hash(bytes, ip + 8, l4);
  }

  // Positions, not an object of them: that would take memory for each frame.
  #l4(bytes: Uint8Array, protocol: number, addresses: number, l4: number, end: number): void {
    if (protocol === PROTOCOL_SCTP && l4 + SCTP_BYTES <= end) this.type |= TYPE_SCTP;
    const tcp = protocol === PROTOCOL_TCP && l4 + TCP_BYTES <= end;
    if (!tcp && !(protocol === PROTOCOL_UDP && l4 + UDP_BYTES <= end)) return;
    this.type |= tcp ? TYPE_TCP : TYPE_UDP;
    const ipv4 = (this.type & TYPE_IPV4) !== 0;
    const none = !tcp && read16(bytes, l4 + UDP_CHECKSUM) === 0;
    if (none && ipv4) return; // IPv6 has to have one
    this.status |= tcp ? STATUS_L4I : STATUS_L4I | STATUS_UDPCS;
    // The pseudo header: both addresses, which end where the sum of them does, protocol and length.
    let pseudo = protocol + end - l4;
    const addressEnd = addresses + (ipv4 ? 8 : 32);
    for (let i = addresses; i < addressEnd; i += 2) pseudo += read16(bytes, i);
    if (none || checksum(bytes, l4, end, pseudo) !== 0) this.status |= ERROR_L4;
  }

  // Of a datagram that has a checksum the sums of all fragments and of the pseudo header add up to 0xffff
  // (7.1.13). That it has one only the first fragment knows.
  #sum(bytes: Uint8Array, fragment: number, ip: number, payload: number, end: number): void {
    if (bytes[ip + 9] !== PROTOCOL_UDP) return;
    let sum = ~checksum(bytes, payload, end) & 0xffff;
    const first = (fragment & FRAGMENT_OFFSET) === 0;
    const none = first && payload + UDP_BYTES <= end && read16(bytes, payload + UDP_CHECKSUM) === 0;
    if (none) sum = 0;
    else this.status |= STATUS_UDPV;
    this.#fragment = sum << 16 | read16(bytes, ip + 4);
  }

  // The queue was chosen by it all the same.
  #hideHash(): void {
    this.type &= ~RSS_TYPE;
    this.hash = this.#fragment;
  }

  // Filters of flows come before receive side scaling (7.1.2); other packets and fragments match none.
  #direct(bytes: Uint8Array, ip: number, length: number): void {
    const director = this.director!, l4 = this.#l4At;
    if (l4 < 0) return director.miss();
    director.look(bytes, ip, l4, this.#flow(), this.tag, length);
    this.status |= director.status;
    if (director.queue >= 0) this.queue = director.queue;
    if (!director.reports || !this.#showsHash) return;
    this.type = this.type & ~RSS_TYPE | RSS_TYPE_FLOW_DIRECTOR;
    this.hash = director.id;
  }

  #flow(): number {
    const type = this.type, ip = type & TYPE_IPV6 ? IPV6 : 0;
    if (type & TYPE_TCP) return ip | TCP;
    if (type & TYPE_UDP) return ip | UDP;
    return ip | (type & TYPE_SCTP ? SCTP : OTHER);
  }

  #hash(bytes: Uint8Array, addresses: number, l4: number): void {
    if (!this.#spread) return;
    const asked = this.#asked, ipv4 = (this.type & TYPE_IPV4) !== 0;
    const fields = ipv4 ? IPV4_FIELDS : IPV6_FIELDS;
    const count = ipv4 ? 8 : 32;
    let type = fields.ip, ports = 4;
    if (this.type & TYPE_TCP && asked & fields.tcpAsked) type = fields.tcp;
    else if (this.type & TYPE_UDP && asked & fields.udpAsked) type = fields.udp;
    else if (asked & fields.ipAsked) ports = 0;
    else return;
    this.type |= type;
    const hash = this.#toeplitz(bytes, addresses, count, 0);
    this.hash = hash ^ this.#toeplitz(bytes, l4, ports, count);
  }

  // `place` is where among all that is hashed the first byte stands.
  #toeplitz(bytes: Uint8Array, from: number, count: number, place: number): number {
    const table = this.#table;
    let hash = 0;
    for (let i = 0; i < count; i++) hash ^= table[(place + i) << 8 | bytes[from + i]];
    return hash;
  }

  // A bit that is set adds the 32 bits of the key that begin at its place; the key's first byte is the
  // low byte of RSSRK[0].
  #loadKey(): void {
    const file = this.#file, table = this.#table;
    const keyBit = (n: number) => {
      const byte = file.get(RSSRK, n >>> 5) >>> (n >>> 3 & 3) * 8 & 0xff;
      return byte >>> (7 - (n & 7)) & 1;
    };
    let window = 0;
    for (let n = 0; n < 32; n++) window = window << 1 | keyBit(n);
    for (let n = 0; n < HASHED_BYTES * 8; n++) {
      const bit = 0x80 >>> (n & 7), column = n >>> 3 << 8;
      // Higher bits have been gone through: their values are what this one adds to.
      for (let value = 0; value < 256; value += 2 * bit) {
        table[column | value | bit] = table[column | value] ^ window;
      }
      window = window << 1 | keyBit((n + 32) % (RSSRK.count * 32));
    }
  }

  #choose(): void {
    const entry = this.hash & (this.largeTable ? 511 : 127);
    const word = this.#file.words[TABLE_WORDS[entry >>> 2]];
    this.queue = word >>> (entry & 3) * 8 & (this.largeTable ? 0x3f : 0xf);
  }
}

function read16(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1];
}
