/**
 * What the modelled device finds out about frames that it receives: packet type, checksums, RSS hash
 * and queue, VLAN tag (datasheet sections 7.1.2, 7.1.6.2 and 7.1.11). Descriptors are
 * `receive_queue.ts`'s.
 *
 * A frame is looked into only if a driver has asked for something: the loops that move packets
 * would be slower for drivers that do not.
 *
 * @module
 */

import { MRQC, RETA, RSSRK, RXCSUM, RXDCTL, VFTA, VLNCTRL } from "../ixgbe/registers.ts";
import { checksum } from "../src/checksum.ts";
import type { RegisterFile } from "./register_file.ts";
import type { Rules } from "./rules.ts";

// Packet type: word 0 of a written back descriptor, from bit 4 on (7.1.6.2).
const TYPE_IPV4 = 1 << 4,
  TYPE_IPV4_OPTIONS = 1 << 5,
  TYPE_IPV6 = 1 << 6,
  TYPE_IPV6_EXTENDED = 1 << 7;
const TYPE_TCP = 1 << 8, TYPE_UDP = 1 << 9, TYPE_SCTP = 1 << 10;
// RSS type: the low bits of the same word.
const RSS_TCP_IPV4 = 1, RSS_IPV4 = 2, RSS_TCP_IPV6 = 3, RSS_IPV6 = 5, RSS_UDP_IPV4 = 7;
const RSS_UDP_IPV6 = 8;
const RSS_TYPE = 0xf;
// Status and errors: word 2.
const STATUS_VP = 1 << 3, STATUS_UDPCS = 1 << 4, STATUS_L4I = 1 << 5, STATUS_IPCS = 1 << 6;
const ERROR_L4 = 1 << 30, ERROR_IP = 1 << 31;

const ETHERTYPE_AT = 12, ETHERNET_BYTES = 14, TAG_BYTES = 4;
const ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd;
const IPV4_BYTES = 20, IPV6_BYTES = 40;
const PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_SCTP = 132;
const EXTENSIONS = [0, 43, 60]; // hop-by-hop, routing, destination options: all of one form
const TCP_BYTES = 20, UDP_BYTES = 8, UDP_CHECKSUM = 6;
const HASHES = 128;
const MRQE_NONE = 0, MRQE_RSS = 1;
/** Most bytes that are hashed: two IPv6 addresses and two ports. */
const HASHED_BYTES = 36;
const TAG_CFI = 1 << 12;

/** What was found out about the frame that was looked into last. */
export class ReceiveOffloads {
  /** Whether a driver has asked for anything: only then are frames looked into. */
  active = false;
  /** Word 0 of the descriptor: RSS type and packet type. */
  type = 0;
  /** Word 1 of the descriptor. */
  hash = 0;
  /** What is to be added to status and errors, word 2. */
  status = 0;
  /** VLAN tag, or -1 if the frame has none. */
  tag = -1;
  /** The queue for it. */
  queue = 0;
  /** Whether the VLAN filter refuses it. */
  refused = false;
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  /** Bits i to i + 31 of the hash key, for each i. */
  readonly #windows = new Uint32Array(HASHED_BYTES * 8);
  #spread = false;

  constructor(file: RegisterFile, rules: Rules) {
    this.#file = file;
    this.#rules = rules;
  }

  /** Takes the settings from the registers. */
  load(): void {
    const file = this.#file;
    let strips = false;
    for (let i = 0; i < RXDCTL.count; i++) strips ||= (file.get(RXDCTL, i) & RXDCTL.VME) !== 0;
    const filters = (file.get(VLNCTRL) & (VLNCTRL.VFE | VLNCTRL.CFIEN)) !== 0;
    const mode = file.get(MRQC) & MRQC.MRQE;
    this.#spread = mode === MRQE_RSS;
    if (mode !== MRQE_NONE && mode !== MRQE_RSS) {
      const found = `MRQE ${mode}: the model has 0 (one queue) and 1 (RSS)`;
      this.#rules.violate("MRQC", "8.2.3.7.12", "a mode that is modelled", found);
    }
    this.active = strips || filters || mode !== MRQE_NONE || file.get(RXCSUM) !== 0;
    if (this.#spread) this.#loadKey();
  }

  /** Looks into a frame. */
  inspect(bytes: Uint8Array, length: number): void {
    this.type =
      this.hash =
      this.status =
      this.queue =
        0;
    this.tag = -1;
    this.refused = false;
    let at = ETHERTYPE_AT;
    const vlan = this.#file.get(VLNCTRL);
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
    const fragment = (read16(bytes, ip + 6) & 0x3fff) !== 0;
    const protocol = fragment ? 0 : bytes[ip + 9];
    this.#l4(bytes, { protocol, addresses: ip + 12, l4: ip + header, end });
    this.#hash(bytes, {
      addresses: ip + 12,
      l4: ip + header,
      fields: [MRQC.RSS_TCP_IPV4, MRQC.RSS_UDP_IPV4, MRQC.RSS_IPV4],
      types: [RSS_TCP_IPV4, RSS_UDP_IPV4, RSS_IPV4],
    });
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
    this.#l4(bytes, { protocol, addresses: ip + 8, l4, end });
    this.#hash(bytes, {
      addresses: ip + 8,
      l4,
      fields: [MRQC.RSS_TCP_IPV6, MRQC.RSS_UDP_IPV6, MRQC.RSS_IPV6],
      types: [RSS_TCP_IPV6, RSS_UDP_IPV6, RSS_IPV6],
    });
  }

  #l4(
    bytes: Uint8Array,
    { protocol, addresses, l4, end }: {
      readonly protocol: number;
      readonly addresses: number;
      readonly l4: number;
      readonly end: number;
    },
  ): void {
    if (protocol === PROTOCOL_SCTP) this.type |= TYPE_SCTP;
    const tcp = protocol === PROTOCOL_TCP && l4 + TCP_BYTES <= end;
    if (!tcp && !(protocol === PROTOCOL_UDP && l4 + UDP_BYTES <= end)) return;
    this.type |= tcp ? TYPE_TCP : TYPE_UDP;
    if (!tcp && read16(bytes, l4 + UDP_CHECKSUM) === 0) return; // the sender made none
    this.status |= tcp ? STATUS_L4I : STATUS_L4I | STATUS_UDPCS;
    // The pseudo header: both addresses, which end where the sum of them does, protocol and length.
    let pseudo = protocol + end - l4;
    const addressEnd = addresses + (this.type & TYPE_IPV4 ? 8 : 32);
    for (let i = addresses; i < addressEnd; i += 2) pseudo += read16(bytes, i);
    if (checksum(bytes, l4, end, pseudo) !== 0) this.status |= ERROR_L4;
  }

  #hash(
    bytes: Uint8Array,
    { addresses, l4, fields, types }: {
      readonly addresses: number;
      readonly l4: number;
      readonly fields: readonly number[];
      readonly types: readonly number[];
    },
  ): void {
    if (!this.#spread) return;
    const asked = this.#file.get(MRQC);
    const bytesOfAddresses = this.type & TYPE_IPV4 ? 8 : 32;
    const way = this.type & TYPE_TCP && asked & fields[0]
      ? 0
      : this.type & TYPE_UDP && asked & fields[1]
      ? 1
      : 2;
    if ((asked & fields[way]) === 0) return;
    this.type |= types[way];
    let hash = this.#toeplitz(bytes, addresses, bytesOfAddresses, 0);
    if (way < 2) hash ^= this.#toeplitz(bytes, l4, 4, bytesOfAddresses * 8);
    this.hash = hash >>> 0;
  }

  #toeplitz(bytes: Uint8Array, from: number, count: number, firstBit: number): number {
    let hash = 0;
    for (let i = 0; i < count; i++) {
      for (let bit = 0; bit < 8; bit++) {
        if (bytes[from + i] << bit & 0x80) hash ^= this.#windows[firstBit + i * 8 + bit];
      }
    }
    return hash;
  }

  // The key's first byte is the low byte of RSSRK[0].
  #loadKey(): void {
    const keyBit = (n: number) => {
      const byte = this.#file.get(RSSRK, n >>> 5) >>> (n >>> 3 & 3) * 8 & 0xff;
      return byte >>> (7 - (n & 7)) & 1;
    };
    let window = 0;
    for (let n = 0; n < 32; n++) window = window << 1 | keyBit(n);
    for (let i = 0; i < this.#windows.length; i++) {
      this.#windows[i] = window;
      window = window << 1 | keyBit((i + 32) % (RSSRK.count * 32));
    }
  }

  #choose(): void {
    const entry = this.hash % HASHES;
    this.queue = this.#file.get(RETA, entry >>> 2) >>> (entry & 3) * 8 & 0xf;
  }
}

function read16(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1];
}
