/**
 * The fault injector: drops, corrupts, duplicates, delays and reorders packets on their way in or
 * out.
 *
 * Packets that it holds occupy buffers: enlarge the pool by as many as it can hold.
 *
 * @module
 */

import { mix } from "../packets/random.ts";
import { checkErrno, stubs } from "../native/stubs.ts";
import { MAX_BATCH, PacketBatch } from "../src/batch.ts";
import type { Device, Interrupt, RxQueue, TxQueue } from "../src/device.ts";
import { refuseBatch } from "../src/driver.ts";
import { UsageError } from "../src/errors.ts";
import type { Mempool } from "../src/mempool.ts";
import { checkSeed, type FaultCounts, type Faults, FaultStage, NO_FAULTS } from "./faults.ts";
import { WrappedDevice } from "./wrapped_device.ts";

/** The value that makes an eventfd readable. */
const ONE: Uint8Array<ArrayBuffer> = new Uint8Array(BigUint64Array.of(1n).buffer);

/** A transmit queue with faults. Dispose it before its pool, or close its device. */
export class FaultyTxQueue implements TxQueue, Disposable {
  readonly #queue: TxQueue;
  readonly #stage: FaultStage;
  /** Packets about to be sent; after a call, those that the ring had no room for. */
  readonly #out: PacketBatch;
  #closed = false;

  /**
   * Takes ownership of a queue: use it through this wrapper only.
   *
   * @param seed The seed of the faults, 0 to 2^32 - 1.
   * @param now The clock for held packets, in milliseconds; default: `performance.now()`.
   * @throws {UsageError} if a fault or the seed is out of range.
   */
  constructor(
    queue: TxQueue,
    faults: Faults,
    seed: number,
    now: () => number = () => performance.now(),
  ) {
    this.#queue = queue;
    this.#stage = new FaultStage(queue.pool, faults, seed, now);
    this.#out = new PacketBatch(queue.pool, MAX_BATCH);
  }

  get number(): number {
    return this.#queue.number;
  }

  get pool(): Mempool {
    return this.#queue.pool;
  }

  /** Counts of what happened to packets so far. */
  get faults(): FaultCounts {
    return this.#stage.counts;
  }

  /** Packets taken that the device does not have yet: held, or waiting for room in the ring. */
  get waiting(): number {
    return this.#stage.packets + this.#out.length;
  }

  /** Packets that the device has, and those that are waiting. */
  get pending(): number {
    return this.#queue.pending + this.waiting;
  }

  /**
   * Takes the packets of a batch, all or none: none while earlier packets wait for room in the
   * ring. Also sends packets that were held long enough.
   */
  transmit(batch: PacketBatch): number {
    const pool = this.pool, stage = this.#stage, { buffers, length } = batch;
    if (this.#closed || batch.pool !== pool) refuseBatch("transmit", batch, pool, this.#closed);
    this.#send(); // throws if the device is closed, before anything is taken
    if (this.#out.length > 0) return 0;
    let taken = 0;
    while (taken < length && this.#isInHand(buffers[taken])) stage.take(buffers[taken++]);
    buffers.copyWithin(0, taken, length);
    batch.length -= taken;
    this.#send();
    if (taken < length) this.#queue.transmit(batch); // throws the reason
    return taken;
  }

  #isInHand(buffer: number): boolean {
    const { lengths, maxLength } = this.pool;
    return lengths[buffer] > 0 && lengths[buffer] <= maxLength;
  }

  /** Sends packets that are ready, as far as the ring has room, at most a batch at a time. */
  #send(): void {
    const out = this.#out, { ready } = this.#stage;
    this.#stage.release();
    do {
      const n = Math.min(ready.length, out.capacity - out.length);
      out.buffers.set(ready.splice(0, n), out.length);
      out.length += n;
      this.#queue.transmit(out);
    } while (out.length === 0 && ready.length > 0);
  }

  /** Sends packets that were held long enough, and frees the buffers of packets that have left. */
  reclaim(): number {
    if (!this.#closed && this.waiting > 0) this.#send();
    return this.#queue.reclaim();
  }

  /** Frees waiting packets without sending them. Idempotent. */
  [Symbol.dispose](): void {
    this.#closed = true;
    const { buffers, length } = this.#out;
    this.#out.length = 0;
    this.#stage.discard([...buffers.subarray(0, length)]);
  }
}

/** A receive queue with faults. Dispose it before its pool, or close its device. */
export class FaultyRxQueue implements RxQueue, Disposable {
  readonly #queue: RxQueue;
  readonly #stage: FaultStage;
  readonly #txQueues: readonly FaultyTxQueue[];
  #packets = 0;
  #closed = false;

  /**
   * Takes ownership of a queue: use it through this wrapper only.
   *
   * @param seed The seed of the faults, 0 to 2^32 - 1.
   * @param now The clock for held packets, in milliseconds; default: `performance.now()`.
   * @param txQueues Queues of the same thread that send held packets whenever the program polls
   * this one: the program may have nothing else to send.
   * @throws {UsageError} if a fault or the seed is out of range.
   */
  constructor(
    queue: RxQueue,
    faults: Faults,
    seed: number,
    now: () => number = () => performance.now(),
    txQueues: readonly FaultyTxQueue[] = [],
  ) {
    this.#queue = queue;
    this.#stage = new FaultStage(queue.pool, faults, seed, now);
    this.#txQueues = txQueues;
  }

  get number(): number {
    return this.#queue.number;
  }

  get pool(): Mempool {
    return this.#queue.pool;
  }

  /** Packets that the program has received so far, copies included. */
  get packets(): number {
    return this.#packets;
  }

  /** Counts of what happened to packets so far. */
  get faults(): FaultCounts {
    return this.#stage.counts;
  }

  /** Packets received that the program does not have yet: held, or more than fit a batch. */
  get waiting(): number {
    return this.#stage.packets;
  }

  /**
   * The interrupt of the wrapped queue. While packets are waiting here, arming it signals it at
   * once, so that the program does not sleep.
   */
  get interrupt(): Interrupt | undefined {
    const interrupt = this.#queue.interrupt;
    return interrupt && { fd: interrupt.fd, arm: () => this.#arm(interrupt) };
  }

  #arm(interrupt: Interrupt): void {
    interrupt.arm();
    if (this.waiting === 0 && this.#txQueues.every(({ waiting }) => waiting === 0)) return;
    checkErrno("write an eventfd", stubs.ixy_write(interrupt.fd, ONE, ONE.length));
  }

  receive(batch: PacketBatch): number {
    const pool = this.pool, stage = this.#stage, { buffers, capacity } = batch;
    if (this.#closed || batch.pool !== pool || batch.length !== 0) {
      refuseBatch("receive", batch, pool, this.#closed);
    }
    for (const queue of this.#txQueues) if (queue.waiting > 0) queue.reclaim();
    stage.release();
    const { ready } = stage;
    if (ready.length < capacity) {
      const received = this.#queue.receive(batch);
      for (let i = 0; i < received; i++) stage.take(buffers[i]);
    }
    const n = batch.length = Math.min(ready.length, capacity);
    if (n > 0) buffers.set(ready.splice(0, n));
    this.#packets += n;
    return n;
  }

  /** Frees waiting packets. Idempotent. */
  [Symbol.dispose](): void {
    this.#closed = true;
    this.#stage.discard();
  }
}

/** Options of {@linkcode FaultyDevice}. */
export interface FaultOptions {
  /** The seed of the faults, 0 to 2^32 - 1. Each queue derives its own sequence from it. */
  readonly seed: number;
  /** Faults of received packets; default: none. */
  readonly receive?: Faults;
  /** Faults of transmitted packets; default: none. */
  readonly transmit?: Faults;
  /** The clock for held packets, in milliseconds; default: `performance.now()`. */
  readonly now?: () => number;
}

/** Counts of a device's faults so far, all queues together. */
export interface DeviceFaults {
  /** Of received packets. */
  readonly receive: FaultCounts;
  /** Of transmitted packets. */
  readonly transmit: FaultCounts;
}

/**
 * A device with faults. {@linkcode WrappedDevice.prototype.statistics} does not count the faults.
 */
export class FaultyDevice extends WrappedDevice<FaultyRxQueue, FaultyTxQueue> {
  /**
   * Takes ownership of a device: use it through this wrapper only, which also closes it.
   *
   * @throws {UsageError} if a fault or the seed is out of range, or there is no such option.
   */
  constructor(device: Device, { seed, receive = {}, transmit = {}, now, ...others }: FaultOptions) {
    for (const name of Object.keys(others)) {
      throw new UsageError(
        `fault injector: there is no option ${name}: the options are seed, receive, transmit and now`,
      );
    }
    checkSeed(seed);
    const txQueues = device.txQueues.map((queue, i) => {
      return new FaultyTxQueue(queue, transmit, mix(seed ^ mix(2 * i + 1)), now);
    });
    const rxQueues = device.rxQueues.map((queue, i) => {
      return new FaultyRxQueue(queue, receive, mix(seed ^ mix(2 * i)), now, txQueues);
    });
    super(device, rxQueues, txQueues);
  }

  /** Returns the counts of faults so far. */
  faults(): DeviceFaults {
    return { receive: sum(this.rxQueues), transmit: sum(this.txQueues) };
  }

  /** Also sends packets that were held long enough, for programs that only wait. */
  override checkAlive(): void {
    super.checkAlive();
    for (const queue of this.txQueues) queue.reclaim();
  }

  /** Frees waiting packets, and closes the wrapped device. */
  override close(): void {
    using closed = new DisposableStack();
    closed.defer(() => super.close()); // last: it may free the pool
    for (const queue of [...this.rxQueues, ...this.txQueues]) closed.use(queue);
  }
}

function sum(queues: readonly { readonly faults: FaultCounts }[]): FaultCounts {
  const total = { ...NO_FAULTS };
  for (const { faults } of queues) {
    for (const name of Object.keys(total) as (keyof FaultCounts)[]) total[name] += faults[name];
  }
  return total;
}
