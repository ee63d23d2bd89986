/**
 * Adopts queues that another thread has transferred: the thread that opened their device.
 *
 * @module
 */

import { Mapping } from "../native/mapping.ts";
import type { RxQueue, TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import { QueueCounts } from "../src/transfer.ts";
import { RING_ORDER } from "./abi.ts";
import { type RingName, type RingPlaces, viewRings } from "./rings.ts";
import { XdpRxQueue } from "./rx_queue.ts";
import { XdpTxQueue } from "./tx_queue.ts";
import { Wakeup } from "./wakeup.ts";

/**
 * A receive and a transmit queue of one number that an `XdpDevice` has transferred, as plain values to send
 * to a worker.
 */
export interface TransferredXdpQueues {
  /** Number of both queues. */
  readonly number: number;
  /** @ignore The device's address, for messages. */
  readonly address: string;
  /** @ignore The socket of both queues. */
  readonly socket: number;
  /** @ignore Its rings. */
  readonly rings: RingPlaces;
  /** @ignore Virtual address of the pool's memory, which identifies the pool. */
  readonly pool: bigint;
  /** @ignore Numbers of the buffers that the kernel has. */
  readonly held: Uint32Array;
  /** @ignore The memory of their `QueueCounts`. */
  readonly counts: SharedArrayBuffer;
}

/** A receive and a transmit queue that this thread has adopted. */
export class AdoptedXdpQueues implements Disposable {
  /** The receive queue. */
  readonly rx: RxQueue;
  /** The transmit queue. */
  readonly tx: TxQueue;
  readonly #rx: XdpRxQueue;
  readonly #tx: XdpTxQueue;
  readonly #counts: QueueCounts;
  readonly #mappings: readonly Mapping[];

  /**
   * Adopts queues.
   *
   * @param pair The result of `XdpDevice.transferQueues` in the other thread.
   * @param pool The pool of these queues, which this thread has adopted.
   * @throws {Error} if it is another pool.
   */
  constructor(pair: TransferredXdpQueues, pool: Mempool) {
    const { number, address, socket, held } = pair;
    if (pool.memory.address !== pair.pool) {
      throw new Error(
        `queues ${number} are adopted with a wrong pool: use the pool that they were opened with`,
      );
    }
    const adopt = (name: RingName) => {
      const { address, bytes } = pair.rings[name];
      return Mapping.adopted(address, bytes, -1);
    };
    this.#mappings = RING_ORDER.map(adopt);
    const [rx, tx, fill, completion] = this.#mappings.map(({ buffer }) => buffer);
    const rings = viewRings(pair.rings, { rx, tx, fill, completion });
    const wakeup = new Wakeup(address, socket, rings);
    this.rx = this.#rx = new XdpRxQueue(address, number, pool, rings, wakeup, held);
    this.tx = this.#tx = new XdpTxQueue(address, number, pool, rings, wakeup);
    this.#counts = new QueueCounts(pair.counts);
  }

  /** Publishes the queues' counts to the thread that opened the device. */
  publish(): void {
    const { packets, bytes, tooLong, noBuffer } = this.#rx;
    this.#counts.publish({ packets, bytes, tooLong, noBuffer, damaged: 0 }, this.#tx);
  }

  /**
   * Detaches the queues: this thread no longer reaches their rings. Packets and buffers in the rings stay
   * there until the device is closed.
   */
  [Symbol.dispose](): void {
    this.publish();
    this.#rx.detach();
    this.#tx.detach();
    for (const mapping of this.#mappings) mapping.unmap();
  }
}
