/**
 * Receive side coalescing (RSC) of a queue: TCP segments of a connection that follow each other
 * become one large packet in several descriptors (82599 datasheet, section 7.11; X550: 7.10.5).
 *
 * Large packets end with the model's round at the latest. Descriptors of several connections may
 * alternate; each names the next one of its packet (NEXTP).
 *
 * @module
 */

import { RSCCTL } from "../../ixgbe/registers.ts";
import { checksum } from "../../packets/checksum.ts";
import { copy } from "../frames/copy.ts";
import type { FrameBuffer } from "../frames/frame.ts";
import type { DeviceObserver } from "../registers/observer.ts";
import { RX_STATUS, RX_TYPE } from "../rings/descriptors.ts";
import { addressAt, type DescriptorRing, type DmaMap } from "../rings/dma_map.ts";
import type { ReceiveOffloads } from "./offloads.ts";

const { IPV4, IPV4_OPTIONS, TCP } = RX_TYPE;
const { DD, EOP, IPCS, L4I, ERROR_L4, ERROR_IP, NEXTP_SHIFT } = RX_STATUS;
/** A segment to coalesce has both checksums, and both are right. */
const CHECKED = IPCS | L4I | ERROR_L4 | ERROR_IP, GOOD = IPCS | L4I;
const KIND = IPV4 | IPV4_OPTIONS | TCP;
const RSCCNT_SHIFT = 17;
/** Maximum number of packets that begin in a buffer, of bytes of a large packet, of connections. */
const MAX_PACKETS = 14, MAX_BYTES = 0xffff, MAX_FLOWS = 8;
/** Descriptors of a large packet by RSCCTL.MAXDESC. */
export const DESCRIPTORS: readonly number[] = [1, 4, 8, 16];

// Offsets of header fields and their values, in bytes.
const IP_LENGTH = 2, IP_CHECKSUM = 10, IP_SOURCE = 12, IP_DESTINATION = 16, IP_BYTES = 20;
const SEQUENCE = 4, ACKNOWLEDGE = 8, OFFSET = 12, FLAGS = 13, WINDOW = 14, TCP_BYTES = 20;
const PUSH = 8, ACK = 16;
/** The only option that may occur: two of no operation, then the time stamps' kind and length. */
const TIME_STAMPS = 0x0101080a, TIME_STAMP_BYTES = 12;

/** The part of a receive queue that coalescing needs, see `queue.ts`. */
export interface CoalescedQueue extends DescriptorRing {
  readonly index: number;
  running: boolean;
  head: number;
  ahead: number;
  readonly bufferBytes: number;
  readonly lengths: Uint16Array;
  readonly statuses: Uint32Array;
  readonly types: Uint32Array;
  readonly hashes: Uint32Array;
  readonly tags: Uint16Array;
  /** Adds packets and bytes to the queue's counts. */
  add(packets: number, bytes: number): void;
  violateDd(): void;
  stopAtBadBuffer(index: number): void;
}

/** A large packet that may grow. */
class Flow {
  source = 0;
  destination = 0;
  ports = 0;
  tag = 0;
  /** The next segment's sequence number, as a signed integer. */
  next = 0;
  /** Offset of the IP header and of the payload. */
  network = 0;
  header = 0;
  /** Bytes of the large packet, and number of its segments. */
  bytes = 0;
  packets = 0;
  /** Its descriptors, and how many segments begin in each. */
  readonly descriptors: number[] = [];
  readonly begun: number[] = [];
  /** Bytes in the last descriptor's buffer. */
  filled = 0;
  /** Results of the inspection of its last segment. */
  type = 0;
  hash = 0;
  status = 0;
}

/** Coalesces the packets of a queue. */
export class Coalescer {
  readonly #queue: CoalescedQueue;
  readonly #dma: DmaMap;
  readonly #most: number;
  readonly #observer: DeviceObserver | undefined;
  /** Large packets, the oldest first; and objects that are not in use. */
  readonly #flows: Flow[] = [];
  readonly #spare: Flow[] = [];

  /** @param control The queue's RSCCTL. */
  constructor(
    queue: CoalescedQueue,
    dma: DmaMap,
    control: number,
    observer: DeviceObserver | undefined,
  ) {
    this.#observer = observer;
    this.#queue = queue;
    this.#dma = dma;
    this.#most = DESCRIPTORS[(control & RSCCTL.MAXDESC) >>> 2];
  }

  /**
   * Takes a packet, for which the queue has descriptors, if it can be coalesced. If not, its
   * connection's large packet ends.
   *
   * @param length Bytes of the frame.
   * @param tag Its VLAN tag if that was stripped, or 0.
   * @returns false if the caller has to deliver it.
   */
  take(frame: FrameBuffer, length: number, tag: number, offloads: ReceiveOffloads): boolean {
    if ((offloads.type & TCP) === 0 || (offloads.type & IPV4) === 0) return false;
    const { bytes } = frame, { network, transport } = offloads;
    const end = network + (bytes[network + IP_LENGTH] << 8 | bytes[network + IP_LENGTH + 1]);
    const at = transport + (bytes[transport + OFFSET] >>> 4) * 4;
    let flow = this.#find(bytes, network, transport);
    const fits = isSegment(bytes, offloads, at) && end > at && end <= length;
    if (flow && !(fits && this.#continues(flow, bytes, offloads, at, end, tag))) {
      this.#close(flow);
      flow = undefined;
    }
    if (!fits) return false;
    if (!flow) {
      // A segment with PSH would end the large packet that it begins.
      if (bytes[transport + FLAGS] & PUSH) return false;
      flow = this.#begin(bytes, offloads, at, end, tag);
      if (!flow) return false;
    }
    this.#append(flow, frame, offloads, flow.packets === 0 ? 0 : at, end);
    flow.next = (read32(bytes, transport + SEQUENCE) + end - at) | 0;
    if (flow.packets > 1) this.#acknowledge(flow, bytes, transport);
    if (bytes[transport + FLAGS] & PUSH) this.#close(flow);
    return true;
  }

  /** Ends all large packets. */
  close(): void {
    while (this.#flows.length > 0) this.#close(this.#flows[0]);
  }

  #find(bytes: Uint8Array, network: number, transport: number): Flow | undefined {
    const source = read32(bytes, network + IP_SOURCE), ports = read32(bytes, transport);
    const destination = read32(bytes, network + IP_DESTINATION);
    return this.#flows.find((flow) =>
      flow.ports === ports && flow.source === source && flow.destination === destination
    );
  }

  #continues(
    flow: Flow,
    bytes: Uint8Array,
    { network, transport }: ReceiveOffloads,
    at: number,
    end: number,
    tag: number,
  ): boolean {
    const added = end - at, { bufferBytes } = this.#queue;
    const opened = Math.ceil((flow.filled + added) / bufferBytes) - 1;
    return read32(bytes, transport + SEQUENCE) === flow.next && at === flow.header &&
      network === flow.network && tag === flow.tag &&
      flow.bytes - network + added <= MAX_BYTES &&
      flow.descriptors.length + opened <= this.#most && flow.begun.at(-1)! < MAX_PACKETS;
  }

  #begin(
    bytes: Uint8Array,
    { network, transport }: ReceiveOffloads,
    at: number,
    end: number,
    tag: number,
  ): Flow | undefined {
    if (end > this.#most * this.#queue.bufferBytes) return undefined;
    if (this.#flows.length === MAX_FLOWS) this.#close(this.#flows[0]);
    const flow = this.#spare.pop() ?? new Flow();
    flow.source = read32(bytes, network + IP_SOURCE);
    flow.destination = read32(bytes, network + IP_DESTINATION);
    flow.ports = read32(bytes, transport);
    flow.tag = tag;
    flow.network = network;
    flow.header = at;
    flow.bytes = flow.packets = 0;
    flow.descriptors.length = flow.begun.length = 0;
    flow.filled = this.#queue.bufferBytes;
    this.#flows.push(flow);
    return flow;
  }

  // Writes a part of a frame behind the large packet. Stops the queue at a bad buffer.
  #append(
    flow: Flow,
    frame: FrameBuffer,
    offloads: ReceiveOffloads,
    from: number,
    to: number,
  ): void {
    const queue = this.#queue;
    let first = true;
    for (let at = from; at < to;) {
      if (flow.filled === queue.bufferBytes && !this.#open(flow)) return;
      const room = queue.bufferBytes - flow.filled, length = Math.min(room, to - at);
      const index = flow.descriptors.at(-1)!;
      const buffer = this.#follow(index);
      if (buffer < 0) return;
      copy(this.#dma, buffer + flow.filled, frame, at, length);
      this.#observer?.bufferWritten(
        queue.index,
        index,
        addressAt(queue.words, queue.first + index * 4) + flow.filled,
        this.#dma.bytes.subarray(buffer + flow.filled, buffer + flow.filled + length),
      );
      if (first) flow.begun[flow.begun.length - 1]++;
      first = false;
      flow.filled += length;
      queue.lengths[index] = flow.filled;
      at += length;
    }
    flow.packets++;
    flow.bytes += to - from;
    flow.type = offloads.type;
    flow.hash = offloads.hash;
    flow.status = offloads.status;
  }

  // Takes the descriptor at the head.
  #open(flow: Flow): boolean {
    const queue = this.#queue, index = queue.head;
    if (!queue.running) return false;
    if ((queue.words[queue.first + index * 4 + 2] & DD) !== 0) queue.violateDd();
    flow.descriptors.push(index);
    flow.begun.push(0);
    flow.filled = 0;
    queue.lengths[index] = 0;
    queue.statuses[index] = DD;
    queue.head = index + 1 === queue.size ? 0 : index + 1;
    if (queue.ahead > 0) queue.ahead--;
    return true;
  }

  // Returns the place of a descriptor's buffer, or -1 after a violation.
  #follow(index: number): number {
    const queue = this.#queue;
    const place = this.#dma.follow(queue.words, queue.first + index * 4, queue.bufferBytes);
    if (place >= 0 && this.#dma.writable) return place;
    queue.stopAtBadBuffer(index);
    return -1;
  }

  // Updates the large packet's header by that of its last segment.
  #acknowledge(flow: Flow, bytes: Uint8Array, transport: number): void {
    const buffer = this.#follow(flow.descriptors[0]);
    if (buffer < 0) return;
    const to = this.#dma.bytes, change = buffer;
    const take = (from: number, length: number) => {
      for (let i = from; i < from + length; i++) to[change + i] = bytes[i];
    };
    take(transport + ACKNOWLEDGE, 4);
    take(transport + WINDOW, 2);
    take(transport + TCP_BYTES, flow.header - transport - TCP_BYTES);
    to[change + transport + FLAGS] |= bytes[transport + FLAGS] & PUSH;
  }

  // Ends a large packet: its length is complete, and its descriptors can be written back.
  #close(flow: Flow): void {
    const queue = this.#queue, { descriptors, packets } = flow;
    this.#flows.splice(this.#flows.indexOf(flow), 1);
    this.#spare.push(flow);
    const large = packets > 1;
    if (large) this.#complete(flow);
    descriptors.forEach((index, i) => {
      const last = i + 1 === descriptors.length;
      const next = large && !last ? descriptors[i + 1] << NEXTP_SHIFT : 0;
      queue.types[index] = flow.type | (large ? flow.begun[i] + 1 << RSCCNT_SHIFT : 0);
      queue.hashes[index] = flow.hash;
      queue.tags[index] = flow.tag;
      queue.statuses[index] = last ? DD | EOP | flow.status : DD | next;
    });
    queue.add(packets - 1, (packets - 1) * flow.header); // segments are counted, with their headers
  }

  #complete({ descriptors, network, bytes }: Flow): void {
    const buffer = this.#follow(descriptors[0]);
    if (buffer < 0) return;
    const to = this.#dma.bytes, ip = buffer + network;
    const write = (at: number, value: number) => {
      to[at] = value >>> 8;
      to[at + 1] = value;
    };
    write(ip + IP_LENGTH, bytes - network);
    write(ip + IP_CHECKSUM, 0);
    write(ip + IP_CHECKSUM, checksum(to, ip, ip + IP_BYTES));
  }
}

// Whether a packet is a segment to coalesce, with its payload at an offset.
function isSegment(bytes: Uint8Array, offloads: ReceiveOffloads, at: number): boolean {
  const { type, status, transport } = offloads, options = at - transport - TCP_BYTES;
  return (type & KIND) === (IPV4 | TCP) && (status & CHECKED) === GOOD &&
    (bytes[transport + FLAGS] & ~PUSH) === ACK &&
    (options === 0 ||
      options === TIME_STAMP_BYTES && read32(bytes, transport + TCP_BYTES) === TIME_STAMPS);
}

/** Returns a signed integer in network byte order. */
function read32(bytes: Uint8Array, at: number): number {
  return bytes[at] << 24 | bytes[at + 1] << 16 | bytes[at + 2] << 8 | bytes[at + 3];
}
