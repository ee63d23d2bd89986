/**
 * Feature bits of network devices (VirtIO 1.3, sections 5.1.3 and 6): those that the driver handles,
 * and no other is ever negotiated.
 *
 * @module
 */

/** Feature bits, as values of the 64-bit feature word. */
export const Feature = {
  /** The configuration space has the MAC address. */
  MAC: 1n << 5n,
  /** A packet may be spread over several receive buffers. */
  MRG_RXBUF: 1n << 15n,
  /** The configuration space has the link status. */
  STATUS: 1n << 16n,
  /** There is a control queue. */
  CTRL_VQ: 1n << 17n,
  /** Receive modes and filters are set through the control queue. */
  CTRL_RX: 1n << 18n,
  /** There are several pairs of queues, of which a command says how many are used. */
  MQ: 1n << 22n,
  /** The MAC address is set through the control queue. */
  CTRL_MAC_ADDR: 1n << 23n,
  /** The driver may lay out headers and data in descriptors as it likes. Legacy devices only. */
  ANY_LAYOUT: 1n << 27n,
  /** The device is one of VirtIO 1.0 or later. */
  VERSION_1: 1n << 32n,
  /** The device's addresses are those of its bus, which an IOMMU may translate. */
  ACCESS_PLATFORM: 1n << 33n,
  /** The device uses buffers in the order in which they were made available. */
  IN_ORDER: 1n << 35n,
  /** The configuration space has the link speed. */
  SPEED_DUPLEX: 1n << 63n,
} as const;

/** The device takes descriptors that point to tables of descriptors. Not used, but telling. */
export const INDIRECT_DESC: bigint = 1n << 28n;

/** Names of the features in a feature word, for messages; the bit's number for those unknown here. */
export function featureNames(features: bigint): string[] {
  const names = new Map<bigint, string>(Object.entries(Feature).map(([name, bit]) => [bit, name]));
  return Array.from({ length: 64 }, (_, i) => i)
    .filter((i) => features >> BigInt(i) & 1n)
    .map((i) => names.get(1n << BigInt(i)) ?? `${i}`);
}

/**
 * The features to take of those offered. Every one that is handled is taken, except where it would be
 * of no use, or cannot be handled together with what else is there.
 *
 * @param multiqueue Whether more than one pair of queues is to be used; no unless given.
 */
export function negotiate(offered: bigint, multiqueue = false): bigint {
  let taken = 0n;
  for (const bit of Object.values(Feature)) taken |= offered & bit;
  if (taken & Feature.VERSION_1) taken &= ~Feature.ANY_LAYOUT; // implied (section 6.3)
  // Headers stand in descriptors of their own here, which is what a legacy device without ANY_LAYOUT
  // wants, but not of one that may merge buffers (section 2.7.4.3, 5.1.6.4.1).
  else if ((taken & Feature.ANY_LAYOUT) === 0n) taken &= ~Feature.MRG_RXBUF;
  if (!multiqueue) taken &= ~Feature.MQ;
  // A transport without a control queue may have another way to say how many pairs are used.
  if ((taken & Feature.CTRL_VQ) === 0n) taken &= ~(Feature.CTRL_RX | Feature.CTRL_MAC_ADDR);
  const commands = Feature.CTRL_RX | Feature.CTRL_MAC_ADDR | Feature.MQ;
  if ((taken & commands) === 0n) taken &= ~Feature.CTRL_VQ;
  return taken;
}
