/**
 * Adopts queues that another thread has transferred: the thread that opened their device. The only
 * registers written here are the doorbells.
 *
 * @module
 */

import {
  adoptWords,
  QueueCounts,
  type SharedWords,
  type TransferredQueues,
} from "../src/transfer.ts";
import type { RxQueue, TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import { IxgbeRxQueue } from "./rx_queue.ts";
import { IxgbeTxQueue } from "./tx_queue.ts";

/** A receive and a transmit queue that this thread has adopted. */
export class AdoptedQueues implements Disposable {
  /** The receive queue. */
  readonly rx: RxQueue;
  /** The transmit queue. */
  readonly tx: TxQueue;
  readonly #rx: IxgbeRxQueue;
  readonly #tx: IxgbeTxQueue;
  readonly #counts: QueueCounts;
  readonly #adopted: Uint32Array<ArrayBuffer>[] = [];

  /**
   * Adopts queues.
   *
   * @param pair The result of {@linkcode IxgbeDevice.prototype.transferQueues} in the other thread.
   * @param pool The pool of these queues, which this thread has adopted.
   * @throws {Error} if it is another pool.
   */
  constructor(pair: TransferredQueues, pool: Mempool) {
    const { number, addressing, rss, rx, tx } = pair;
    if (pool.memory.address !== pair.pool) {
      throw new Error(
        `queues ${number} are adopted with a wrong pool: use the pool that they were opened with`,
      );
    }
    const adopt = (words: SharedWords) => {
      const view = adoptWords(words);
      this.#adopted.push(view);
      return view;
    };
    const doorbell = (words: SharedWords) => ({ words: adopt(words), index: 0, write: undefined });
    const rdt = doorbell(rx.doorbell), tdt = doorbell(tx.doorbell);
    this.rx = this.#rx = new IxgbeRxQueue(
      number,
      pool,
      addressing,
      adopt(rx.ring),
      rdt,
      rss,
      rx.slots,
      rx.started,
    );
    this.tx = this.#tx = new IxgbeTxQueue(number, pool, addressing, adopt(tx.ring), tdt);
    this.#counts = new QueueCounts(pair.counts);
  }

  /** Ends the standby of a device that was opened with `standby`, for these queues. Idempotent. */
  endStandby(): void {
    this.#rx.start();
  }

  /** Publishes the queues' counts to the thread that opened the device. */
  publish(): void {
    this.#counts.publish(this.#rx, this.#tx);
  }

  /**
   * Detaches the queues: this thread no longer reaches their rings. Packets and buffers in the rings stay
   * there until the device is closed.
   */
  [Symbol.dispose](): void {
    this.publish();
    this.#rx.detach();
    this.#tx.detach();
    for (const { buffer } of this.#adopted) buffer.transfer();
  }
}
