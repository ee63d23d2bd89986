/**
 * The modelled device's filters that assign single protocols and flows to queues: by EtherType, by
 * five-tuple, and for TCP packets with SYN (82599 datasheet, sections 7.1.2.3, 7.1.2.5 and 7.1.2.6).
 *
 * They come before the flow director and receive side scaling. An EtherType filter comes first;
 * SYNQF.SYNQFP says which of the other two is next (7.1.2).
 *
 * @module
 */

import { DAQF, ETQF, ETQS, FTQF, L34TIMIR, SAQF, SDPQF, SYNQF } from "../../ixgbe/registers.ts";
import { hex, nameOf, type Register } from "../../src/registers.ts";
import { swapped } from "../flow/key.ts";
import type { RegisterCore } from "../registers/core.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import type { Rules } from "../registers/rules.ts";
import { RX_TYPE } from "../rings/descriptors.ts";

const { IPV4, TCP, UDP, SCTP, ETHERTYPE, ETHERTYPE_INDEX_SHIFT } = RX_TYPE;
/** EtherTypes that no filter should have (7.1.2.3). */
const IP: readonly number[] = [0x0800, 0x86dd];
const IPV4_SOURCE = 12, TCP_FLAGS = 13, SYN = 2;
/** FTQF.PROTOCOL. */
const PROTOCOL_TCP = 0, PROTOCOL_UDP = 1, PROTOCOL_SCTP = 2, PROTOCOL_OTHER = 3;
// FTQF.MASK: a set bit says that a field is not compared.
const MASK_SOURCE = 1, MASK_DESTINATION = 2, MASK_SOURCE_PORT = 4, MASK_DESTINATION_PORT = 8;
const MASK_PROTOCOL = 16, MASK_ADDRESSES = MASK_SOURCE | MASK_DESTINATION;
const MASK_PORTS = MASK_SOURCE_PORT | MASK_DESTINATION_PORT, MASK_ALL = 31;

/** A filter by EtherType. */
interface EtherTypeFilter {
  readonly index: number;
  readonly type: number;
  /** The user priority of its packets, or -1 for any. */
  readonly priority: number;
  /** Its queue, or -1 if it assigns none. */
  readonly queue: number;
}

/** A filter by five-tuple. Fields have the order of their bytes in packets, read as big-endian. */
interface FiveTuple {
  readonly index: number;
  readonly mask: number;
  readonly protocol: number;
  readonly source: number;
  readonly destination: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly priority: number;
  readonly queue: number;
}

/** The filters, as loaded from the registers, and their result for the last packet. */
export class QueueFilters {
  /** Whether any filter is on: if not, packets need no look. */
  enabled = false;
  /** The queue for the packet, or -1 if no filter gives one. */
  queue = -1;
  /** The packet type that an EtherType filter gives, or 0. */
  type = 0;
  /** The register of the filter that gives the queue, and its index, if there is one. */
  register: Register = ETQF;
  index = 0;
  readonly #file: RegisterFile;
  readonly #rules: Rules;
  #etherTypes: readonly EtherTypeFilter[] = [];
  /** The filters by five-tuple, the highest priority first. */
  #tuples: readonly FiveTuple[] = [];
  /** The queue of TCP packets with SYN, or -1. */
  #synQueue = -1;
  #synFirst = false;

  constructor({ file, rules }: Pick<RegisterCore, "file" | "rules">) {
    this.#file = file;
    this.#rules = rules;
  }

  /** Loads the filters from the registers. */
  load(): void {
    const syn = this.#file.get(SYNQF);
    this.#synQueue = syn & SYNQF.QUEUE_ENABLE ? (syn & SYNQF.RX_QUEUE) >>> 1 : -1;
    this.#synFirst = (syn & SYNQF.SYNQFP) !== 0;
    this.#etherTypes = this.#loadEtherTypes();
    this.#tuples = this.#loadTuples();
    this.enabled = this.#synQueue >= 0 || this.#etherTypes.length > 0 || this.#tuples.length > 0;
  }

  /**
   * Finds the queue of a packet.
   *
   * @param bytes The frame.
   * @param type Its packet type, 0 if it is not an IP packet.
   * @param network Offset of what follows the EtherType.
   * @param transport Offset of what follows the IP header, or -1 for fragments.
   * @param tag Its VLAN tag, or -1.
   */
  look(bytes: Uint8Array, type: number, network: number, transport: number, tag: number): void {
    this.queue = -1;
    this.type = 0;
    if (this.#etherTypes.length > 0) this.#lookAtEtherType(read16(bytes, network - 2), tag);
    if (this.queue >= 0 || type === 0 || transport < 0) return;
    const isSyn = this.#synQueue >= 0 && (type & TCP) !== 0 &&
      (bytes[transport + TCP_FLAGS] & SYN) !== 0;
    const tuple = isSyn && this.#synFirst
      ? undefined
      : this.#lookAtTuples(bytes, type, network, transport);
    if (tuple !== undefined) this.#choose(tuple.queue, FTQF, tuple.index);
    else if (isSyn) this.#choose(this.#synQueue, SYNQF, 0);
  }

  #choose(queue: number, register: Register, index: number): void {
    this.queue = queue;
    this.register = register;
    this.index = index;
  }

  #lookAtEtherType(etherType: number, tag: number): void {
    for (const { index, type, priority, queue } of this.#etherTypes) {
      if (type !== etherType) continue;
      // The packet type does not depend on the priority.
      this.type = ETHERTYPE | index << ETHERTYPE_INDEX_SHIFT;
      if (priority < 0 || tag >= 0 && priority === tag >>> 13) this.#choose(queue, ETQF, index);
      if (this.queue >= 0) return;
    }
  }

  #lookAtTuples(
    bytes: Uint8Array,
    type: number,
    network: number,
    transport: number,
  ): FiveTuple | undefined {
    let found: FiveTuple | undefined;
    for (const tuple of this.#tuples) {
      if (found !== undefined && tuple.priority < found.priority) break;
      if (!matches(tuple, bytes, type, network, transport)) continue;
      if (found === undefined) found = tuple;
      else this.#sameRank(found, tuple);
    }
    return found;
  }

  #loadEtherTypes(): EtherTypeFilter[] {
    const file = this.#file, filters: EtherTypeFilter[] = [];
    for (let index = 0; index < ETQF.count; index++) {
      const filter = file.get(ETQF, index), select = file.get(ETQS, index);
      if ((filter & ETQF.FILTER_ENABLE) === 0) continue;
      const type = filter & ETQF.ETYPE;
      const priority = filter & ETQF.UP_EN ? (filter & ETQF.UP) >>> 16 : -1;
      const queue = select & ETQS.QUEUE_ENABLE ? (select & ETQS.RX_QUEUE) >>> 16 : -1;
      if (IP.includes(type)) this.#violate(ETQF, index, "not the EtherType of IP", hex(filter));
      const overlaps = filters.some((other) =>
        other.type === type &&
        (other.priority < 0 || priority < 0 || other.priority === priority)
      );
      if (overlaps) this.#violate(ETQF, index, "no packet matches two filters", hex(filter));
      this.#checkInterrupt(ETQS, index, select & ETQS.QUEUE_ENABLE ? select & ETQS.LLI : 0);
      filters.push({ index, type, priority, queue });
    }
    return filters;
  }

  #loadTuples(): FiveTuple[] {
    const file = this.#file, tuples: FiveTuple[] = [];
    for (let index = 0; index < FTQF.count; index++) {
      const filter = file.get(FTQF, index), mask = (filter & FTQF.MASK) >>> 25;
      // A filter that compares nothing does not assign queues.
      if ((filter & FTQF.QUEUE_ENABLE) === 0 || mask === MASK_ALL) continue;
      const ports = swapped(file.get(SDPQF, index)), action = file.get(L34TIMIR, index);
      const priority = (filter & FTQF.PRIORITY) >>> 2;
      if (priority === 0) this.#violate(FTQF, index, "PRIORITY is 1 to 7", hex(filter));
      this.#checkInterrupt(L34TIMIR, index, action & L34TIMIR.LLI);
      tuples.push({
        ...{ index, mask, priority },
        protocol: filter & FTQF.PROTOCOL,
        source: swapped(file.get(SAQF, index)),
        destination: swapped(file.get(DAQF, index)),
        sourcePort: ports >>> 16,
        destinationPort: ports & 0xffff,
        queue: (action & L34TIMIR.RX_QUEUE) >>> 21,
      });
    }
    return tuples.sort((a, b) => b.priority - a.priority);
  }

  #checkInterrupt(register: Register, index: number, requested: number): void {
    if (requested === 0) return;
    const rule = "no low latency interrupt (not modelled)";
    this.#violate(register, index, rule, hex(this.#file.get(register, index)));
  }

  #sameRank(found: FiveTuple, other: FiveTuple): void {
    const rule = "a packet does not match two filters of the same priority";
    this.#violate(FTQF, other.index, rule, `it also matches filter ${found.index}`);
  }

  #violate(register: Register, index: number, rule: string, detail: string): void {
    this.#rules.violate(nameOf(register, index), register.section, rule, detail);
  }
}

// IPv6 packets match filters that do not compare addresses; packets without known ports match
// filters that do not compare these.
function matches(
  tuple: FiveTuple,
  bytes: Uint8Array,
  type: number,
  network: number,
  transport: number,
): boolean {
  const { mask } = tuple, source = network + IPV4_SOURCE;
  if ((mask & MASK_PROTOCOL) === 0 && tuple.protocol !== protocolOf(type)) return false;
  if ((mask & MASK_ADDRESSES) !== MASK_ADDRESSES && (type & IPV4) === 0) return false;
  if ((mask & MASK_PORTS) !== MASK_PORTS && protocolOf(type) === PROTOCOL_OTHER) return false;
  return same(mask & MASK_SOURCE, read32(bytes, source), tuple.source) &&
    same(mask & MASK_DESTINATION, read32(bytes, source + 4), tuple.destination) &&
    same(mask & MASK_SOURCE_PORT, read16(bytes, transport), tuple.sourcePort) &&
    same(mask & MASK_DESTINATION_PORT, read16(bytes, transport + 2), tuple.destinationPort);
}

function same(masked: number, found: number, wanted: number): boolean {
  return masked !== 0 || found === wanted;
}

function protocolOf(type: number): number {
  if (type & TCP) return PROTOCOL_TCP;
  if (type & UDP) return PROTOCOL_UDP;
  return type & SCTP ? PROTOCOL_SCTP : PROTOCOL_OTHER;
}

function read16(bytes: Uint8Array, at: number): number {
  return bytes[at] << 8 | bytes[at + 1];
}

function read32(bytes: Uint8Array, at: number): number {
  return read16(bytes, at) << 16 | read16(bytes, at + 2);
}
