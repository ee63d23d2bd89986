/**
 * Feature bits of network devices that the driver supports (VirtIO 1.3, sections 5.1.3 and 6). It
 * negotiates no others.
 *
 * @module
 */

/** Feature bits, as values of the 64-bit feature word. */
export const Feature = {
  /** The configuration space contains the MAC address. */
  MAC: 1n << 5n,
  /** A packet may span several receive buffers. */
  MRG_RXBUF: 1n << 15n,
  /** The configuration space contains the link status. */
  STATUS: 1n << 16n,
  /** The device has a control queue. */
  CTRL_VQ: 1n << 17n,
  /** Receive modes and filters are set through the control queue. */
  CTRL_RX: 1n << 18n,
  /** The device has several pairs of queues; a command selects how many are used. */
  MQ: 1n << 22n,
  /** The MAC address is set through the control queue. */
  CTRL_MAC_ADDR: 1n << 23n,
  /** The device accepts any layout of header and data in descriptors. Legacy devices only. */
  ANY_LAYOUT: 1n << 27n,
  /** The device complies with VirtIO 1.0 or later. */
  VERSION_1: 1n << 32n,
  /**
   * The device uses addresses that an IOMMU may translate, as other PCI functions do. A driver must
   * accept it (section 6.1). `ModernPciTransport` then passes the addresses that its function has:
   * IOVAs through VFIO, physical ones through sysfs. vhost-user hides it.
   */
  ACCESS_PLATFORM: 1n << 33n,
  /** The device uses buffers in the order in which they were made available. */
  IN_ORDER: 1n << 35n,
  /**
   * The device may be hardware: memory accesses need the order that the platform guarantees to
   * devices, not only the order between processors (section 6). On x86-64 this driver's accesses
   * have both. The processor keeps the order of stores, and that of loads. `Virtqueue.publish` stores
   * the index with `Atomics.store` (`xchg`), a full barrier before the load of the notification
   * flags. PCI notifications are uncached stores or system calls, which follow all earlier stores.
   * DMA is coherent with the caches. AArch64 guarantees none of this, and JavaScript has no barrier
   * for devices (`dmb osh`): a port to it must not accept this feature.
   */
  ORDER_PLATFORM: 1n << 36n,
  /** The configuration space contains the link speed. */
  SPEED_DUPLEX: 1n << 63n,
} as const;

/**
 * The device accepts descriptors that point to tables of descriptors. Looked at, never negotiated.
 */
export const INDIRECT_DESC: bigint = 1n << 28n;

/** Returns the names of the features in a feature word; of an unknown one, its bit number. */
export function featureNames(features: bigint): string[] {
  const names = new Map<bigint, string>(Object.entries(Feature).map(([name, bit]) => [bit, name]));
  return Array.from({ length: 64 }, (_, i) => i)
    .filter((i) => features >> BigInt(i) & 1n)
    .map((i) => names.get(1n << BigInt(i)) ?? `${i}`);
}

/**
 * Returns which of the offered features to accept: all that the driver supports, except those that
 * have no use, or that it cannot combine with the rest.
 *
 * @param multiqueue Whether more than one pair of queues is used; default: no.
 */
export function negotiate(offered: bigint, multiqueue = false): bigint {
  let taken = 0n;
  for (const bit of Object.values(Feature)) taken |= offered & bit;
  if (taken & Feature.VERSION_1) taken &= ~Feature.ANY_LAYOUT; // implied (section 6.3)
  // Without ANY_LAYOUT, a legacy device requires the header in a descriptor of its own, which does
  // not go together with merged buffers (sections 2.7.4.3 and 5.1.6.4.1).
  else if ((taken & Feature.ANY_LAYOUT) === 0n) taken &= ~Feature.MRG_RXBUF;
  if (!multiqueue) taken &= ~Feature.MQ;
  // MQ stays: a transport without a control queue may enable pairs of queues in another way.
  if ((taken & Feature.CTRL_VQ) === 0n) taken &= ~(Feature.CTRL_RX | Feature.CTRL_MAC_ADDR);
  const commands = Feature.CTRL_RX | Feature.CTRL_MAC_ADDR | Feature.MQ;
  if ((taken & commands) === 0n) taken &= ~Feature.CTRL_VQ;
  return taken;
}
