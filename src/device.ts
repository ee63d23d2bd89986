/**
 * The device interface that every driver implements.
 *
 * @module
 */

import type { PacketBatch } from "./batch.ts";
import type { Mempool } from "./mempool.ts";

/** The module in a device's cage. */
export interface LinkModule {
  /** `10GBASE-SR`, `1000BASE-T`, `direct attach cable, passive`, …; `unknown` if it names none. */
  readonly kind: string;
  /** Name of its vendor. */
  readonly vendor: string;
  /** The vendor's part number. */
  readonly part: string;
  /** The vendor's serial number. */
  readonly serial: string;
  /** Speeds in Mbit/s that the driver tries with it, in this order. */
  readonly megabits: readonly number[];
  /** What may be wrong with it, in a sentence each; the driver uses it nevertheless. */
  readonly warnings: readonly string[];
}

/** State of the link. */
export interface LinkStatus {
  /** Whether packets can pass. */
  readonly up: boolean;
  /** Speed in Mbit/s; 0 while the link is down, or if the device does not report it. */
  readonly megabits: number;
  /** Duplex while the link is up, if the device reports it: `full` on ixgbe. */
  readonly duplex?: "full";
  /** The module, if the device has a cage and the driver could identify what is in it. */
  readonly module?: LinkModule;
  /**
   * Which pause frames are in force (IEEE 802.3x): `receive` obeys the other end's, `transmit` sends its
   * own. Undefined while the link is down, or if the device does not report it. ixgbe turns both off and
   * advertises neither.
   */
  readonly flowControl?: "none" | "receive" | "transmit" | "both";
  /** Why the link is down, as far as the driver knows. */
  readonly reason?: string;
  /**
   * Whether an attempt to bring the link up goes on in the background. If so, call
   * {@linkcode Device.waitForLink} again soon.
   */
  readonly retrying?: boolean;
}

/**
 * Counts since the device was opened. They do not wrap. They are exact up to 2^53, and rounded beyond:
 * at 10 Gbit/s that is 19 years of packets (14.88 million a second) and 83 days of bytes.
 */
export interface Statistics {
  /** Packets that the program received. */
  readonly rxPackets: number;
  /** Bytes of these packets, without CRC. */
  readonly rxBytes: number;
  /** Packets that the program passed to transmit queues. */
  readonly txPackets: number;
  /** Bytes of these packets, without CRC. */
  readonly txBytes: number;
  /** Packets that the device dropped because it had no free descriptor or packet buffer. */
  readonly rxMissed: number;
  /** Packets that arrived damaged, or with a size that the device does not accept. */
  readonly rxErrors: number;
  /** Packets that the driver dropped because they did not fit a buffer. */
  readonly rxTooLong: number;
  /** Packets that the driver dropped because the pool had no buffer to refill the ring with. */
  readonly rxNoBuffer: number;
  /**
   * Packets lost in flight: they were in a transmit queue, not reported as sent, when the process that served
   * the device ended. `txPackets` includes them. Undefined if the device does not reconnect.
   */
  readonly txLost?: number;
}

/** An interrupt of a receive queue or of the link, which wakes a sleeping program. `Waiter` handles it. */
export interface Interrupt {
  /**
   * A file descriptor, such as an eventfd, that becomes readable when a packet arrives, or the link changes,
   * after {@linkcode Interrupt.arm}. The interrupt then stays off until it is armed again. The device closes
   * the descriptor.
   */
  readonly fd: number;
  /**
   * Turns the interrupt on. Packets that arrived earlier may or may not cause one, so poll the queue
   * after arming and before sleeping. The interrupt of the link comes at once if the link has changed since
   * {@linkcode Device.linkStatus} was called last.
   *
   * @throws {Error} if the device is closed.
   * @throws {DeviceError} if the device is gone.
   */
  arm(): void;
}

/**
 * Plays the device for one queue in a rehearsal (`programs/rehearsal.ts`): what the queue writes to its
 * doorbell meanwhile does not reach the device, which has no descriptors of the queue. Disposing it puts the
 * queue back to what it was.
 *
 * @ignore
 */
export interface Understudy extends Disposable {
  /** Receives up to so many packets of 60 bytes, or reports so many as sent. */
  play(packets: number): void;
}

/** A receive queue. */
export interface RxQueue {
  /** Its number on the device, from 0. */
  readonly number: number;
  /** The pool of its buffers. */
  readonly pool: Mempool;
  /** Packets that the program received so far. */
  readonly packets: number;
  /** Its interrupt; undefined if the device was opened without `interrupts`. */
  readonly interrupt?: Interrupt | undefined;
  /**
   * Receives up to `batch.capacity` packets into an empty batch. Nonblocking.
   *
   * @returns The number of packets received, which is also `batch.length`.
   * @throws {Error} if the batch is not empty, the batch uses another pool, or the device is closed.
   * @throws {DeviceError} if the device returns buffers that it does not own, or is gone.
   */
  receive(batch: PacketBatch): number;
  /** @ignore See {@linkcode Understudy}; undefined if the device already has the queue's descriptors. */
  understudy?(): Understudy | undefined;
}

/** A transmit queue. */
export interface TxQueue {
  /** Its number on the device, from 0. */
  readonly number: number;
  /** The pool of its buffers. */
  readonly pool: Mempool;
  /**
   * Sends packets from the front of a batch, in order, as many as there are free descriptors.
   * Nonblocking. Packets that are sent leave the batch; the rest move to its front. A packet has 14 bytes
   * (an Ethernet header) to the pool's `maxLength`; ixgbe sends at most 15868. Ethernet pads packets of
   * less than 60 bytes, with zeros on ixgbe.
   *
   * @returns The number of packets sent.
   * @throws {Error} if the program does not own a packet's buffer or the packet is too short or too long
   * (the packets before it were sent), the batch uses another pool, or the device is closed.
   * @throws {DeviceError} if the device returns buffers that it does not own, or is gone.
   */
  transmit(batch: PacketBatch): number;
  /**
   * Returns the buffers of packets that the device has sent to the pool.
   *
   * @returns The number of buffers returned.
   * @throws {DeviceError} if the device returns buffers that it does not own.
   */
  reclaim(): number;
  /** @ignore See {@linkcode Understudy}; undefined if the queue was used, or its doorbell is a message. */
  understudy?(): Understudy | undefined;
  /** Packets passed to the device whose buffers have not returned to the pool yet. */
  readonly pending: number;
}

/**
 * A network device. Close it before its pool.
 *
 * In addition to what its methods list, each throws an Error if the device is closed, and a
 * {@linkcode DeviceError} if the device is gone: unplugged, or the process that serves it has ended.
 */
export interface Device extends Disposable {
  /** The address it was opened under. */
  readonly address: string;
  /** Name of the driver: `ixgbe`, `virtio` or `xdp`. */
  readonly driver: string;
  /** Name of the model: `82599 SFP+`. */
  readonly model: string;
  /** The pool of its first queues. */
  readonly pool: Mempool;
  /** Its receive queues, by number. */
  readonly rxQueues: readonly RxQueue[];
  /** Its transmit queues, by number. */
  readonly txQueues: readonly TxQueue[];
  /**
   * The interrupt that signals changes of the link; undefined if the device was opened without
   * `interrupts`.
   */
  readonly linkInterrupt?: Interrupt | undefined;
  /**
   * Ends the standby of a device that was opened with `standby`: it receives from now on. Idempotent. Other
   * devices need not have it.
   *
   * @throws {Error} if the device is closed.
   */
  endStandby?(): void;
  /** Returns the state of the link. */
  linkStatus(): LinkStatus;
  /**
   * Waits until the link is up, and meanwhile does what it needs: reads a module that was plugged in,
   * makes another attempt, at another speed. Nothing else does that once the device is open, so call this
   * from time to time while the link is down; 0 ms makes one attempt, if it is due.
   *
   * @param milliseconds The longest time to wait (default: 10,000).
   * @throws {DeviceError} if the link is still down after that time.
   * @throws {UsageError} if the time is negative or NaN.
   * @throws {StopError} if a StopFlag has caught a signal.
   */
  waitForLink(milliseconds?: number): Promise<LinkStatus>;
  /** Returns the device's unicast MAC address: 6 bytes. */
  macAddress(): Uint8Array;
  /**
   * Changes the device's MAC address until it is closed.
   *
   * @param mac A unicast address: 6 bytes.
   * @throws {UsageError} if it is not a unicast address, or the device cannot change its address.
   * @throws {DeviceError} if the device refuses.
   */
  setMacAddress(mac: Uint8Array): void;
  /**
   * Turns promiscuous mode on (receive every packet on the wire) or off. It has no effect on a VirtIO
   * device without CTRL_RX, which receives whatever its back-end passes on.
   *
   * @throws {DeviceError} if the device refuses.
   */
  setPromiscuous(on: boolean): void;
  /**
   * Sets the multicast addresses to receive; they replace those set before. Device filters are coarse,
   * so packets for other multicast addresses may pass too.
   *
   * @param addresses 6 bytes each; an empty array receives no multicast packets.
   * @throws {UsageError} if an address is not a multicast address.
   * @throws {DeviceError} if the device refuses.
   */
  setMulticast(addresses: readonly Uint8Array[]): void;
  /**
   * Returns counts since the device was opened. Misses and errors come from the device's counters, and
   * are exact if this is called at least every four minutes. Packets and bytes are always exact.
   *
   * @param refresh Whether to read the device's counters (default: true). Without that the call is fast,
   * and misses and errors are those of the last call that did.
   */
  statistics(refresh?: boolean): Statistics;
  /**
   * Returns the device's own counters since it was opened, by the names in its specification; empty for
   * VirtIO devices, which have none. They are exact up to 2^53 if this is called at least every 50
   * seconds.
   */
  counters(): Readonly<Record<string, number>>;
  /**
   * Checks that the device is still there. Call it every few milliseconds while polling.
   *
   * @throws {DeviceError} if the device is gone or has stopped.
   */
  checkAlive(): void;
  /**
   * Stops the device, then releases its memory. Idempotent.
   *
   * @throws {DeviceError} if the device does not stop in time, DMA cannot be turned off, or the kernel
   * driver does not take the device back (option `rebind`). Memory that the device may still reach stays
   * allocated until the process ends; everything else is released.
   * @throws {SuppressedError} if several of these happen.
   * @throws {SystemError} if the kernel refuses to unmap memory.
   */
  close(): void;
}

/**
 * Options of `open`. An option that the device does not support, an unknown name or a value of another
 * type is refused with a {@linkcode UsageError}. `force` and `rebind` have no effect on a device that no
 * kernel driver is bound to. `guard` has no effect on a device that is not accessed through sysfs.
 */
export interface OpenOptions {
  /** The pool of all queues (default: the device creates its own). */
  readonly pool?: Mempool;
  /**
   * One pool for each queue, instead of `pool`: receive queue i and transmit queue i use pool i. There
   * must be as many as receive or transmit queues, whichever is more, with one buffer size. A pool may
   * occur several times.
   */
  readonly pools?: readonly Mempool[];
  /**
   * Number of receive queues (default: 1). ixgbe: 1 to 16; the device spreads packets over them by their
   * RSS hash. VirtIO: 1 to what the back-end offers, at most 16; the back-end spreads packets. AF_XDP: as
   * many as the interface has, at most 64; the interface spreads packets.
   */
  readonly rxQueues?: number;
  /**
   * Number of transmit queues (default: 1). ixgbe: 1 to 64. VirtIO and AF_XDP: the same number as
   * `rxQueues`.
   */
  readonly txQueues?: number;
  /**
   * The key of the RSS hash, 40 bytes (default: {@linkcode RSS_KEY}). If it is set, the device hashes
   * packets even with one receive queue. ixgbe only.
   */
  readonly rssKey?: Uint8Array;
  /**
   * Descriptors per receive ring: a power of two from 64 to 4096 (default: 512). For VirtIO it is a number
   * of packets, each of which needs up to two descriptors, and a PCI device limits it. Over vhost-user, the
   * default is a queue of 1024 descriptors if the back-end reports the device status, as DPDK does, and
   * otherwise of 256, which every back-end accepts.
   */
  readonly rxEntries?: number;
  /** Descriptors per transmit ring: the same values, default and limits as `rxEntries`. */
  readonly txEntries?: number;
  /**
   * The speeds in Mbit/s that the link may have, such as `[1000, 10000]` (default: all that the port and
   * its module can have, except 2500 and 5000, because some switches fail to negotiate with a port that
   * offers them). 82599 with SFP+, KX4 or KR: 1000 and 10000. X540: also 100. X550: also 100, 2500 and
   * 5000. ixgbe only.
   */
  readonly speeds?: readonly number[];
  /** Whether to start in promiscuous mode, see {@linkcode Device.setPromiscuous} (default: false). */
  readonly promiscuous?: boolean;
  /**
   * Whether the device receives nothing, and misses the packets that arrive, until
   * {@linkcode Device.endStandby} (default: false): time for a program to prepare in. Has an effect on ixgbe
   * only.
   */
  readonly standby?: boolean;
  /**
   * Whether receive queues and the link have interrupts, for `Waiter` (default: false). Only ixgbe
   * devices accessed through VFIO or vfio-user, and network interfaces (AF_XDP).
   */
  readonly interrupts?: boolean;
  /**
   * Whether to take over a device whose kernel interface is up, or, with AF_XDP, an interface that has an
   * address or the default route, or is part of a bridge or bond (default: false).
   */
  readonly force?: boolean;
  /**
   * Whether closing returns the device to the kernel driver that it was taken from (default: false). Its
   * kernel interface then exists again, and is down.
   */
  readonly rebind?: boolean;
  /**
   * Whether a guard process turns the device's DMA off if this process ends without closing the device, by
   * SIGKILL for instance (default: true). Without a guard, the device then goes on writing to memory that
   * other programs use. Only devices accessed through sysfs need one.
   */
  readonly guard?: boolean;
  /**
   * Called with a sentence if `open` has to wait until a back-end connects to `vhost-user-server:PATH`, however
   * long that takes (default: prints nothing).
   */
  readonly onWait?: (sentence: string) => void;
  /** Aborts this wait: `open` then throws the signal's reason (default: no signal). */
  readonly signal?: AbortSignal;
  /**
   * The interface to use of a VirtIO device that has both (default: `legacy` for a PCI function accessed
   * through sysfs, else `modern`). VirtIO only.
   */
  readonly virtio?: "legacy" | "modern";
  /** How to use a network interface of Linux. `xdp:NAME` only. */
  readonly xdp?: XdpOptions;
}

/** How to use a network interface of Linux through AF_XDP. */
export interface XdpOptions {
  /**
   * How frames pass between the kernel and this process. `zero-copy`: the NIC reads and writes the pool's
   * memory; few drivers have it. `copy`: the kernel copies each frame, and the interface's driver runs the
   * XDP program. `generic`: the kernel copies each frame, and runs the program itself, which works with
   * every driver and is the slowest. `auto` (default): the first of them that the driver has.
   */
  readonly mode?: "auto" | "zero-copy" | "copy" | "generic";
  /**
   * Traffic that goes to the kernel as before, and not to the program (default: none): `arp`, `icmp` (also
   * ICMPv6), `tcp`, `udp`, or with a port, `tcp:22`, that is the source or the destination. Not in frames
   * with VLAN tags, extension headers of IPv6, and, for ports, fragments of IPv4 after the first.
   */
  readonly pass?: readonly string[];
  /** The only traffic that goes to the program, in the words of `pass`; all other goes to the kernel. */
  readonly take?: readonly string[];
}
