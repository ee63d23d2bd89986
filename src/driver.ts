/**
 * The interface of a driver, and what drivers share outside the hot path: checks of queue options and
 * pools, errors of queues, MAC addresses, waiting for the link.
 *
 * @module
 */

import { waitUntil } from "../native/clock.ts";
import { stoppable } from "../native/stop.ts";
import type { PacketBatch } from "./batch.ts";
import type { Device, LinkStatus, OpenOptions } from "./device.ts";
import { DeviceError, lostMemory, UsageError } from "./errors.ts";
import { MAX_BUFFERS, Mempool } from "./mempool.ts";
import type { PciFunction } from "./pci/function.ts";

/** Milliseconds between two looks at a link that is down. */
const LINK_PAUSE_MS = 10;
const MIN_ENTRIES = 64, MAX_ENTRIES = 4096;
/** The default of the options `rxEntries` and `txEntries`. */
export const DEFAULT_ENTRIES = 512;

/** A driver: which devices it supports, and how it opens one. */
export interface Driver {
  /** Name of the driver. */
  readonly name: string;
  /** The PCI vendor ID of the functions that it supports; undefined if it supports none. */
  readonly vendor?: number;
  /** The address schemes of devices that are not PCI functions: `vhost-user`. */
  readonly schemes?: readonly string[];
  /** What follows the scheme: the path of a Unix socket (default), or the name of an interface. */
  readonly names?: "interface";
  /** Bytes before each packet for which its devices have use, see `QueueLimits`; default: none. */
  readonly headroom?: number;
  /** Whether its devices take spread pools, see `QueueLimits`. */
  readonly spread?: boolean;
  /**
   * Opens a device of one of these schemes. If it throws, nothing has changed.
   *
   * @param address The whole address, for messages.
   * @param path The part of the address after the scheme.
   * @throws {UsageError} if the device does not exist or is not supported, or an option is out of range.
   * @throws {DeviceError} if the device does not follow its specification.
   */
  connect?(address: string, path: string, options: OpenOptions): Promise<Device>;
  /** As for {@linkcode PciDriver.attach}; undefined if the driver supports no PCI functions. */
  attach?(pci: PciFunction, options: OpenOptions): Promise<Device>;
}

/** A driver of PCI functions. */
export interface PciDriver extends Driver {
  readonly vendor: number;
  /**
   * Opens a device on a PCI function, which the device owns from then on. If it throws, the caller closes
   * the function.
   *
   * @throws {UsageError} if the driver does not support the device, or an option is out of range.
   * @throws {DeviceError} if the device does not follow its specification.
   */
  attach(pci: PciFunction, options: OpenOptions): Promise<Device>;
}

/** The most queues that a device can have, and what its pools can be. */
export interface QueueLimits {
  /** Receive queues. */
  readonly rx: number;
  /** Transmit queues. */
  readonly tx: number;
  /**
   * The headroom of a pool that the driver creates, in bytes; it then accepts any. Default: the driver accepts
   * only pools without headroom, because its device would write beyond a buffer.
   */
  readonly headroom?: number;
  /**
   * Whether the driver takes spread pools, and creates one. Default: only pools with one buffer right behind the
   * other.
   */
  readonly spread?: boolean;
}

/** The checked options of a device's queues. */
export interface QueueOptions {
  /** Descriptors per receive ring. */
  readonly rxEntries: number;
  /** Descriptors per transmit ring. */
  readonly txEntries: number;
  /** The ring sizes that the program set. */
  readonly explicit: Pick<OpenOptions, "rxEntries" | "txEntries">;
  /** Number of receive queues. */
  readonly rxQueues: number;
  /** Number of transmit queues. */
  readonly txQueues: number;
  /** The pool of each queue: receive queue i and transmit queue i use pool i. */
  readonly pools: readonly Mempool[];
  /** The first pool. */
  readonly pool: Mempool;
  /** Whether the device owns the pool and disposes it. */
  readonly ownPool: boolean;
}

/**
 * Checks the number and size of queues and their pools, and creates a pool if none is given.
 *
 * @param address The device's address, for messages.
 * @param limits The most queues that the device can have.
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
  checkPools(address, options, count, limits);
  const {
    pools = Array<Mempool>(count).fill(
      options.pool ?? ownPool(options, rxQueues, txQueues, limits),
    ),
  } = options;
  // Abandoned buffers return to their pool once a process serves the same address again.
  checkBuffers(address, pools.slice(0, rxQueues), rxEntries, (pool) => pool.abandoned);
  return {
    rxEntries,
    txEntries,
    explicit: options,
    rxQueues,
    txQueues,
    pools,
    pool: pools[0],
    ownPool: options.pool === undefined && options.pools === undefined,
  };
}

/** Creates a pool that can fill all rings, with some hundred buffers to spare for the program. */
function ownPool(
  { rxEntries = DEFAULT_ENTRIES, txEntries = DEFAULT_ENTRIES }: OpenOptions,
  rx: number,
  tx: number,
  { headroom = 0, spread = false }: QueueLimits,
) {
  // With many transmit rings the sum exceeds the largest pool; they then share the remaining buffers.
  const buffers = Math.min(rxEntries * rx + txEntries * tx + 1024, MAX_BUFFERS);
  return new Mempool({ buffers, headroom, spread });
}

/** The direction that a queue option is about, for messages. */
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

function checkPools(
  address: string,
  { pool, pools }: OpenOptions,
  count: number,
  limits: QueueLimits,
): void {
  for (const used of pools ?? (pool ? [pool] : [])) {
    if (used.memory.lost) throw lostMemory(address);
    const refuse = (problem: string) => {
      return new UsageError(`${address}: ${problem}`, { option: pools ? "pools" : "pool" });
    };
    // Its views are detached.
    if (used.bytes.length === 0) {
      throw refuse("the pool is disposed: close devices before their pools");
    }
    if (used.headroom > 0 && limits.headroom === undefined) {
      throw refuse(
        `the device has no use for the headroom of ${used.headroom} bytes in the pool's buffers: ` +
          "create the pool without `headroom`",
      );
    }
    if (used.spread && !limits.spread) {
      throw refuse(
        "the device needs buffers without bytes between them: create the pool without `spread`",
      );
    }
  }
  if (pools === undefined) return;
  const refuse = (problem: string) => new UsageError(`${address}: ${problem}`, { option: "pools" });
  if (pool !== undefined) throw refuse("set either `pool` or `pools`, not both");
  if (pools.length !== count) {
    throw refuse(`\`pools\` needs one pool for each queue: ${count}, not ${pools.length}`);
  }
  const { bufferSize, headroom: room } = pools[0];
  if (pools.some((other) => other.bufferSize !== bufferSize || other.headroom !== room)) {
    throw refuse("the pools of a device must have the same buffer size and headroom");
  }
}

/**
 * Checks that each pool can fill its receive rings.
 *
 * @param pools The pool of each ring.
 * @param entries Descriptors per ring.
 * @param expected Returns the number of buffers that will return to a pool (default: 0).
 * @throws {UsageError} if a pool has too few free buffers.
 */
export function checkBuffers(
  address: string,
  pools: readonly Mempool[],
  entries: number,
  expected: (pool: Mempool) => number = () => 0,
): void {
  for (const pool of new Set(pools)) {
    const rings = pools.filter((other) => other === pool).length;
    if (pool.freeCount + expected(pool) >= entries * rings) continue;
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

/**
 * Throws the error that says why a queue refuses a batch.
 *
 * @param verb `receive` or `transmit`.
 * @param pool The queue's pool.
 * @param closed Whether the queue is closed or was transferred.
 */
export function refuseBatch(
  verb: string,
  batch: PacketBatch,
  pool: Mempool,
  closed: boolean,
): void {
  if (closed) throw new Error(`${verb} on a closed device, or on a queue that was transferred`);
  if (batch.pool !== pool) {
    throw new Error("the batch has another pool than the queue: create it with the queue's `pool`");
  }
  throw new Error(`the batch holds ${batch.length} packets: send or free them before receiving`);
}

/** Size of the shortest packet that can be sent, in bytes: an Ethernet header. */
export const MIN_PACKET = 14;

/**
 * Moves the packets of a batch that were not sent to its front.
 *
 * @param sent The number of packets sent.
 * @param refused Whether the first unsent packet cannot be sent at all.
 * @param longest Size of the longest packet that can be sent, in bytes.
 * @throws {Error} if `refused`, with the reason.
 */
export function keepUnsent(
  batch: PacketBatch,
  sent: number,
  refused: boolean,
  longest: number,
): void {
  batch.buffers.copyWithin(0, sent, batch.length);
  batch.length -= sent;
  if (!refused) return;
  const buffer = batch.buffers[0], size = batch.pool.lengths[buffer];
  throw new Error(
    size > 0
      ? `the packet in buffer ${buffer} has ${size} bytes and cannot be sent: drop it, or make it ` +
        `${MIN_PACKET} to ${longest} bytes long`
      : `buffer ${buffer} cannot be sent: the program does not own it`,
  );
}

/**
 * Checks a unicast MAC address.
 *
 * @throws {UsageError} if it is not a unicast address of 6 bytes.
 */
export function checkUnicast(device: string, mac: Uint8Array): void {
  if (isUnicast(mac)) return;
  throw new UsageError(`${device}: ${formatMac(mac)} is not a unicast MAC address of 6 bytes`);
}

/** Returns whether bytes are a unicast MAC address. */
export function isUnicast(mac: Uint8Array): boolean {
  return mac.length === 6 && !(mac[0] & 1) && mac.some((byte) => byte !== 0);
}

/**
 * Checks multicast MAC addresses.
 *
 * @throws {UsageError} if one is not a multicast address of 6 bytes.
 */
export function checkMulticast(device: string, addresses: readonly Uint8Array[]): void {
  for (const mac of addresses) {
    if (mac.length === 6 && mac[0] & 1) continue;
    throw new UsageError(`${device}: ${formatMac(mac)} is not a multicast MAC address of 6 bytes`);
  }
}

/** Formats a MAC address: `52:54:00:12:34:56`. */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, "0")).join(":") || "nothing";
}

/**
 * Waits until the link is up.
 *
 * @param status Reads the state of the link.
 * @param milliseconds The longest time to wait.
 * @throws {DeviceError} if the link is still down after that time.
 * @throws {UsageError} if the time is negative or NaN.
 * @throws {StopError} if a StopFlag has caught a signal.
 */
export async function waitForLink(
  device: string,
  status: () => LinkStatus | Promise<LinkStatus>,
  milliseconds: number,
): Promise<LinkStatus> {
  if (!(milliseconds >= 0)) {
    throw new UsageError(
      `${device}: the time to wait for the link must be 0 ms or more, not ${milliseconds}`,
    );
  }
  let now: LinkStatus = { up: false, megabits: 0 };
  const look = async () => (now = await status()).up;
  if (await stoppable(() => waitUntil(milliseconds, look, LINK_PAUSE_MS))) return now;
  const why = now.reason ?? "check the cable, the module and the other end";
  throw new DeviceError(device, `no link after ${milliseconds} ms: ${why}`);
}
