/**
 * Counts the buffers of a pool for fuzzers of queues: each is free, with the program, or with the
 * device, and never two of these.
 *
 * @module
 */

import { type Mempool, PacketBatch } from "../../mod.ts";
import { holds } from "./target.ts";

/** A program that holds buffers of a pool. */
export class Program {
  readonly pool: Mempool;
  readonly batch: PacketBatch;
  /** Buffers that the program owns, in the order in which it received them. */
  readonly held: number[] = [];
  readonly #own: Uint8Array;

  constructor(pool: Mempool, capacity: number) {
    this.pool = pool;
    this.batch = new PacketBatch(pool, capacity);
    this.#own = new Uint8Array(pool.buffers);
  }

  /** Takes over what the batch has received; each buffer must be new to the program, and hold a packet. */
  take(maxBytes = this.pool.maxLength): void {
    const { batch, pool, held } = this, own = this.#own;
    for (let i = 0; i < batch.length; i++) {
      const buffer = batch.buffers[i], length = pool.lengths[buffer];
      holds(buffer < pool.buffers, `the batch has buffer ${buffer}`);
      holds(own[buffer] === 0, `buffer ${buffer} is received twice`);
      holds(length >= 1 && length <= maxBytes, `a packet of ${length} bytes is received`);
      own[buffer] = 1;
      held.push(buffer);
    }
    batch.length = 0;
  }

  /** Allocates a buffer, if there is one. */
  allocate(length: number): void {
    const buffer = this.pool.allocate(length);
    if (buffer < 0) return;
    holds(this.#own[buffer] === 0, `buffer ${buffer} is allocated twice`);
    this.#own[buffer] = 1;
    this.held.push(buffer);
  }

  /** Sends buffers that the program holds; keeps those that are not sent. */
  send(transmit: (batch: PacketBatch) => number, most: number): void {
    const { batch, held, pool } = this, own = this.#own;
    while (held.length > 0 && batch.length < Math.min(most, batch.capacity)) {
      const buffer = held.shift()!;
      own[buffer] = 0;
      batch.push(buffer, Math.max(pool.lengths[buffer], 14));
    }
    try {
      transmit(batch);
    } finally {
      this.take();
    }
  }

  /** Frees some of the buffers that the program holds. */
  free(most: number): void {
    for (let i = 0; i < most && this.held.length > 0; i++) {
      const buffer = this.held.shift()!;
      this.#own[buffer] = 0;
      this.pool.free(buffer);
    }
  }

  /** Checks that no buffer is free twice, or free and held. */
  check(): void {
    const { freeStack, freeCount, buffers } = this.pool, seen = this.#own.slice();
    holds(freeCount >= 0 && freeCount <= buffers, `${freeCount} of ${buffers} buffers are free`);
    for (let i = 0; i < freeCount; i++) {
      holds(freeStack[i] < buffers, `buffer ${freeStack[i]} is free`);
      holds(++seen[freeStack[i]] === 1, `buffer ${freeStack[i]} is free twice, or free and in use`);
    }
  }

  /** After the queues are closed: frees what the program holds, and checks that no buffer is lost. */
  end(lost = 0): void {
    this.free(Infinity);
    this.check();
    const { freeCount, buffers } = this.pool;
    holds(freeCount === buffers - lost, `${buffers - freeCount} of ${buffers} buffers are lost`);
  }

  /** Makes all buffers free again after a case that failed. */
  reset(): void {
    const { pool } = this;
    this.held.length = 0;
    this.batch.length = 0;
    this.#own.fill(0);
    pool.lengths.fill(0);
    for (let i = 0; i < pool.buffers; i++) pool.freeStack[i] = i;
    pool.freeCount = pool.buffers;
  }
}
