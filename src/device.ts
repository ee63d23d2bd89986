/**
 * The device interface that every driver has.
 *
 * @module
 */

import type { PacketBatch } from "./batch.ts";
import type { Mempool } from "./mempool.ts";

/** State of a link. */
export interface LinkStatus {
  /** Whether packets can pass. */
  readonly up: boolean;
  /** Speed in Mbit/s; 0 while the link is down, or if the device does not say. */
  readonly megabits: number;
}

/**
 * Counts since a device was opened. They do not wrap, and are exact up to 2^53: packets for 19 years at
 * the 14.88 million a second of 10 Gbit/s, bytes for 83 days at 10 Gbit/s; beyond that they are rounded.
 */
export interface Statistics {
  /** Packets handed to the program. */
  readonly rxPackets: number;
  /** Bytes of these packets, without CRC. */
  readonly rxBytes: number;
  /** Packets taken from the program. */
  readonly txPackets: number;
  /** Bytes of these packets, without CRC. */
  readonly txBytes: number;
  /** Packets that the device dropped because it had no free descriptor or packet buffer. */
  readonly rxMissed: number;
  /** Packets that arrived damaged, or outside the sizes that the device takes. */
  readonly rxErrors: number;
  /** Packets that the driver dropped because they did not fit a buffer. */
  readonly rxTooLong: number;
  /** Packets that the driver dropped because the pool had no buffer to replace theirs. */
  readonly rxNoBuffer: number;
}

/** How a receive queue wakes a program that sleeps; `Waiter` does all that is to be done with it. */
export interface RxInterrupt {
  /**
   * An eventfd, which becomes readable when a packet arrives after {@linkcode RxInterrupt.arm}: once,
   * then the interrupt is off until it is armed again. The device closes it.
   */
  readonly fd: number;
  /**
   * Turns the interrupt on. Packets that have arrived before may or may not cause one: look at the
   * queue after this and before sleeping.
   *
   * @throws {Error} if the device is closed.
   * @throws {DeviceError} if the device is gone.
   */
  arm(): void;
}

/** A receive queue. */
export interface RxQueue {
  /** Its number on the device, from 0. */
  readonly number: number;
  /** The pool of its buffers. */
  readonly pool: Mempool;
  /** Packets handed to the program so far. */
  readonly packets: number;
  /** Its interrupt, where the device was opened with `interrupts`. */
  readonly interrupt?: RxInterrupt | undefined;
  /**
   * Receives up to `batch.capacity` packets into an empty batch. Does not wait.
   *
   * @returns The number of packets, which is also `batch.length`.
   * @throws {Error} if the batch is not empty, has another pool, or the device is closed.
   * @throws {DeviceError} if the device returns buffers that it does not have, or is gone.
   */
  receive(batch: PacketBatch): number;
}

/** A transmit queue. */
export interface TxQueue {
  /** Its number on the device, from 0. */
  readonly number: number;
  /** The pool of its buffers. */
  readonly pool: Mempool;
  /**
   * Sends the packets of a batch in order, as many as there are free descriptors for. Does not wait.
   * Those sent leave the batch, the rest move to its front.
   *
   * @returns The number of packets sent.
   * @throws {Error} if a packet is not in hand or longer than a buffer (those before it were sent), the
   * batch has another pool, or the device is closed.
   * @throws {DeviceError} if the device returns buffers that it does not have, or is gone.
   */
  transmit(batch: PacketBatch): number;
  /**
   * Gives the buffers of packets that have left back to the pool.
   *
   * @returns How many there were.
   * @throws {DeviceError} if the device returns buffers that it does not have.
   */
  reclaim(): number;
  /** Packets handed to the device whose buffers have not come back. */
  readonly pending: number;
}

/**
 * A network device. Close it before its pool.
 *
 * Beside what its methods list, each throws an Error if the device is closed, and a
 * {@linkcode DeviceError} if it is gone: pulled out, or the process that serves it has ended.
 */
export interface Device extends Disposable {
  /** The address it was opened under. */
  readonly address: string;
  /** Name of the driver: `ixgbe` or `virtio`. */
  readonly driver: string;
  /** What the device is: `82599 SFP+`. */
  readonly model: string;
  /** The pool of its first queues. */
  readonly pool: Mempool;
  /** Its receive queues; the index is the number. */
  readonly rxQueues: readonly RxQueue[];
  /** Its transmit queues; the index is the number. */
  readonly txQueues: readonly TxQueue[];
  /** The state of the link. */
  linkStatus(): LinkStatus;
  /**
   * Waits until the link is up.
   *
   * @param milliseconds How long to wait; by default 10,000.
   * @throws {DeviceError} if the link is still down then.
   * @throws {UsageError} if the time is not a number from 0 up.
   */
  waitForLink(milliseconds?: number): Promise<LinkStatus>;
  /** The address that packets for this device have: 6 bytes. */
  macAddress(): Uint8Array;
  /**
   * Changes the address that packets for this device have, until it is closed.
   *
   * @param mac 6 bytes, not a multicast address.
   * @throws {UsageError} if it is not such an address, or the device cannot change its own.
   * @throws {DeviceError} if the device refuses.
   */
  setMacAddress(mac: Uint8Array): void;
  /**
   * Receives every packet on the wire, or only what is for this device. A VirtIO device without CTRL_RX
   * receives what its other side passes on, whatever this says.
   *
   * @throws {DeviceError} if the device refuses.
   */
  setPromiscuous(on: boolean): void;
  /**
   * Receives packets for these multicast addresses also, and no longer for those set before. Filters
   * of devices are coarse: others may come along.
   *
   * @param addresses 6 bytes each; none to receive no multicast packet.
   * @throws {UsageError} if one is not a multicast address.
   * @throws {DeviceError} if the device refuses.
   */
  setMulticast(addresses: readonly Uint8Array[]): void;
  /**
   * Counts since the device was opened. Misses and errors are the device's counts, which are exact if
   * this is called at least every four minutes; packets and bytes are exact however seldom.
   */
  statistics(): Statistics;
  /**
   * The device's own counters since it was opened, by the names of its specification; none of a VirtIO
   * device, which has none. They are exact up to 2^53, if this is called at least every 50 seconds.
   */
  counters(): Readonly<Record<string, number>>;
  /**
   * Looks whether the device is still there. Call it every few milliseconds while polling.
   *
   * @throws {DeviceError} if it is gone, or has stopped.
   */
  checkAlive(): void;
  /**
   * Stops the device, and only then gives up its memory. Idempotent.
   *
   * @throws {DeviceError} if the device does not come to rest, DMA cannot be turned off, or the kernel
   * driver of `rebind` does not take the device. What the device may still reach stays allocated until
   * the process ends; all else is given up.
   * @throws {SuppressedError} if more than one of these happens.
   * @throws {SystemError} if the kernel refuses to unmap memory.
   */
  close(): void;
}

/**
 * Options of `open`. What a device does not support is refused with a {@linkcode UsageError}, as are unknown
 * names and values of another type. `force` and `rebind` are about a kernel driver that has the device:
 * without one there is nothing for them to do.
 */
export interface OpenOptions {
  /** The pool to use; by default the device has one of its own. */
  readonly pool?: Mempool;
  /**
   * In place of `pool`, one for each queue: receive queue i and transmit queue i use pool i. As many as
   * there are receive or transmit queues, whichever are more; buffers of one size. A pool may occur more
   * than once.
   */
  readonly pools?: readonly Mempool[];
  /**
   * Receive queues, by default 1: 1 to 16 of an ixgbe device, which spreads packets over them by their
   * RSS hash; 1 to what the other side offers, at most 16, of a VirtIO device, whose other side spreads
   * them.
   */
  readonly rxQueues?: number;
  /** Transmit queues, by default 1: 1 to 64 of an ixgbe device, as many as `rxQueues` of VirtIO. */
  readonly txQueues?: number;
  /**
   * The 40 bytes of the RSS hash's key, by default {@linkcode RSS_KEY}. With it a device hashes even if it has one
   * receive queue. ixgbe devices only.
   */
  readonly rssKey?: Uint8Array;
  /** Descriptors of a receive ring: 64 to 4096, a power of two; by default 512. */
  readonly rxEntries?: number;
  /** Descriptors of a transmit ring: 64 to 4096, a power of two; by default 512. */
  readonly txEntries?: number;
  /** Whether to receive every packet on the wire, see {@linkcode Device.setPromiscuous}; by default no. */
  readonly promiscuous?: boolean;
  /**
   * Whether receive queues wake a program that sleeps in `Waiter`; by default no. ixgbe devices through
   * VFIO and vfio-user only.
   */
  readonly interrupts?: boolean;
  /** Whether to take a device over even though its kernel interface is up; by default no. */
  readonly force?: boolean;
  /**
   * Whether closing gives a device back to the kernel driver that it was taken from; by default no. Its
   * interface is then there again, and down.
   */
  readonly rebind?: boolean;
  /**
   * Which interface of a VirtIO device that has both to use; by default `legacy` of a PCI function by
   * sysfs, else `modern`. VirtIO devices only.
   */
  readonly virtio?: "legacy" | "modern";
}
