/**
 * What queues of all drivers have in common, away from the hot path: what they refuse, and what they
 * need of a pool.
 *
 * @module
 */

import type { PacketBatch } from "./batch.ts";
import type { OpenOptions } from "./device.ts";
import { UsageError } from "./errors.ts";
import { Mempool } from "./mempool.ts";

const LEAST = 64, MOST = 4096, DEFAULT = 512;

/** The options of a device's queues, checked. */
export interface QueueOptions {
  /** Packets that the receive queue has buffers for at most. */
  readonly rxEntries: number;
  /** Packets that the transmit queue holds at most. */
  readonly txEntries: number;
  /** The pool of the device's buffers. */
  readonly pool: Mempool;
  /** Whether the pool is the device's own, and goes with it. */
  readonly ownPool: boolean;
}

/**
 * Checks the sizes of queues and the pool, and makes a pool where none is given.
 *
 * @throws {UsageError} if a size is out of range, or the pool has too few free buffers.
 */
export function queueOptions(address: string, options: OpenOptions): QueueOptions {
  const { rxEntries = DEFAULT, txEntries = DEFAULT } = options;
  checkEntries(address, "receive", rxEntries);
  checkEntries(address, "transmit", txEntries);
  const pool = options.pool ?? new Mempool({ buffers: rxEntries + txEntries + 1024 });
  if (pool.available < rxEntries) {
    throw new UsageError(
      `${address}: a receive ring of ${rxEntries} needs as many free buffers, and the pool has ` +
        `${pool.available}: make the pool larger or the ring smaller`,
    );
  }
  return { rxEntries, txEntries, pool, ownPool: pool !== options.pool };
}

function checkEntries(address: string, what: string, entries: number): void {
  if (entries >= LEAST && entries <= MOST && Number.isInteger(Math.log2(entries))) return;
  throw new UsageError(
    `${address}: a ${what} ring has ${LEAST} to ${MOST} descriptors, a power of two, not ${entries}`,
  );
}

/** Says why a queue does not take a batch. */
export function refuseBatch(
  verb: string,
  batch: PacketBatch,
  pool: Mempool,
  closed: boolean,
): void {
  if (closed) throw new Error(`${verb} on a closed device`);
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
  const buffer = batch.buffers[0], size = batch.pool.length[buffer];
  throw new Error(
    size > 0
      ? `the packet in buffer ${buffer} has ${size} bytes, a buffer has ${batch.pool.bufferSize}`
      : `buffer ${buffer} is sent, but nobody has it in hand`,
  );
}
