/**
 * Numbers and structures of the kernel's interface: AF_XDP sockets (linux/if_xdp.h), network interfaces
 * (linux/if.h, linux/sockios.h, linux/ethtool.h, linux/if_packet.h), and what goes through them. Nothing
 * here makes a call. `bpf.ts` and `netlink.ts` have those of bpf(2) and of netlink.
 *
 * @module
 */

/** Address families. */
export const AF = { INET: 2, NETLINK: 16, PACKET: 17, XDP: 44 } as const;
/** Types of socket. */
export const SOCK = { DGRAM: 2, RAW: 3, NONBLOCK: 0x800 } as const;
/** Levels of socket options. */
export const SOL = { PACKET: 263, XDP: 283 } as const;
/** Flag of send(2) and recv(2): do not wait. */
export const MSG_DONTWAIT = 0x40;

/** Options of an AF_XDP socket. */
export const XdpOption = {
  MMAP_OFFSETS: 1,
  RX_RING: 2,
  TX_RING: 3,
  UMEM_REG: 4,
  UMEM_FILL_RING: 5,
  UMEM_COMPLETION_RING: 6,
  STATISTICS: 7,
  OPTIONS: 8,
} as const;

/** Flags of bind(2). Without COPY and ZEROCOPY, the kernel uses zero-copy where the driver has it. */
export const BindFlag = { COPY: 2, ZEROCOPY: 4, USE_NEED_WAKEUP: 8, USE_SG: 16 } as const;

/** Flag of OPTIONS: the socket is in zero-copy mode. */
export const OPTIONS_ZEROCOPY = 1;
/** Flag of a fill or transmit ring: the kernel looks at the ring only after a call. */
export const RING_NEED_WAKEUP = 1;

/** Offsets for mmap(2) of the rings. */
export const RingPage = {
  rx: 0,
  tx: 0x80000000,
  fill: 0x100000000,
  completion: 0x180000000,
} as const;

/** The rings in the order of struct xdp_mmap_offsets: each has four 64-bit offsets. */
export const RING_ORDER = ["rx", "tx", "fill", "completion"] as const;
/** Bytes of struct xdp_mmap_offsets. */
export const MMAP_OFFSETS_BYTES = 128;

/** A descriptor of a receive or transmit ring (struct xdp_desc), in 32-bit words. */
export const DESC = {
  ...{ WORDS: 4, ADDRESS: 0, ADDRESS_HIGH: 1, LENGTH: 2, OPTIONS: 3 },
  /** Bit of the options (XDP_PKT_CONTD): the frame goes on in the next descriptor. */
  CONTINUES: 1,
} as const;
/** An entry of a fill or completion ring is a 64-bit address. */
export const ADDRESS_WORDS = 2;

/**
 * Bytes that the kernel leaves free before a received frame (XDP_PACKET_HEADROOM): a program could put
 * headers there.
 */
export const HEADROOM = 256;
/** The largest chunk of a UMEM, in bytes: a page. */
export const MAX_CHUNK = 4096;

/** The counts of STATISTICS (struct xdp_statistics), 64 bits each, by the names of the structure. */
export const STATISTICS = [
  "rx_dropped",
  "rx_invalid_descs",
  "tx_invalid_descs",
  "rx_ring_full",
  "rx_fill_ring_empty_descs",
  "tx_ring_empty_descs",
] as const;

/** Returns struct xdp_umem_reg: memory in chunks of one size. */
export function umemReg(address: bigint, bytes: number, chunk: number): Uint8Array<ArrayBuffer> {
  const struct = new DataView(new ArrayBuffer(32));
  struct.setBigUint64(0, address, true);
  struct.setBigUint64(8, BigInt(bytes), true);
  struct.setUint32(16, chunk, true);
  return new Uint8Array(struct.buffer);
}

/** Returns struct sockaddr_xdp: a queue of an interface. */
export function sockaddrXdp(
  index: number,
  queue: number,
  flags: number,
): Uint8Array<ArrayBuffer> {
  const struct = new DataView(new ArrayBuffer(16));
  struct.setUint16(0, AF.XDP, true);
  struct.setUint16(2, flags, true);
  struct.setUint32(4, index, true);
  struct.setUint32(8, queue, true);
  return new Uint8Array(struct.buffer);
}

/** Requests of ioctl(2) about an interface. */
export const Ioctl = {
  GIFNAME: 0x8910,
  GIFFLAGS: 0x8913,
  GIFMTU: 0x8921,
  GIFHWADDR: 0x8927,
  GIFINDEX: 0x8933,
  ETHTOOL: 0x8946,
} as const;
/** Bytes of struct ifreq; of the name in it, with its NUL; offset of the union behind it. */
export const IFREQ = { BYTES: 40, NAME_BYTES: 16, UNION: 16 } as const;
/** Flags of an interface. */
export const InterfaceFlag = { UP: 0x1, RUNNING: 0x40 } as const;
/** The hardware type of Ethernet (ARPHRD_ETHER). */
export const ARPHRD_ETHER = 1;

/** Commands of ETHTOOL, with the bytes of their structures. */
export const Ethtool = {
  /** struct ethtool_drvinfo: from 4 on, 32 bytes each: driver, its version, firmware, place on the bus. */
  GDRVINFO: { command: 0x3, bytes: 196 },
  /** struct ethtool_cmd: speed (low half at 12, high half at 28), duplex at 14. */
  GSET: { command: 0x1, bytes: 44 },
  /** struct ethtool_channels: rx, tx, other, combined: the most from 4, the current ones from 20. */
  GCHANNELS: { command: 0x3c, bytes: 36 },
} as const;
/** A full-duplex link in struct ethtool_cmd. */
export const DUPLEX_FULL = 1;

/** Options and types of memberships of a packet socket (linux/if_packet.h). */
export const Membership = {
  ADD: 1,
  DROP: 2,
  MULTICAST: 0,
  PROMISCUOUS: 1,
  UNICAST: 3,
} as const;

/** Returns struct packet_mreq: the address is empty for PROMISCUOUS. */
export function packetMreq(
  index: number,
  type: number,
  address: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const struct = new Uint8Array(16), view = new DataView(struct.buffer);
  view.setInt32(0, index, true);
  view.setUint16(4, type, true);
  view.setUint16(6, address.length, true);
  struct.set(address, 8);
  return struct;
}

/** Size of an Ethernet header with a VLAN tag, in bytes: what a frame has beyond the MTU. */
export const FRAME_OVERHEAD = 18;
