/**
 * Formats of descriptors: which bits of the four words mean what (82599: sections 7.1.5, 7.1.6 and
 * 7.2.3; VirtIO: section 2.7.5).
 *
 * @module
 */

import {
  RX_DD,
  RX_EOP,
  RX_RXE,
  TX_DD,
  TX_DEXT,
  TX_EOP,
  TX_IFCS,
  TX_PAYLEN_SHIFT,
  TX_RS,
} from "../../../../ixgbe/descriptors.ts";
import type { DescriptorAccess } from "../../../recording/step.ts";

/** Some bits of a word of a descriptor, or a bus address in words 0 and 1, or 2 and 3. */
export interface Bits {
  /** The datasheet's name. */
  readonly name: string;
  readonly word: number;
  readonly mask: number;
  readonly meaning: string;
  /** Whether it is a bus address, whose high half is the next word. */
  readonly isAddress?: boolean;
  /** Whether it is shown as a hexadecimal number. */
  readonly isHex?: boolean;
  /** Names of values. */
  readonly values?: Readonly<Record<number, string>>;
}

/** A format of a descriptor. */
export interface Format {
  readonly name: string;
  /** The section of the datasheet or specification. */
  readonly section: string;
  readonly bits: readonly Bits[];
}

function bits(word: number, mask: number, name: string, meaning: string): Bits {
  return { word, mask: mask >>> 0, name, meaning };
}

function address(word: number, name: string, meaning: string): Bits {
  return { word, mask: 0xffffffff, name, meaning, isAddress: true };
}

const RSS_TYPES = {
  0: "no hash",
  1: "TCP over IPv4",
  2: "IPv4",
  3: "TCP over IPv6",
  5: "IPv6",
  7: "UDP over IPv4",
  8: "UDP over IPv6",
  15: "flow director",
};

const RX_READ: Format = {
  name: "advanced receive descriptor, read format",
  section: "7.1.6.1",
  bits: [
    address(0, "Packet buffer address", "bus address of the buffer for the frame"),
    address(2, "Header buffer address", "bus address of a buffer for headers; 0 clears DD"),
  ],
};

const RX_WRITE_BACK: Format = {
  name: "advanced receive descriptor, write-back format",
  section: "7.1.6.2",
  bits: [
    { ...bits(0, 0xf, "RSS type", "which fields the hash covers"), values: RSS_TYPES },
    bits(0, 1 << 4, "IPV4", "packet type: IPv4"),
    bits(0, 1 << 5, "IPV4E", "packet type: IPv4 with options"),
    bits(0, 1 << 6, "IPV6", "packet type: IPv6"),
    bits(0, 1 << 7, "IPV6E", "packet type: IPv6 with extension headers"),
    bits(0, 1 << 8, "TCP", "packet type: TCP"),
    bits(0, 1 << 9, "UDP", "packet type: UDP"),
    bits(0, 1 << 10, "SCTP", "packet type: SCTP"),
    bits(0, 1 << 15, "L2", "packet type: an EtherType filter matched"),
    bits(0, 0xf << 17, "RSCCNT", "frames that receive side coalescing merged"),
    bits(0, 0x3ff << 21, "HDR_LEN", "bytes of the header"),
    bits(0, 1 << 31, "SPH", "the header was split from the payload"),
    { ...bits(1, 0xffffffff, "RSS hash", "hash of the flow, or a filter's id"), isHex: true },
    bits(2, RX_DD, "DD", "descriptor done: the device has written it back"),
    bits(2, RX_EOP, "EOP", "end of packet: the frame ends in this buffer"),
    bits(2, 1 << 2, "FLM", "a flow director filter matched"),
    bits(2, 1 << 3, "VP", "the VLAN tag is in the descriptor, not in the frame"),
    bits(2, 1 << 4, "UDPCS", "the UDP checksum was checked"),
    bits(2, 1 << 5, "L4I", "the checksum of TCP, UDP or SCTP was checked"),
    bits(2, 1 << 6, "IPCS", "the IPv4 checksum was checked"),
    bits(2, 1 << 7, "PIF", "passed an inexact filter: software must check the address"),
    bits(2, 1 << 9, "VEXT", "the frame has an outer VLAN tag"),
    bits(2, 1 << 16, "TS", "the device has stamped the frame's time"),
    bits(2, 7 << 20, "FDIRERR", "errors of the flow director"),
    bits(2, 1 << 23, "HBO", "the header is longer than its buffer"),
    bits(2, RX_RXE, "RXE", "the frame has a MAC error"),
    bits(2, 1 << 30, "L4E", "the checksum of TCP, UDP or SCTP is wrong"),
    bits(2, 1 << 31, "IPE", "the IPv4 checksum is wrong"),
    bits(3, 0xffff, "PKT_LEN", "bytes of the frame in this buffer"),
    bits(3, 0xffff0000, "VLAN tag", "the tag that the device removed"),
  ],
};

const RX_LEGACY_READ: Format = {
  name: "legacy receive descriptor, as software writes it",
  section: "7.1.5",
  bits: [address(0, "Buffer address", "bus address of the buffer for the frame")],
};

const RX_LEGACY_WRITE_BACK: Format = {
  name: "legacy receive descriptor, written back",
  section: "7.1.5",
  bits: [
    address(0, "Buffer address", "bus address of the buffer for the frame"),
    bits(2, 0xffff, "Length", "bytes of the frame in this buffer"),
    { ...bits(2, 0xffff0000, "Fragment checksum", "sum of the frame's bytes"), isHex: true },
    bits(3, RX_DD, "DD", "descriptor done: the device has written it back"),
    bits(3, RX_EOP, "EOP", "end of packet: the frame ends in this buffer"),
    bits(3, 1 << 3, "VP", "the VLAN tag is in the descriptor, not in the frame"),
    bits(3, 1 << 4, "UDPCS", "the UDP checksum was checked"),
    bits(3, 1 << 5, "L4CS", "the checksum of TCP or UDP was checked"),
    bits(3, 1 << 6, "IPCS", "the IPv4 checksum was checked"),
    bits(3, 1 << 7, "PIF", "passed an inexact filter: software must check the address"),
    bits(3, 1 << 8, "RXE", "the frame has a MAC error"),
    bits(3, 1 << 14, "TCPE", "the checksum of TCP or UDP is wrong"),
    bits(3, 1 << 15, "IPE", "the IPv4 checksum is wrong"),
    bits(3, 0xffff0000, "VLAN tag", "the tag that the device removed"),
  ],
};

const DTYP = {
  ...bits(2, 0xf << 20, "DTYP", "type of an advanced descriptor"),
  values: { 2: "context", 3: "data" },
};
const DEXT = bits(2, TX_DEXT, "DEXT", "extended: the descriptor is advanced, not legacy");
const EOP = bits(2, TX_EOP, "EOP", "end of packet: the frame ends in this buffer");
const IFCS = bits(2, TX_IFCS, "IFCS", "insert the frame's CRC");
const RS = bits(2, TX_RS, "RS", "report status: write DD back when the frame has been sent");
const VLE = bits(2, 1 << 30, "VLE", "insert a VLAN tag");
const DD = bits(3, TX_DD, "DD", "descriptor done: the device has sent the frame");

const TX_DATA: Format = {
  name: "advanced transmit data descriptor",
  section: "7.2.3.2.4",
  bits: [
    address(0, "Address", "bus address of the buffer to send"),
    bits(2, 0xffff, "DTALEN", "bytes of the buffer to send"),
    bits(2, 1 << 18, "ILSEC", "apply LinkSec"),
    bits(2, 1 << 19, "TSTAMP", "stamp the time of sending"),
    DTYP,
    ...[EOP, IFCS, RS, DEXT, VLE],
    bits(2, 1 << 31, "TSE", "segment the packet (TSO)"),
    DD,
    bits(3, 7 << 4, "IDX", "the context that offloads use"),
    bits(3, 1 << 7, "CC", "check context"),
    bits(3, 1 << 8, "IXSM", "POPTS: insert the IPv4 checksum"),
    bits(3, 1 << 9, "TXSM", "POPTS: insert the checksum of TCP, UDP or SCTP"),
    bits(3, 1 << 10, "IPSEC", "POPTS: apply IPsec"),
    bits(3, -1 << TX_PAYLEN_SHIFT, "PAYLEN", "bytes of the whole frame"),
  ],
};

const TX_CONTEXT: Format = {
  name: "advanced transmit context descriptor",
  section: "7.2.3.2.3",
  bits: [
    bits(0, 0x1ff, "IPLEN", "bytes of the IP header"),
    bits(0, 0x7f << 9, "MACLEN", "bytes of the Ethernet header"),
    bits(0, 0xffff0000, "VLAN", "the tag to insert"),
    bits(1, 0x3ff, "IPsec SA", "index of the security association"),
    bits(2, 1 << 9, "SNAP", "TUCMD: the frame has a SNAP header"),
    bits(2, 1 << 10, "IPV4", "TUCMD: the packet is IPv4"),
    {
      ...bits(2, 3 << 11, "L4T", "TUCMD: protocol of the checksum"),
      values: { 0: "UDP", 1: "TCP", 2: "SCTP" },
    },
    DTYP,
    DEXT,
    bits(3, 7 << 4, "IDX", "number of the context"),
    bits(3, 0xff << 8, "L4LEN", "bytes of the TCP or UDP header"),
    bits(3, 0xffff0000, "MSS", "most bytes of payload in a segment"),
  ],
};

const TX_LEGACY: Format = {
  name: "legacy transmit descriptor",
  section: "7.2.3.2.2",
  bits: [
    address(0, "Buffer address", "bus address of the buffer to send"),
    bits(2, 0xffff, "Length", "bytes of the buffer to send"),
    bits(2, 0xff << 16, "CSO", "offset of the checksum to insert"),
    ...[EOP, IFCS],
    bits(2, 1 << 26, "IC", "insert a checksum"),
    ...[RS, DEXT, VLE, DD],
    bits(3, 0xff << 8, "CSS", "offset where the checksum begins"),
    bits(3, 0xffff0000, "VLAN", "the tag to insert"),
  ],
};

const TX_WRITE_BACK: Format = {
  name: "advanced transmit descriptor, write-back format",
  section: "7.2.3.2.4",
  bits: [DD],
};

const VIRTIO: Format = {
  name: "descriptor of a split virtqueue",
  section: "VirtIO 2.7.5",
  bits: [
    address(0, "addr", "address of the buffer"),
    bits(2, 0xffffffff, "len", "bytes of the buffer"),
    bits(3, 1 << 0, "NEXT", "the chain goes on with the descriptor `next`"),
    bits(3, 1 << 1, "WRITE", "the device writes the buffer, and does not read it"),
    bits(3, 1 << 2, "INDIRECT", "the buffer is a table of descriptors"),
    bits(3, 0xffff0000, "next", "the next descriptor of the chain"),
  ],
};

/** Returns the format of a descriptor's four words. */
export function formatOf(
  { ring, format, writtenBack }: Pick<DescriptorAccess, "ring" | "format" | "writtenBack">,
): Format {
  switch (format) {
    case "virtio":
      return VIRTIO;
    case "context":
      return TX_CONTEXT;
    case "legacy":
      if (ring === "tx") return TX_LEGACY;
      return writtenBack ? RX_LEGACY_WRITE_BACK : RX_LEGACY_READ;
    case "advanced":
      if (ring === "tx") return writtenBack ? TX_WRITE_BACK : TX_DATA;
      return writtenBack ? RX_WRITE_BACK : RX_READ;
  }
}
