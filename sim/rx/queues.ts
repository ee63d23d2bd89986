/**
 * All receive queues of the modelled device: which of them run, the look at their tails in every
 * round, and the write-back of their descriptors. Which frames get into them is in `receiver.ts`.
 *
 * @module
 */

import { type DeviceCore, RECEIVE } from "../rings/ring.ts";
import { ReceiveCounts } from "./counts.ts";
import { ReceiveQueue } from "./queue.ts";

/** Descriptors whose buffers' cache lines are fetched before frames arrive for them. */
const AHEAD = 64;

/** The queues. What is protected is for the loops that move frames. */
export class ReceiveQueues {
  /** Whether the device may access host memory. */
  dmaAllowed = true;
  protected readonly core: DeviceCore;
  protected readonly queues: readonly ReceiveQueue[];
  protected readonly first: ReceiveQueue;
  protected readonly counts: ReceiveCounts;
  readonly #running: ReceiveQueue[] = [];

  constructor(core: DeviceCore) {
    const { count } = RECEIVE.tail;
    this.core = core;
    this.queues = Array.from({ length: count }, (_, index) => new ReceiveQueue(index, core));
    this.first = this.queues[0];
    this.counts = new ReceiveCounts(core, this.queues);
  }

  /** Whether the first queue is enabled: all or most frames go to it. */
  get hasQueue(): boolean {
    return this.first.running;
  }

  /** Starts a queue as its registers say. */
  startQueue(index: number): void {
    const queue = this.queues[index];
    queue.start();
    if (queue.running && !this.#running.includes(queue)) this.#running.push(queue);
  }

  /** Stops a queue. */
  stopQueue(index: number): void {
    const queue = this.queues[index];
    this.writeBack();
    queue.stop();
    const place = this.#running.indexOf(queue);
    if (place >= 0) this.#running.splice(place, 1);
  }

  /** Stops all queues, as a reset does. */
  protected stopAll(): void {
    for (const queue of this.queues) {
      queue.stop();
      queue.head = 0;
    }
    this.#running.length = 0;
  }

  /** Takes SRRCTL.DROP_EN and RXDCTL.VME, which a driver may change while queues run. */
  loadDropEnable(): void {
    for (const queue of this.#running) queue.load();
  }

  /** Says whether frames are looked into from now on, so that descriptors have more to say. */
  protected setDetailed(on: boolean): void {
    this.writeBack();
    for (const queue of this.#running) queue.detailed = on;
  }

  /** Looks at a tail that was just written, so that two writes are not seen as one. */
  checkTail(index: number): void {
    const queue = this.queues[index];
    if (queue.running) queue.refresh();
  }

  /** Head of a queue. */
  headOf(index: number): number {
    return this.queues[index].head;
  }

  /** Reads tails, and fetches the cache lines of buffers that are filled next. */
  protected refresh(): void {
    for (let i = 0; i < this.#running.length; i++) {
      const queue = this.#running[i];
      if (!queue.running) continue;
      const room = queue.refresh();
      const ahead = room < AHEAD ? room : AHEAD;
      if (queue.ahead >= ahead || !this.dmaAllowed) continue;
      this.core.dma.readAhead(queue, queue.ahead, ahead, true);
      queue.ahead = ahead;
    }
  }

  /**
   * Writes back the descriptors of all frames delivered since the last call, the word with DD last.
   * In a burst, as the device does: a driver that polls would take each cache line away in between.
   */
  writeBack(): void {
    for (let i = 0; i < this.#running.length; i++) {
      const queue = this.#running[i];
      if (queue.written === queue.head) continue;
      queue.writeBack();
      const vector = this.core.causes.receiveVectors[queue.index];
      if (vector >= 0) this.core.causes.raise(vector);
    }
  }

  /** Running totals by name. */
  get totals(): { received: number; missed: number; filtered: number; ignored: number } {
    return this.counts.totals;
  }

  /** Moves what was counted since the last call to the statistics registers. */
  settle(): void {
    this.counts.settle();
  }
}
