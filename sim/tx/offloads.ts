/**
 * The modelled device's offloads for frames that a driver sends with a context descriptor:
 * checksums, VLAN tags and segmentation (datasheet sections 7.2.3.2.3, 7.2.4 and 7.2.5). They work
 * on the bytes of frames; `transmitter.ts` handles descriptors and rings.
 *
 * @module
 */

import { DMATXCTL, DTXTCPFLGH, DTXTCPFLGL } from "../../ixgbe/registers.ts";
import { checksum } from "../../packets/checksum.ts";
import { writeSctpChecksum } from "../frames/crc32c.ts";
import { FrameBuffer } from "../frames/frame.ts";
import type { RegisterFile } from "../registers/register_file.ts";
import { TX_CONTEXT, TX_OPTIONS } from "../rings/descriptors.ts";

/** Maximum bytes of a transmission to segment: 256 KB of PAYLEN and a header. */
const MAX_BYTES = (1 << 18) + 1024;

// Offsets and lengths of header fields, in bytes.
const TAG_AT = 12, TAG_BYTES = 4;
const IPV4_LENGTH = 2, IPV4_IDENTIFICATION = 4, IPV4_CHECKSUM = 10;
const IPV6_LENGTH = 4, IPV6_BYTES = 40;
const TCP_SEQUENCE = 4, TCP_FLAGS = 12, TCP_CHECKSUM = 16;
const UDP_LENGTH = 4, UDP_CHECKSUM = 6;
const FLAGS_FIXED = 0xf000; // the data offset, which the masks of TCP flags do not change

/** Protocols by L4T of a context descriptor. */
const L4_TYPES = new Map<number, TransmitContext["l4"]>([
  [TX_CONTEXT.L4T_UDP, "udp"],
  [TX_CONTEXT.L4T_TCP, "tcp"],
  [TX_CONTEXT.L4T_SCTP, "sctp"],
]);

/** Buffer for a transmission to segment, which is too long for one frame. */
export class LargeBuffer {
  readonly longs: BigUint64Array = new BigUint64Array(MAX_BYTES / 8);
  readonly words: Uint32Array = new Uint32Array(this.longs.buffer);
  readonly bytes: Uint8Array = new Uint8Array(this.longs.buffer);
}

/** The content of a context descriptor. */
export interface TransmitContext {
  /** Bytes of the Ethernet header, of the IP header and of the TCP or UDP header. */
  readonly macLength: number;
  readonly ipLength: number;
  readonly l4Length: number;
  /** Maximum bytes of payload in a segment. */
  readonly mss: number;
  /** Whether the packet is IPv4, not IPv6. */
  readonly ipv4: boolean;
  readonly l4: "udp" | "tcp" | "sctp" | "other";
  /** VLAN tag to insert. */
  readonly tag: number;
}

/** Reads the four words of a context descriptor, from index `at` on. */
export function readContext(words: Uint32Array, at: number): TransmitContext {
  const lengths = words[at], command = words[at + 2], sizes = words[at + 3];
  const l4 = command >>> TX_CONTEXT.L4T_SHIFT & 3;
  return {
    ipLength: lengths & 0x1ff,
    macLength: lengths >>> 9 & 0x7f,
    tag: lengths >>> 16,
    ipv4: (command & TX_CONTEXT.IPV4) !== 0,
    l4: L4_TYPES.get(l4) ?? "other",
    l4Length: sizes >>> 8 & 0xff,
    mss: sizes >>> 16,
  };
}

/** A transmission that is being cut into segments, which can take several rounds. */
export interface Cut {
  readonly context: TransmitContext;
  /** Bytes of the transmission, header included. */
  readonly length: number;
  /** Word 3 of its first descriptor. */
  readonly options: number;
  /** Offset of the next segment's payload, and its number. */
  at: number;
  number: number;
}

/** Sends a complete frame. */
export type Emit = (frame: FrameBuffer, length: number) => void;

/** The offloads, with a buffer for segments. */
export class TransmitOffloads {
  readonly #file: RegisterFile;
  readonly #segment = new FrameBuffer();
  readonly #view = new DataView(this.#segment.bytes.buffer);

  constructor(file: RegisterFile) {
    this.#file = file;
  }

  /** Inserts the checksums that `options` (POPTS) requests into a frame that is sent whole. */
  insertChecksums(
    frame: FrameBuffer,
    length: number,
    context: TransmitContext,
    options: number,
  ): void {
    const view = new DataView(frame.bytes.buffer);
    if (options & TX_OPTIONS.IXSM) ipv4Checksum(view, frame.bytes, context);
    // The driver has put the sum of the pseudo header in the checksum field.
    if (options & TX_OPTIONS.TXSM) l4Checksum(view, frame.bytes, length, context, 0);
  }

  /**
   * Inserts a VLAN tag; with DMATXCTL.GDV, behind the outer tag, which the device expects (7.4.5).
   * Returns the new length of the frame.
   */
  insertTag(frame: FrameBuffer, length: number, tag: number): number {
    const control = this.#file.get(DMATXCTL);
    const at = control & DMATXCTL.GDV ? TAG_AT + TAG_BYTES : TAG_AT;
    frame.bytes.copyWithin(at + TAG_BYTES, at, length);
    const view = new DataView(frame.bytes.buffer);
    view.setUint16(at, control >>> 16);
    view.setUint16(at + 2, tag);
    return length + TAG_BYTES;
  }

  /**
   * Sends the next segments of a transmission, each with a copy of its header.
   *
   * @param from The transmission. As section 7.2.4.3 requires, its header has no lengths, and the
   * sum of a pseudo header without length in the checksum field.
   * @param cut How far it has been sent; the segments are added.
   * @param most Maximum number of segments.
   * @returns Number of segments sent.
   */
  segment(from: LargeBuffer, cut: Cut, most: number, emit: Emit): number {
    const { context, length, options } = cut;
    const header = headerLength(context);
    const view = this.#view, to = this.#segment.bytes;
    let sent = 0;
    for (; sent < most && cut.at < length; sent++) {
      const { at, number } = cut;
      const payload = Math.min(context.mss, length - at);
      to.set(from.bytes.subarray(0, header));
      to.set(from.bytes.subarray(at, at + payload), header);
      const last = at + payload === length;
      this.#ipHeader(view, context, number, payload);
      this.#l4Header(view, context, { number, payload, last });
      if (options & TX_OPTIONS.IXSM) ipv4Checksum(view, to, context);
      // The driver's sum of the pseudo header does not include the length of a segment.
      const bytes = context.l4Length + payload;
      if (options & TX_OPTIONS.TXSM) l4Checksum(view, to, header + payload, context, bytes);
      emit(this.#segment, header + payload);
      cut.at += context.mss;
      cut.number++;
    }
    return sent;
  }

  #ipHeader(view: DataView, context: TransmitContext, number: number, payload: number): void {
    const ip = context.macLength;
    const bytes = context.l4Length + payload;
    if (!context.ipv4) {
      view.setUint16(ip + IPV6_LENGTH, context.ipLength - IPV6_BYTES + bytes);
      return;
    }
    view.setUint16(ip + IPV4_LENGTH, context.ipLength + bytes);
    const identification = view.getUint16(ip + IPV4_IDENTIFICATION) + number;
    view.setUint16(ip + IPV4_IDENTIFICATION, identification & 0xffff);
  }

  #l4Header(
    view: DataView,
    context: TransmitContext,
    { number, payload, last }: { number: number; payload: number; last: boolean },
  ): void {
    const l4 = context.macLength + context.ipLength;
    if (context.l4 === "udp") view.setUint16(l4 + UDP_LENGTH, context.l4Length + payload);
    if (context.l4 !== "tcp") return;
    const sequence = view.getUint32(l4 + TCP_SEQUENCE) + number * context.mss;
    view.setUint32(l4 + TCP_SEQUENCE, sequence >>> 0);
    const low = this.#file.get(DTXTCPFLGL);
    const mask = last ? this.#file.get(DTXTCPFLGH) : number === 0 ? low : low >>> 16;
    const flags = view.getUint16(l4 + TCP_FLAGS);
    view.setUint16(l4 + TCP_FLAGS, flags & (FLAGS_FIXED | mask & 0xfff));
  }
}

/** Returns the bytes of a packet's headers. */
export function headerLength({ macLength, ipLength, l4Length }: TransmitContext): number {
  return macLength + ipLength + l4Length;
}

function ipv4Checksum(view: DataView, bytes: Uint8Array, context: TransmitContext): void {
  const ip = context.macLength;
  view.setUint16(ip + IPV4_CHECKSUM, checksum(bytes, ip, ip + context.ipLength));
}

/** Writes the checksum of everything behind the IP header, with `extra` added to the sum. */
function l4Checksum(
  view: DataView,
  bytes: Uint8Array,
  length: number,
  context: TransmitContext,
  extra: number,
): void {
  const l4 = context.macLength + context.ipLength;
  if (context.l4 === "sctp") return writeSctpChecksum(bytes, l4, length);
  const found = checksum(bytes, l4, length, extra);
  if (context.l4 === "tcp") view.setUint16(l4 + TCP_CHECKSUM, found);
  // 0 would mean that there is no UDP checksum.
  else view.setUint16(l4 + UDP_CHECKSUM, found || 0xffff);
}
