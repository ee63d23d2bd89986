/**
 * Fields of descriptors, as the modelled device reads and writes them (82599 datasheet, sections
 * 7.1.6 and 7.2.3).
 *
 * They are in objects, from which the modules that move frames take constants of their own. Machine
 * code loads and checks an imported constant at each use, but contains one of its own module. That
 * makes the model a tenth faster.
 *
 * @module
 */

/**
 * Word 0 of an advanced receive descriptor, once written back (7.1.6.2): RSS type and packet type.
 */
export const RX_TYPE = {
  /** The RSS type, and its value if word 1 holds the flow director's id instead of the hash. */
  RSS: 0xf,
  RSS_FLOW_DIRECTOR: 0xf,
  IPV4: 1 << 4,
  IPV4_OPTIONS: 1 << 5,
  IPV6: 1 << 6,
  IPV6_EXTENDED: 1 << 7,
  TCP: 1 << 8,
  UDP: 1 << 9,
  SCTP: 1 << 10,
  /** An EtherType filter matched; its index is in the three bits from the shift on. */
  ETHERTYPE: 1 << 15,
  ETHERTYPE_INDEX_SHIFT: 4,
} as const;

/**
 * Word 2 of an advanced receive descriptor and word 3 of a legacy one, once written back (7.1.5,
 * 7.1.6.2).
 */
export const RX_STATUS = {
  /** Descriptor done. */
  DD: 1 << 0,
  /** End of packet. */
  EOP: 1 << 1,
  /** If EOP is 0, from here on the next descriptor of the same large packet. */
  NEXTP_SHIFT: 4,
  /** A flow director filter matched. */
  FLM: 1 << 2,
  /** The VLAN tag is in the descriptor, not in the frame. */
  VP: 1 << 3,
  /** The UDP checksum was checked. */
  UDPCS: 1 << 4,
  /** The checksum of TCP, UDP or SCTP was checked. */
  L4I: 1 << 5,
  /** The IPv4 checksum was checked. */
  IPCS: 1 << 6,
  /** The packet has an outer VLAN tag (CTRL_EXT.EXTENDED_VLAN). */
  VEXT: 1 << 9,
  /** The sum of a UDP fragment is in the descriptor. */
  UDPV: 1 << 10,
  /** The packet's time stamp is behind it in the buffer (X550), or in RXSTMPL and RXSTMPH. */
  TSIP: 1 << 15,
  TS: 1 << 16,
  /**
   * FDIRERR: the list of filters is too long, a perfect filter drops, the filter was added twice.
   */
  ERROR_FDIR_LENGTH: 1 << 20,
  ERROR_FDIR_DROP: 1 << 21,
  ERROR_FDIR_COLLISION: 1 << 22,
  /** The header is longer than the header buffer. */
  ERROR_HBO: 1 << 23,
  /** The checksum of TCP, UDP or SCTP is wrong. */
  ERROR_L4: 1 << 30,
  /** The IPv4 checksum is wrong. */
  ERROR_IP: 1 << 31,
  /** The bits that a legacy descriptor has: all status bits but FLM. */
  LEGACY: 0xff & ~(1 << 2),
} as const;

/** Word 2 of a transmit descriptor in the legacy and the advanced format (7.2.3.2). */
export const TX_COMMAND = {
  /** Bytes of the buffer. */
  LENGTH: 0xffff,
  /** DTYP of an advanced descriptor. */
  TYPE: 0xf << 20,
  TYPE_CONTEXT: 2 << 20,
  TYPE_DATA: 3 << 20,
  /** The device stamps the packet's time in TXSTMPL and TXSTMPH. */
  TSTAMP: 1 << 19,
  /** End of packet. */
  EOP: 1 << 24,
  /** The device appends the CRC. */
  IFCS: 1 << 25,
  /** Insert a checksum; only in the legacy format, with its offset from CSO_SHIFT on. */
  IC: 1 << 26,
  CSO_SHIFT: 16,
  /** Report status. */
  RS: 1 << 27,
  /** Advanced format. */
  DEXT: 1 << 29,
  /** Insert a VLAN tag. */
  VLE: 1 << 30,
  /** Segment. */
  TSE: 1 << 31,
} as const;

/** Word 3 of a transmit descriptor; POPTS is in it (7.2.3.2.4). */
export const TX_OPTIONS = {
  /** Legacy format: where the bytes to sum begin, and the VLAN tag. */
  CSS_SHIFT: 8,
  VLAN_SHIFT: 16,
  /** Descriptor done, once written back. */
  DD: 1,
  /** Index of one of the queue's two contexts. */
  IDX_SHIFT: 4,
  /** Insert the IPv4 header's checksum. */
  IXSM: 1 << 8,
  /** Insert the checksum of TCP, UDP or SCTP. */
  TXSM: 1 << 9,
  /** Payload length of the frame's first advanced data descriptor. */
  PAYLEN_SHIFT: 14,
} as const;

/** Word 2 of a context descriptor: TUCMD (7.2.3.2.3). */
export const TX_CONTEXT = {
  /** The packet is IPv4, not IPv6. */
  IPV4: 1 << 10,
  /** L4T: UDP, TCP, SCTP or another. */
  L4T_SHIFT: 11,
  L4T_UDP: 0,
  L4T_TCP: 1,
  L4T_SCTP: 2,
} as const;
