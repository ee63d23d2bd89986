/**
 * The device interface that every driver has.
 *
 * @module
 */

import type { PacketBatch } from "./batch.ts";
import type { TransferredQueues } from "./transfer.ts";
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
   * then the interrupt is off until it is armed again. It is the device's, and goes with it.
   */
  readonly fd: number;
  /**
   * Turns the interrupt on. Packets that have arrived before may or may not cause one: look at the
   * queue after this and before sleeping.
   *
   * @throws {Error} if the device is closed.
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
   * @throws {Error} if a packet is in nobody's hand or longer than a buffer, the batch has another
   * pool, or the device is closed.
   */
  transmit(batch: PacketBatch): number;
  /** Gives the buffers of packets that have left back to the pool; returns how many. */
  reclaim(): number;
  /** Packets handed to the device whose buffers have not come back. */
  readonly pending: number;
}

/** A network device. Close it before its pool. */
export interface Device extends Disposable {
  /** The address it was opened under. */
  readonly address: string;
  /** Name of the driver: `ixgbe` or `virtio`. */
  readonly driver: string;
  /** What the device is: `82599 SFP+`. */
  readonly model: string;
  /** The pool of its receive buffers, from which it also transmits; that of its first queues. */
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
   * @param milliseconds How long to wait; 10,000 unless given.
   * @throws {DeviceError} if the link is still down then.
   */
  waitForLink(milliseconds?: number): Promise<LinkStatus>;
  /** The address that packets for this device have: 6 bytes. */
  macAddress(): Uint8Array;
  /**
   * Changes the address that packets for this device have, until it is closed.
   *
   * @param mac 6 bytes, not a multicast address.
   * @throws {UsageError} if it is no such address.
   */
  setMacAddress(mac: Uint8Array): void;
  /** Receives every packet on the wire, or only what is for this device. */
  setPromiscuous(on: boolean): void;
  /**
   * Receives packets for these multicast addresses also, and no longer for those set before. Filters
   * of devices are coarse: others may come along.
   *
   * @param addresses 6 bytes each; none to receive no multicast packet.
   * @throws {UsageError} if one is no multicast address.
   */
  setMulticast(addresses: readonly Uint8Array[]): void;
  /**
   * Counts since the device was opened. Misses and errors are the device's counts, which are exact if
   * this is called at least every four minutes; packets and bytes are exact however seldom.
   */
  statistics(): Statistics;
  /**
   * The device's own counters since it was opened, by the names of its specification. They are exact
   * if this is called at least every 50 seconds.
   */
  counters(): Readonly<Record<string, number>>;
  /**
   * Looks whether the device is still there. Call it every few milliseconds while polling.
   *
   * @throws {DeviceError} if it is gone.
   */
  checkAlive(): void;
  /**
   * Hands the receive and the transmit queue of one number over to a worker, which makes queues of its
   * own of what is returned (`adopt`). Here they can no longer be used, nor can their pool;
   * {@linkcode Device.statistics} goes on counting what the worker does. Close the device only once the
   * worker's thread has ended. A driver whose queues only the thread that opened them can use lacks it.
   *
   * @param number The number of the queues. Both have been used for nothing yet.
   * @throws {UsageError} if the device's doorbells are no memory, so that a worker cannot ring them.
   */
  transferQueues?(number: number): TransferredQueues;
  /** Stops the device, and only then gives up its memory. Again: nothing happens. */
  close(): void;
}

/** Options of `open`. */
export interface OpenOptions {
  /** The pool to use; a pool of the device's own unless given. */
  readonly pool?: Mempool;
  /**
   * In place of `pool`, one for each queue: receive queue i and transmit queue i use pool i. As many as
   * there are receive or transmit queues, whichever are more; buffers of one size. A pool may occur more
   * than once.
   */
  readonly pools?: readonly Mempool[];
  /**
   * Receive queues, 1 unless given: 1 to 16 of an ixgbe device, which spreads packets over them by their
   * RSS hash; 1 to what the other side offers, at most 16, of a VirtIO device, whose other side spreads
   * them.
   */
  readonly rxQueues?: number;
  /** Transmit queues, 1 unless given: 1 to 64 of an ixgbe device, as many as `rxQueues` of others. */
  readonly txQueues?: number;
  /**
   * The 40 bytes of the RSS hash's key, `RSS_KEY` unless given. With it an ixgbe device hashes even if
   * it has one receive queue. Other devices ignore it.
   */
  readonly rssKey?: Uint8Array;
  /** Descriptors of a receive ring: 64 to 4096, a power of two; 512 unless given. */
  readonly rxEntries?: number;
  /** Descriptors of a transmit ring: 64 to 4096, a power of two; 512 unless given. */
  readonly txEntries?: number;
  /** Whether to receive every packet on the wire; no unless given. */
  readonly promiscuous?: boolean;
  /**
   * Whether receive queues wake a program that sleeps in `Waiter`; no unless given. For ixgbe devices
   * through VFIO and vfio-user.
   */
  readonly interrupts?: boolean;
  /** Whether to take a NIC over even though its kernel interface is up; no unless given. */
  readonly force?: boolean;
  /**
   * Whether closing gives a NIC back to the kernel driver that it was taken from; no unless given. Its
   * interface is then there again, and down. Nothing happens where no kernel driver had it: a function
   * that is bound to vfio-pci stays so, and one of another process knows no kernel.
   */
  readonly rebind?: boolean;
  /**
   * Which interface of a VirtIO device that has both to use. Unless given, `legacy` of a PCI function
   * (where the bus allows it), and `modern` of a vhost-user back-end. Other devices ignore it.
   */
  readonly virtio?: "legacy" | "modern";
}
