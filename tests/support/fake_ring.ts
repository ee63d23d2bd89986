/**
 * Rings of an ixgbe device whose other side the test plays, descriptor by descriptor: for what the NIC
 * model does not do, or not at the moment that a test needs.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { RX_DD, RX_EOP, TX_DD, WORDS } from "../../ixgbe/descriptors.ts";
import { IxgbeRxQueue } from "../../ixgbe/rx_queue.ts";
import { IxgbeTxQueue } from "../../ixgbe/tx_queue.ts";
import type { Mempool } from "../../mod.ts";

/** A receive queue, and the NIC's side of its ring. */
export class FakeRxRing {
  readonly queue: IxgbeRxQueue;
  /** Values written to RDT, in order. */
  readonly tails: number[] = [];
  readonly #ring: Uint32Array;
  readonly #mask: number;
  readonly #pool: Mempool;
  /** The descriptor that the NIC fills next. */
  #head = 0;

  constructor(pool: Mempool, entries: number) {
    this.#pool = pool;
    this.#ring = new Uint32Array(entries * WORDS);
    this.#mask = entries - 1;
    const doorbell = {
      words: new Uint32Array(1),
      index: 0,
      write: (tail: number) => void this.tails.push(tail),
    };
    this.queue = new IxgbeRxQueue(0, pool, "iova", this.#ring, doorbell);
    this.queue.start();
  }

  /** Descriptors that the NIC can fill. */
  get free(): number {
    return (this.tails.at(-1)! - this.#head) & this.#mask;
  }

  /** Fills a descriptor as the NIC does; asserts that the NIC has one. */
  fill(size: number, status = RX_DD | RX_EOP): void {
    assert(this.free > 0, "the NIC has a free descriptor");
    assertEquals(this.#ring[this.#head * WORDS + 2], 0, "it has a fresh buffer");
    this.#ring.set([status, size], this.#head * WORDS + 2);
    this.#head = (this.#head + 1) & this.#mask;
  }

  /** Sets DD and EOP in a descriptor that the NIC does not have. */
  setDone(number: number): void {
    this.#ring.set([RX_DD | RX_EOP, 60], number * WORDS + 2);
  }

  /** Returns the numbers of the buffers that the NIC can write to. */
  buffers(): number[] {
    const { memory, bufferSize } = this.#pool, base = memory.busAddress(0, "iova");
    return Array.from({ length: this.free }, (_, n) => {
      const d = ((this.#head + n) & this.#mask) * WORDS;
      return (this.#ring[d] + this.#ring[d + 1] * 2 ** 32 - base) / bufferSize;
    });
  }
}

/** A transmit queue, and the NIC's side of its ring. */
export class FakeTxRing {
  readonly queue: IxgbeTxQueue;
  readonly #ring: Uint32Array;

  constructor(pool: Mempool, entries: number) {
    this.#ring = new Uint32Array(entries * WORDS);
    const doorbell = { words: new Uint32Array(1), index: 0, write: undefined };
    this.queue = new IxgbeTxQueue(0, pool, "iova", this.#ring, doorbell);
  }

  /** Returns the four words of a descriptor. */
  descriptor(number: number): number[] {
    return [...this.#ring.subarray(number * WORDS, (number + 1) * WORDS)];
  }

  /** Reports all packets as sent, or the one in a descriptor. */
  send(number?: number): void {
    const first = number ?? 0, last = number ?? this.#ring.length / WORDS - 1;
    for (let i = first; i <= last; i++) this.#ring[i * WORDS + 3] |= TX_DD;
  }
}
