/**
 * Numbers of protocols, and sizes and offsets of their headers in bytes.
 *
 * @module
 */

/** Values of the EtherType field; less than `LENGTH` it is the length of an IEEE 802.3 frame. */
export const ETHERTYPE = {
  IPV4: 0x0800,
  ARP: 0x0806,
  VLAN: 0x8100,
  SERVICE_VLAN: 0x88a8,
  IPV6: 0x86dd,
  LENGTH: 0x0600,
} as const;

/** Values of IPv4's protocol field and IPv6's next header field. */
export const PROTOCOL = {
  HOP_BY_HOP: 0,
  ICMP: 1,
  TCP: 6,
  UDP: 17,
  ROUTING: 43,
  FRAGMENT: 44,
  ICMPV6: 58,
  DESTINATION_OPTIONS: 60,
} as const;

/** The IPv6 extension headers that may precede the payload. */
export const IPV6_EXTENSIONS: readonly number[] = [
  PROTOCOL.HOP_BY_HOP,
  PROTOCOL.ROUTING,
  PROTOCOL.FRAGMENT,
  PROTOCOL.DESTINATION_OPTIONS,
];

/** Sizes of headers without options, in bytes. */
export const HEADER_BYTES = {
  VLAN: 4,
  /** ARP for IPv4 on Ethernet. */
  ARP: 28,
  IPV4: 20,
  IPV6: 40,
  /** The shortest IPv6 extension header. */
  EXTENSION: 8,
  TCP: 20,
  UDP: 8,
  ICMP: 8,
} as const;

/** Names of TCP's flags, from bit 0 on. */
export const TCP_FLAGS = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"] as const;
