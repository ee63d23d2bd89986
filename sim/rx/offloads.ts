/**
 * The modelled device's inspection of received frames: packet type, checksums, VLAN tag, hash and
 * queue (datasheet sections 7.1.2, 7.1.6.2, 7.1.11 and 7.1.13). The hash is in `rss.ts`, filters
 * for single queues are in `queue_filters.ts`, descriptors in `queue.ts`.
 *
 * Frames are inspected only if the driver has enabled an offload or filter that needs it: other
 * drivers would pay for it in speed.
 *
 * @module
 */

import { CTRL_EXT, EXVET, MRQC, RXCSUM, RXDCTL, VFTA, VLNCTRL } from "../../ixgbe/registers.ts";
import { checksum } from "../../packets/checksum.ts";
import type { FlowDirector } from "../flow/director.ts";
import { FLOW } from "../flow/key.ts";
import { sctpChecksum, sctpChecksumOf } from "../frames/crc32c.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";
import { RX_STATUS, RX_TYPE } from "../rings/descriptors.ts";
import { QueueFilters } from "./queue_filters.ts";
import { MRQE_NONE, MRQE_RSS, Rss } from "./rss.ts";
import { TrafficClasses } from "./traffic_classes.ts";

const { IPV4, IPV4_OPTIONS, IPV6, IPV6_EXTENDED, TCP, UDP, SCTP } = RX_TYPE;
const { RSS, RSS_FLOW_DIRECTOR } = RX_TYPE;
const FLOW_OTHER = FLOW.OTHER, FLOW_UDP = FLOW.UDP, FLOW_TCP = FLOW.TCP, FLOW_SCTP = FLOW.SCTP;
const FLOW_IPV6 = FLOW.IPV6;
const { VP, UDPCS, L4I, IPCS, VEXT, UDPV, ERROR_L4, ERROR_IP } = RX_STATUS;

const ETHERTYPE_AT = 12, ETHERNET_BYTES = 14, TAG_BYTES = 4;
const ETHERTYPE_IPV4 = 0x0800, ETHERTYPE_IPV6 = 0x86dd;
const IPV4_BYTES = 20, IPV6_BYTES = 40;
const FRAGMENT = 0x3fff, FRAGMENT_OFFSET = 0x1fff; // more fragments and offset, or offset alone
const PROTOCOL_TCP = 6, PROTOCOL_UDP = 17, PROTOCOL_SCTP = 132, PROTOCOL_FRAGMENT = 44;
const EXTENSIONS = [0, 43, 60]; // hop-by-hop, routing, destination options: all have the same form
const SCTP_BYTES = 12, TCP_BYTES = 20, UDP_BYTES = 8, UDP_CHECKSUM = 6;
const TAG_CFI = 1 << 12;

/** The results for the frame that was inspected last. */
export class ReceiveOffloads {
  /** Whether the driver has enabled anything that needs frames inspected. */
  active = false;
  /** Word 0 of the descriptor: RSS type and packet type. */
  type = 0;
  /**
   * Word 1 of the descriptor: the RSS hash, or checksum and identification of a fragment. A signed
   * integer: larger values would be allocated.
   */
  hash = 0;
  /** Bits to add to status and errors, word 2. */
  status = 0;
  /** VLAN tag, or -1 without one; and its offset in the frame. */
  tag = -1;
  tagAt = ETHERTYPE_AT;
  /** The queue for the frame, and its traffic class, which is 0 without classes. */
  queue = 0;
  trafficClass = 0;
  /** Offset of what follows the EtherType; and of the TCP, UDP or SCTP header, or -1. */
  network = 0;
  transport = -1;
  /** Offset of what follows the IP headers. */
  payload = 0;
  /** Whether the VLAN filter refuses the frame. */
  refused = false;
  /** The traffic classes that the driver has enabled. */
  readonly classes: TrafficClasses = new TrafficClasses();
  /** What chooses queues before the classes, and after them. */
  readonly rss: Rss;
  readonly queueFilters: QueueFilters;
  /** Whether the flow director is on. */
  directs = false;
  /** Whether there are filters that come before the flow director. */
  steers = false;
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  readonly #director: FlowDirector | undefined;
  /** Whether descriptors have hash and RSS type (RXCSUM.PCSD); if not, data of fragments. */
  #showsHash = false;
  /** Whether payloads of UDP fragments are summed (RXCSUM.IPPCSE). */
  #sums = false;
  /** Word 1 of a descriptor without hash. */
  #fragment = 0;
  /** VLNCTRL. */
  #vlan = VLNCTRL.reset;
  /** The EtherType of an outer VLAN tag, or -1 without CTRL_EXT.EXTENDED_VLAN. */
  #outerType = -1;

  /**
   * Creates the inspection, which is off until {@linkcode ReceiveOffloads.prototype.load}.
   *
   * @param large Whether the redirection table is the X550's.
   * @param director The flow director, if there is one.
   */
  constructor(
    { file, rules }: Pick<RegisterCore, "file" | "rules">,
    large: boolean,
    director?: FlowDirector,
  ) {
    this.#file = file;
    this.#rules = rules;
    this.rss = new Rss(file, large);
    this.#director = director;
    this.queueFilters = new QueueFilters({ file, rules });
  }

  /** Loads the settings from the registers. */
  load(): void {
    const file = this.#file;
    let strips = false;
    for (let i = 0; i < RXDCTL.count; i++) strips ||= (file.get(RXDCTL, i) & RXDCTL.VME) !== 0;
    this.#vlan = file.get(VLNCTRL);
    const filters = (this.#vlan & (VLNCTRL.VFE | VLNCTRL.CFIEN)) !== 0;
    this.rss.load();
    const mode = file.get(MRQC) & MRQC.MRQE;
    this.classes.load(file);
    this.trafficClass = 0;
    if (mode !== MRQE_NONE && mode !== MRQE_RSS && this.classes.count === 0) {
      const found = `MRQE ${mode}: the model has 0 (one queue), 1 (RSS), and 2 to 5 (DCB)`;
      this.#rules.violate("MRQC", "8.2.3.7.12", "a mode that is modelled", found);
    }
    const sums = file.get(RXCSUM);
    this.#showsHash = (sums & RXCSUM.PCSD) !== 0;
    this.#sums = (sums & (RXCSUM.PCSD | RXCSUM.IPPCSE)) === RXCSUM.IPPCSE;
    this.directs = this.#director?.enabled ?? false;
    const extended = (file.get(CTRL_EXT) & CTRL_EXT.EXTENDED_VLAN) !== 0;
    this.#outerType = extended ? file.get(EXVET) >>> 16 : -1;
    this.queueFilters.load();
    this.steers = this.queueFilters.enabled;
    this.active = strips || filters || mode !== MRQE_NONE || sums !== 0 || this.directs ||
      this.steers;
  }

  /** Inspects a frame; `counted` says that the flow director counted it when it arrived. */
  inspect(bytes: Uint8Array, length: number, counted = false): void {
    this.type =
      this.hash =
      this.status =
      this.queue =
      this.#fragment =
        0;
    this.tag = -1;
    this.refused = false;
    this.transport = -1;
    let at = ETHERTYPE_AT;
    const vlan = this.#vlan;
    let mayHaveTag = true;
    if (this.#outerType >= 0) {
      mayHaveTag = read16(bytes, at) === this.#outerType;
      if (mayHaveTag) this.status = VEXT;
      if (mayHaveTag) at += TAG_BYTES;
    }
    if (mayHaveTag && read16(bytes, at) === (vlan & VLNCTRL.VET)) {
      this.tag = read16(bytes, at + 2);
      this.tagAt = at;
      this.#filter(vlan);
      at += TAG_BYTES;
    }
    const ethertype = read16(bytes, at);
    const ip = this.network = at + ETHERNET_BYTES - ETHERTYPE_AT;
    if (ethertype === ETHERTYPE_IPV4) this.#ipv4(bytes, ip, length);
    else if (ethertype === ETHERTYPE_IPV6) this.#ipv6(bytes, ip, length);
    if (!this.#showsHash) this.#hideHash();
    if (this.classes.count > 0) this.#classify();
    if (this.directs) {
      this.#direct(bytes, ip, length);
      if (!counted && !this.refused) this.#director!.count();
    }
    if (this.steers) this.#steer(bytes, ip);
  }

  /** Notes that the tag is in the descriptor, not in the frame, whose headers are nearer then. */
  strip(): void {
    this.status |= VP;
    this.network -= TAG_BYTES;
    this.payload -= TAG_BYTES;
    if (this.transport >= 0) this.transport -= TAG_BYTES;
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
    this.type = header > IPV4_BYTES ? IPV4 | IPV4_OPTIONS : IPV4;
    this.status |= IPCS;
    if (checksum(bytes, ip, ip + header) !== 0) this.status |= ERROR_IP;
    const fragment = read16(bytes, ip + 6) & FRAGMENT;
    this.payload = ip + header;
    if (fragment === 0) this.transport = ip + header;
    if (fragment === 0) this.#l4(bytes, bytes[ip + 9], ip + 12, ip + header, end);
    else if (this.#sums) this.#sum(bytes, fragment, ip, ip + header, end);
    this.#hash(bytes, ip + 12, ip + header);
  }

  #ipv6(bytes: Uint8Array, ip: number, length: number): void {
    const end = ip + IPV6_BYTES + read16(bytes, ip + 4);
    if (bytes[ip] >>> 4 !== 6 || end > length) return;
    this.type = IPV6;
    let protocol = bytes[ip + 6];
    let l4 = ip + IPV6_BYTES;
    while (EXTENSIONS.includes(protocol) && l4 + 8 <= end) {
      this.type |= IPV6_EXTENDED;
      protocol = bytes[l4];
      l4 += (bytes[l4 + 1] + 1) * 8;
    }
    this.payload = l4;
    if (protocol !== PROTOCOL_FRAGMENT) this.transport = l4;
    this.#l4(bytes, protocol, ip + 8, l4, end);
    this.#hash(bytes, ip + 8, l4);
  }

  // Offsets as parameters: an object of them would be allocated for each frame.
  #l4(bytes: Uint8Array, protocol: number, addresses: number, l4: number, end: number): void {
    if (protocol === PROTOCOL_SCTP && l4 + SCTP_BYTES <= end) return this.#sctp(bytes, l4, end);
    const tcp = protocol === PROTOCOL_TCP && l4 + TCP_BYTES <= end;
    if (!tcp && !(protocol === PROTOCOL_UDP && l4 + UDP_BYTES <= end)) return;
    this.type |= tcp ? TCP : UDP;
    const ipv4 = (this.type & IPV4) !== 0;
    const none = !tcp && read16(bytes, l4 + UDP_CHECKSUM) === 0;
    if (none && ipv4) return; // IPv6 requires one
    this.status |= tcp ? L4I : L4I | UDPCS;
    // The pseudo header: both addresses, protocol and length.
    let pseudo = protocol + end - l4;
    const addressEnd = addresses + (ipv4 ? 8 : 32);
    for (let i = addresses; i < addressEnd; i += 2) pseudo += read16(bytes, i);
    if (none || checksum(bytes, l4, end, pseudo) !== 0) this.status |= ERROR_L4;
  }

  #sctp(bytes: Uint8Array, l4: number, end: number): void {
    this.type |= SCTP;
    this.status |= L4I;
    if (sctpChecksum(bytes, l4, end) !== sctpChecksumOf(bytes, l4)) this.status |= ERROR_L4;
  }

  // If a datagram has a checksum, the sums of its fragments and of its pseudo header add up to
  // 0xffff (7.1.13). Only the first fragment says if it has one.
  #sum(bytes: Uint8Array, fragment: number, ip: number, payload: number, end: number): void {
    if (bytes[ip + 9] !== PROTOCOL_UDP) return;
    let sum = ~checksum(bytes, payload, end) & 0xffff;
    const first = (fragment & FRAGMENT_OFFSET) === 0;
    const none = first && payload + UDP_BYTES <= end && read16(bytes, payload + UDP_CHECKSUM) === 0;
    if (none) sum = 0;
    else this.status |= UDPV;
    this.#fragment = sum << 16 | read16(bytes, ip + 4);
  }

  #classify(): void {
    this.trafficClass = this.classes.classOf(this.tag);
    this.queue = this.classes.queueOf(this.trafficClass, this.queue);
  }

  // The hash chooses the queue even if descriptors do not have it.
  #hideHash(): void {
    this.type &= ~RSS;
    this.hash = this.#fragment;
  }

  // The flow director comes before receive side scaling (7.1.2). It does not match fragments, nor
  // packets other than IP.
  #direct(bytes: Uint8Array, ip: number, length: number): void {
    const director = this.#director!, l4 = this.transport;
    if (l4 < 0) return director.miss();
    director.look(bytes, ip, l4, this.#flow(), this.tag, length);
    this.status |= director.status;
    if (director.queue >= 0) this.queue = director.queue;
    if (!director.reports || !this.#showsHash) return;
    this.type = this.type & ~RSS | RSS_FLOW_DIRECTOR;
    this.hash = director.id;
  }

  // The flow director's match is reported, "even if packet is forwarded by another filter" (X550
  // datasheet, section 7.1.5.2.2).
  #steer(bytes: Uint8Array, ip: number): void {
    const filters = this.queueFilters;
    filters.look(bytes, this.type, ip, this.transport, this.tag);
    if (filters.queue >= 0) this.queue = filters.queue;
    if (filters.type !== 0) this.type = filters.type | this.type & RSS;
  }

  #flow(): number {
    const type = this.type, ip = type & IPV6 ? FLOW_IPV6 : 0;
    if (type & TCP) return ip | FLOW_TCP;
    if (type & UDP) return ip | FLOW_UDP;
    return ip | (type & SCTP ? FLOW_SCTP : FLOW_OTHER);
  }

  #hash(bytes: Uint8Array, addresses: number, l4: number): void {
    const rss = this.rss;
    if (!rss.enabled) return;
    const type = rss.take(this.type, bytes, addresses, l4);
    if (type === 0) return;
    this.type |= type;
    this.hash = rss.hash;
    this.queue = rss.queue();
  }
}

function read16(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1];
}
