/**
 * What drivers are to `open`, and what they share away from the hot path: options checked, the pools
 * that queues need, what queues refuse, MAC addresses, waiting for a link.
 *
 * @module
 */

import { delay } from "../native/clock.ts";
import type { PacketBatch } from "./batch.ts";
import type { Device, LinkStatus, OpenOptions } from "./device.ts";
import { DeviceError, UsageError } from "./errors.ts";
import { MAX_BUFFERS, Mempool } from "./mempool.ts";
import type { PciFunction } from "./pci/function.ts";

const MIN_ENTRIES = 64, MAX_ENTRIES = 4096, DEFAULT_ENTRIES = 512;

/** A driver: which functions it drives, and how it takes one over. */
export interface Driver {
  /** Name of the driver. */
  readonly name: string;
  /** The PCI vendor id of the functions that it is for. */
  readonly vendor: number;
  /** The scheme of addresses of devices that are no PCI functions: `vhost-user`. */
  readonly scheme?: string;
  /**
   * Opens a device of this scheme. If it throws, nothing was changed.
   *
   * @param address The whole address, for messages.
   * @param path What follows the scheme.
   * @throws {UsageError} if there is no such device, it is not supported or an option is out of range.
   * @throws {DeviceError} if the device does not do as its specification says.
   */
  connect?(address: string, path: string, options: OpenOptions): Promise<Device>;
  /**
   * Takes a function over. If it throws, the caller closes the bus.
   *
   * @throws {UsageError} if the driver does not support the device or an option is out of range.
   * @throws {DeviceError} if the device does not do as its specification says.
   */
  attach(pci: PciFunction, options: OpenOptions): Promise<Device>;
}

/** How many queues a device has at most. */
export interface QueueLimits {
  /** Receive queues. */
  readonly rx: number;
  /** Transmit queues. */
  readonly tx: number;
}

/** The options of a device's queues, checked. */
export interface QueueOptions {
  /** Packets that a receive queue has buffers for at most. */
  readonly rxEntries: number;
  /** Packets that a transmit queue holds at most. */
  readonly txEntries: number;
  /** Number of receive queues. */
  readonly rxQueues: number;
  /** Number of transmit queues. */
  readonly txQueues: number;
  /** The pool of each queue's buffers: receive queue i and transmit queue i have pool i. */
  readonly pools: readonly Mempool[];
  /** The first of them. */
  readonly pool: Mempool;
  /** Whether the pool is the device's own, and goes with it. */
  readonly ownPool: boolean;
}

/**
 * Checks numbers and sizes of queues and their pools, and makes a pool where none is given.
 *
 * @param address The device's address, for messages.
 * @param limits The most queues that the device has.
 * @throws {UsageError} if a number or size is out of range, or a pool has too few free buffers.
 */
export function queueOptions(
  address: string,
  options: OpenOptions,
  limits: QueueLimits = { rx: 1, tx: 1 },
): QueueOptions {
  const { rxEntries = DEFAULT_ENTRIES, txEntries = DEFAULT_ENTRIES, rxQueues = 1, txQueues = 1 } =
    options;
  checkEntries(address, "rxEntries", rxEntries);
  checkEntries(address, "txEntries", txEntries);
  checkQueues(address, "rxQueues", rxQueues, limits.rx);
  checkQueues(address, "txQueues", txQueues, limits.tx);
  const count = Math.max(rxQueues, txQueues);
  checkPools(address, options, count);
  const {
    pools = Array<Mempool>(count).fill(options.pool ?? ownPool(options, rxQueues, txQueues)),
  } = options;
  checkBuffers(address, pools.slice(0, rxQueues), rxEntries);
  return {
    rxEntries,
    txEntries,
    rxQueues,
    txQueues,
    pools,
    pool: pools[0],
    ownPool: options.pool === undefined && options.pools === undefined,
  };
}

/** A pool that all rings can be filled from, and some hundred packets be in hand beside. */
function ownPool(
  { rxEntries = DEFAULT_ENTRIES, txEntries = DEFAULT_ENTRIES }: OpenOptions,
  rx: number,
  tx: number,
) {
  // Transmit rings share what is left where they are more than a pool has buffers for.
  const buffers = Math.min(rxEntries * rx + txEntries * tx + 1024, MAX_BUFFERS);
  return new Mempool({ buffers });
}

/** What options of queues are about, in messages. */
const DIRECTION = {
  rxQueues: "receive",
  txQueues: "transmit",
  rxEntries: "receive",
  txEntries: "transmit",
} as const;

function checkQueues(
  address: string,
  option: "rxQueues" | "txQueues",
  queues: number,
  most: number,
): void {
  if (Number.isInteger(queues) && queues >= 1 && queues <= most) return;
  const what = DIRECTION[option];
  throw new UsageError(
    most === 1
      ? `${address}: the device has one ${what} queue, not ${queues}`
      : `${address}: the device has 1 to ${most} ${what} queues, not ${queues}`,
    { option },
  );
}

function checkPools(address: string, { pool, pools }: OpenOptions, count: number): void {
  if (pools === undefined) return;
  const refuse = (problem: string) => new UsageError(`${address}: ${problem}`, { option: "pools" });
  if (pool !== undefined) throw refuse("give either a pool or pools, not both");
  if (pools.length !== count) {
    throw refuse(`of pools there is one for each queue, ${count}, not ${pools.length}`);
  }
  const { bufferSize } = pools[0];
  if (pools.some((other) => other.bufferSize !== bufferSize)) {
    throw refuse("the pools of a device have buffers of one size");
  }
}

/**
 * Checks that each pool can fill the receive rings that it is for.
 *
 * @param pools The pool of each ring.
 * @throws {UsageError} if one has too few free buffers.
 */
export function checkBuffers(address: string, pools: readonly Mempool[], entries: number): void {
  for (const pool of new Set(pools)) {
    const rings = pools.filter((other) => other === pool).length;
    if (pool.freeCount >= entries * rings) continue;
    const what = rings === 1
      ? `a receive ring of ${entries} needs`
      : `${rings} receive rings of ${entries} need`;
    throw new UsageError(
      `${address}: ${what} as many free buffers, and the pool has ${pool.freeCount}: make the pool ` +
        "larger or the ring smaller",
      { option: "rxEntries" },
    );
  }
}

function checkEntries(address: string, option: "rxEntries" | "txEntries", entries: number): void {
  if (entries >= MIN_ENTRIES && entries <= MAX_ENTRIES && Number.isInteger(Math.log2(entries))) {
    return;
  }
  throw new UsageError(
    `${address}: a ${
      DIRECTION[option]
    } ring has ${MIN_ENTRIES} to ${MAX_ENTRIES} descriptors, a power of two, not ${entries}`,
    { option },
  );
}

/** Says why a queue does not take a batch. */
export function refuseBatch(
  verb: string,
  batch: PacketBatch,
  pool: Mempool,
  closed: boolean,
): void {
  if (closed) throw new Error(`${verb} on a closed device, or on a queue that a worker has`);
  if (batch.pool !== pool) {
    throw new Error("the batch is of another pool than the device: open both with one pool");
  }
  throw new Error(`the batch holds ${batch.length} packets: send or free them before receiving`);
}

/**
 * Moves the packets of a batch that were not sent to its front.
 *
 * @param refused Whether the first of them cannot be sent at all.
 * @throws {Error} if so.
 */
export function keepUnsent(batch: PacketBatch, sent: number, refused: boolean): void {
  batch.buffers.copyWithin(0, sent, batch.length);
  batch.length -= sent;
  if (!refused) return;
  const buffer = batch.buffers[0], size = batch.pool.lengths[buffer];
  throw new Error(
    size > 0
      ? `the packet in buffer ${buffer} has ${size} bytes, a buffer has ${batch.pool.bufferSize}`
      : `buffer ${buffer} is sent, but nobody has it in hand`,
  );
}

/**
 * Checks an address that a device is to have.
 *
 * @throws {UsageError} if it is no unicast address of 6 bytes.
 */
export function checkUnicast(device: string, mac: Uint8Array): void {
  if (mac.length === 6 && !(mac[0] & 1) && mac.some((byte) => byte !== 0)) return;
  throw new UsageError(`${device}: ${formatMac(mac)} is no unicast MAC address of 6 bytes`);
}

/**
 * Checks addresses of groups.
 *
 * @throws {UsageError} if one is no multicast address of 6 bytes.
 */
export function checkMulticast(device: string, addresses: readonly Uint8Array[]): void {
  for (const mac of addresses) {
    if (mac.length === 6 && mac[0] & 1) continue;
    throw new UsageError(`${device}: ${formatMac(mac)} is no multicast MAC address of 6 bytes`);
  }
}

/** An address as people write it: `52:54:00:12:34:56`. */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":") || "nothing";
}

/**
 * Waits until a link is up.
 *
 * @param status Asks the device.
 * @throws {DeviceError} if the link is still down after so many milliseconds.
 * @throws {UsageError} if that is not a number from 0 up.
 */
export async function waitForLink(
  device: string,
  status: () => LinkStatus,
  milliseconds: number,
): Promise<LinkStatus> {
  if (!(milliseconds >= 0)) {
    throw new UsageError(`${device}: to wait for a link takes 0 ms or more, not ${milliseconds}`);
  }
  const deadline = performance.now() + milliseconds;
  for (;;) {
    const now = status();
    if (now.up) return now;
    if (performance.now() >= deadline) {
      throw new DeviceError(
        device,
        `no link after ${milliseconds} ms: check the cable, the module and the other end`,
      );
    }
    await delay(10);
  }
}
