/**
 * All transmit queues of the modelled device: it starts and stops them, and reports their
 * descriptors as done. `transmitter.ts` interprets the descriptors.
 *
 * @module
 */

import { REGISTERS, TDWBAL } from "../../ixgbe/registers.ts";
import { hex, nameOf } from "../../src/registers.ts";
import type { AddCount } from "../registers/statistics.ts";
import { TX_COMMAND, TX_OPTIONS } from "../rings/descriptors.ts";
import type { DeviceCore } from "../rings/ring.ts";
import { TransmitCounts } from "./counts.ts";
import { TransmitQueue } from "./queue.ts";

const { DEXT } = TX_COMMAND, { DD } = TX_OPTIONS;

/** The queues. Protected members are for the loops that move frames. */
export class TransmitQueues {
  /** Whether PCI configuration space lets the device access host memory. */
  busMaster = true;
  /** Does a write-back later; if undefined, it takes no time. */
  postpone: ((writeBack: () => void) => void) | undefined;
  protected readonly core: DeviceCore;
  protected readonly running: TransmitQueue[] = [];
  protected readonly counts: TransmitCounts;
  /** Rate limits, see {@linkcode TransmitQueues.prototype.limit}; undefined without any. */
  #rates: Uint16Array | undefined;
  #round = 0;
  /** Created when they first start, since each has a buffer for a frame. */
  readonly #queues: (TransmitQueue | undefined)[] = [];

  constructor(core: DeviceCore) {
    this.core = core;
    this.counts = new TransmitCounts(core, this.#queues);
  }

  /**
   * Starts a queue with its registers' values.
   *
   * @param index Number of the queue.
   * @param control Value of its TXDCTL.
   */
  startQueue(index: number, control: number): void {
    const queue = this.#queues[index] ??= new TransmitQueue(index, this.core);
    queue.begin(control);
    if (queue.running && !this.running.includes(queue)) this.running.push(queue);
  }

  /** Sets the rate limits of queues: each sends in one of so many rounds; 0: no limit. */
  limit(rates: Uint16Array): void {
    this.#rates = rates.some((rate) => rate > 0) ? rates : undefined;
  }

  /** Whether any queue has a rate limit. */
  protected get limited(): boolean {
    return this.#rates !== undefined;
  }

  /** Begins a round in which queues have rate limits. */
  protected nextRound(): void {
    this.#round++;
  }

  /** Returns whether a queue sends nothing in this round because of its rate limit. */
  protected rests(queue: TransmitQueue): boolean {
    const rate = this.#rates?.[queue.index] ?? 0;
    return rate > 0 && this.#round % rate !== 0;
  }

  /** Stops a queue. */
  stopQueue(index: number): void {
    const queue = this.#queues[index];
    if (!queue) return;
    this.#writeBackAll(queue);
    queue.stop();
    const place = this.running.indexOf(queue);
    if (place >= 0) this.running.splice(place, 1);
  }

  /** Moves the head of a queue, if it runs; the tail follows. */
  moveHead(index: number, head: number): void {
    const queue = this.#queues[index];
    if (!queue?.running) return;
    queue.empty(head);
    queue.drop();
  }

  /** Stops all queues, as a reset does. */
  protected stopAll(): void {
    for (const queue of this.#queues) {
      if (!queue) continue;
      queue.stop();
      queue.unwritten.length = 0;
      queue.head = 0;
    }
    this.running.length = 0;
  }

  /** Checks a tail that was just written, so that two writes are not taken for one. */
  checkTail(index: number): void {
    const queue = this.#queues[index];
    if (queue?.running) queue.refresh();
  }

  /** Whether packets wait in a queue that runs. */
  waits(index: number): boolean {
    const queue = this.#queues[index];
    return queue !== undefined && queue.running && queue.refresh() > 0;
  }

  /** Whether packets wait in any queue that runs. */
  get waiting(): boolean {
    return this.running.some(({ index }) => this.waits(index));
  }

  /** As {@linkcode TransmitQueues.prototype.waits}, and changes nothing. */
  viewWaits(index: number): boolean {
    const queue = this.#queues[index];
    return queue !== undefined && queue.running && queue.viewRoom() > 0;
  }

  /** As {@linkcode TransmitQueues.prototype.waiting}, and changes nothing. */
  get viewWaiting(): boolean {
    return this.running.some(({ index }) => this.viewWaits(index));
  }

  /** Returns the head of a queue. */
  headOf(index: number): number {
    return this.#queues[index]?.head ?? 0;
  }

  /** Reports the descriptor at word `at` as done, now or later. */
  protected writeBack(queue: TransmitQueue, at: number, command: number): void {
    if (this.postpone === undefined) this.#writeBackNow(queue, at, command);
    else this.#writeBackLater(queue, at, command, this.postpone);
  }

  #writeBackLater(
    queue: TransmitQueue,
    at: number,
    command: number,
    postpone: (writeBack: () => void) => void,
  ): void {
    if (queue.unwritten.push(at, command) > 2) return;
    postpone(() => {
      if (queue.running && this.busMaster) this.#writeBackAll(queue);
      else queue.unwritten.length = 0;
    });
  }

  #writeBackAll(queue: TransmitQueue): void {
    const { unwritten } = queue;
    for (let i = 0; i < unwritten.length; i += 2) {
      this.#writeBackNow(queue, unwritten[i], unwritten[i + 1]);
    }
    unwritten.length = 0;
    if (queue.reported) this.raise(queue);
  }

  /** Whether sent descriptors are not written back yet. */
  get unwritten(): boolean {
    return this.running.some((queue) => queue.running && queue.unwritten.length > 0);
  }

  // Writes the word with DD last.
  #writeBackNow(queue: TransmitQueue, at: number, command: number): void {
    queue.reported = true;
    if (queue.headWriteBack) {
      this.#writeHead(queue, (at - queue.first) / 4);
      return;
    }
    const words = queue.words;
    if (command & DEXT) {
      words[at] = 0;
      words[at + 1] = 0;
      words[at + 2] = 0;
      words[at + 3] = DD;
    } else {
      words[at + 3] |= DD;
    }
    this.core.observer?.writtenBack("tx", queue.index, (at - queue.first) / 4, 1);
  }

  // Writes the head to memory, if the driver has enabled that instead (7.2.3.5.2).
  #writeHead(queue: TransmitQueue, done: number): void {
    const { file, dma, observer } = this.core, head = done + 1 === queue.size ? 0 : done + 1;
    const low = (file.get(TDWBAL, queue.index) & TDWBAL.ADDRESS) >>> 0;
    const high = file.get(REGISTERS.TDWBAH, queue.index);
    if (dma.resolve(low, high, 4) && dma.writable) {
      dma.words[dma.base / 4] = head;
      observer?.headWritten(queue.index, head);
    } else {
      const detail = `${hex(high)}:${hex(low)}`;
      this.violate(queue, "7.2.3.5.2", "head write-back to memory the device may write", detail);
    }
  }

  /** Raises the interrupt cause of a queue that has reported descriptors, if it has a vector. */
  protected raise(queue: TransmitQueue): void {
    queue.reported = false;
    const vector = this.core.causes.transmitVectors[queue.index];
    if (vector >= 0) this.core.causes.raise(vector);
  }

  /** Records a violation at a queue's tail. */
  protected violate(queue: TransmitQueue, section: string, rule: string, detail: string): void {
    this.core.rules.violate(nameOf(REGISTERS.TDT, queue.index), section, rule, detail);
  }

  /** Frames sent since the model was created. */
  get transmitted(): number {
    return this.counts.transmitted;
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
