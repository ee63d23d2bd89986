/**
 * All receive queues of the modelled device: it starts and stops them, reads their tails in every
 * round, and writes their descriptors back. `receiver.ts` fills them.
 *
 * @module
 */

import type { AddCount } from "../registers/statistics.ts";
import { type DeviceCore, RECEIVE } from "../rings/ring.ts";
import { ReceiveCounts } from "./counts.ts";
import { ReceiveQueue } from "./queue.ts";

/** Number of descriptors whose buffers are prefetched before frames arrive. */
const AHEAD = 64;

/** The queues. Protected members are for the loops that move frames. */
export class ReceiveQueues {
  /** Whether the device may access host memory. */
  dmaAllowed = true;
  /** Whether PCI configuration space lets the device access host memory. */
  busMaster = true;
  /** Does a write-back later; if undefined, it takes no time. */
  postpone: ((writeBack: () => void) => void) | undefined;
  protected readonly core: DeviceCore;
  protected readonly queues: readonly ReceiveQueue[];
  protected readonly first: ReceiveQueue;
  protected readonly counts: ReceiveCounts;
  readonly #running: ReceiveQueue[] = [];

  /** @param limits Whether RXDCTL.RLPML works. */
  constructor(core: DeviceCore, limits: boolean) {
    const { count } = RECEIVE.tail;
    this.core = core;
    this.queues = Array.from(
      { length: count },
      (_, index) => new ReceiveQueue(index, core, limits),
    );
    this.first = this.queues[0];
    this.counts = new ReceiveCounts(core, this.queues);
  }

  /** Whether the first queue is enabled, which gets all or most frames. */
  get hasQueue(): boolean {
    return this.first.running;
  }

  /** Starts a queue with its registers' values. */
  startQueue(index: number): void {
    const queue = this.queues[index];
    queue.start();
    if (queue.running && !this.#running.includes(queue)) this.#running.push(queue);
  }

  /** Stops a queue. */
  stopQueue(index: number): void {
    const queue = this.queues[index];
    this.#writeBackQueue(queue);
    queue.stop();
    const place = this.#running.indexOf(queue);
    if (place >= 0) this.#running.splice(place, 1);
  }

  /** Moves the head of a queue, if it runs. */
  moveHead(index: number, head: number): void {
    if (!this.queues[index].running) return;
    this.#writeBackQueue(this.queues[index]);
    this.queues[index].moveHead(head);
  }

  /** Stops all queues, as a reset does. */
  protected stopAll(): void {
    for (const queue of this.queues) {
      queue.stop();
      queue.postponed = false;
      queue.head = 0;
    }
    this.#running.length = 0;
  }

  /** Whether a queue splits headers, coalesces packets or limits their length. */
  protected get hasSpecial(): boolean {
    return this.#running.some((queue) => queue.special);
  }

  /** Loads SRRCTL.DROP_EN and RXDCTL, which may change while queues run. */
  loadDropEnable(): void {
    for (const queue of this.#running) queue.load();
  }

  /** Sets whether descriptors get results of the inspection from now on. */
  protected setDetailed(on: boolean): void {
    for (const queue of this.#running) this.#writeBackQueue(queue);
    for (const queue of this.#running) queue.detailed = on;
  }

  /** Checks a tail that was just written, so that two writes are not taken for one. */
  checkTail(index: number): void {
    const queue = this.queues[index];
    if (queue.running) queue.refresh();
  }

  /** Returns a queue, to look at. */
  queueAt(index: number): ReceiveQueue {
    return this.queues[index];
  }

  /** Returns the head of a queue. */
  headOf(index: number): number {
    return this.queues[index].head;
  }

  /** Reads tails, and prefetches the buffers that are filled next; not while someone looks on. */
  protected refresh(): void {
    for (let i = 0; i < this.#running.length; i++) {
      const queue = this.#running[i];
      if (!queue.running) continue;
      const room = queue.refresh();
      const ahead = room < AHEAD ? room : AHEAD;
      if (queue.ahead >= ahead || !this.dmaAllowed || this.core.observer) continue;
      this.core.dma.readAhead(queue, queue.ahead, ahead, true);
      queue.ahead = ahead;
    }
  }

  /**
   * Writes back the descriptors of all frames delivered since the last call, the word with DD last.
   * That is a burst, as on the device: a polling driver would take each cache line away in between.
   */
  writeBack(): void {
    for (let i = 0; i < this.#running.length; i++) {
      const queue = this.#running[i];
      if (queue.written === queue.head) continue;
      if (this.postpone === undefined) this.#writeBackQueue(queue);
      else this.#writeBackLater(queue, this.postpone);
    }
  }

  #writeBackQueue(queue: ReceiveQueue): void {
    const { index, written: first, head, size } = queue, { observer } = this.core;
    if (first === head) return;
    queue.writeBack();
    observer?.writtenBack("rx", index, first, (head - first + size) % size);
    const vector = this.core.causes.receiveVectors[queue.index];
    if (vector >= 0) this.core.causes.raise(vector);
  }

  // Whatever has been filled by then is written back. Without bus mastering, it is lost.
  #writeBackLater(queue: ReceiveQueue, postpone: (writeBack: () => void) => void): void {
    if (queue.postponed) return;
    queue.postponed = true;
    postpone(() => {
      queue.postponed = false;
      if (queue.running && this.busMaster) this.#writeBackQueue(queue);
    });
  }

  /** Whether filled descriptors are not written back yet. */
  get unwritten(): boolean {
    return this.#running.some((queue) => queue.postponed && queue.running);
  }

  /** Running totals by name. */
  get totals(): { received: number; missed: number; filtered: number; ignored: number } {
    return this.counts.totals;
  }

  /** Adds the counts since the last call to the statistics registers. */
  settle(): void {
    this.counts.settle();
  }

  /** Reports the counts since the last settlement, and changes nothing. */
  report(add: AddCount): void {
    this.counts.report(add);
  }
}
