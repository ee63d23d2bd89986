/**
 * Queues that the thread which opened their device has transferred: this thread's own objects for them.
 * No register is touched but the doorbells.
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

/** A receive and a transmit queue of this thread's. */
export class AdoptedQueues implements Disposable {
  /** The receive queue. */
  readonly rx: RxQueue;
  /** The transmit queue. */
  readonly tx: TxQueue;
  readonly #rx: IxgbeRxQueue;
  readonly #tx: IxgbeTxQueue;
  readonly #counts: QueueCounts;
  readonly #borrowed: Uint32Array<ArrayBuffer>[] = [];

  /**
   * Takes the queues over.
   *
   * @param pair What {@linkcode IxgbeDevice.prototype.transferQueues} has returned in the other thread.
   * @param pool The pool of these queues, adopted from what `Mempool.transfer()` has returned there.
   * @throws {Error} if it is another one.
   */
  constructor(pair: TransferredQueues, pool: Mempool) {
    const { number, addressing, rss, rx, tx } = pair;
    if (pool.memory.address !== pair.pool) {
      throw new Error(`queues ${number} are adopted with another pool than they were opened with`);
    }
    const borrow = (words: SharedWords) => {
      const view = adoptWords(words);
      this.#borrowed.push(view);
      return view;
    };
    const doorbell = (words: SharedWords) => ({ words: borrow(words), index: 0, write: undefined });
    const rdt = doorbell(rx.doorbell), tdt = doorbell(tx.doorbell);
    this.rx = this.#rx = new IxgbeRxQueue(
      number,
      pool,
      addressing,
      borrow(rx.ring),
      rdt,
      rss,
      rx.slots,
    );
    this.tx = this.#tx = new IxgbeTxQueue(number, pool, addressing, borrow(tx.ring), tdt);
    this.#counts = new QueueCounts(pair.counts);
  }

  /** Lets the other thread see what the queues have counted. */
  publish(): void {
    this.#counts.publish(this.#rx, this.#tx);
  }

  /**
   * Lets go of the queues: nothing of this thread reaches their rings any more. What is in the rings
   * stays there, until the device is closed.
   */
  [Symbol.dispose](): void {
    this.publish();
    this.#rx.detach();
    this.#tx.detach();
    for (const { buffer } of this.#borrowed) buffer.transfer();
  }
}
