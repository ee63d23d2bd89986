/**
 * Queues that one thread hands over to another: what is sent, as plain values, and what both threads
 * count in. Threads share the memory that a device reaches anyway, and no object. They are threads of
 * one process: several processes that share a card are not supported.
 *
 * @module
 */

import type { Addressing } from "./dma.ts";

/** 32-bit words in memory that another thread of the process keeps mapped. */
export interface SharedWords {
  /** Where they begin in this process. */
  readonly address: bigint;
  /** How many. */
  readonly length: number;
}

/**
 * A receive and a transmit queue of one number that a device has transferred, as plain values that can
 * be sent to a worker.
 */
export interface TransferredQueues {
  /** Number of both queues. */
  readonly number: number;
  /** @ignore What bus addresses the device uses. */
  readonly addressing: Addressing;
  /** @ignore Whether the device hashes packets. */
  readonly rss: boolean;
  /** @ignore Where the memory of their pool begins in this process: tells the pool from others. */
  readonly pool: bigint;
  /** @ignore The receive queue: its ring, the buffer that each descriptor has, its doorbell. */
  readonly rx: {
    readonly ring: SharedWords;
    readonly slots: Uint32Array;
    readonly doorbell: SharedWords;
  };
  /** @ignore The transmit queue, with nothing in its ring. */
  readonly tx: { readonly ring: SharedWords; readonly doorbell: SharedWords };
  /** @ignore The memory of its {@linkcode QueueCounts}. */
  readonly counts: SharedArrayBuffer;
}

/** What a receive queue counts. */
export interface RxCounts {
  /** Packets handed to the program. */
  readonly packets: number;
  /** Bytes of these packets. */
  readonly bytes: number;
  /** Packets dropped because they did not fit a buffer. */
  readonly tooLong: number;
  /** Packets dropped because the pool had no buffer to replace theirs. */
  readonly noBuffer: number;
  /** Packets dropped because the device marked them as damaged. */
  readonly damaged: number;
}

/** What a transmit queue counts. */
export interface TxCounts {
  /** Packets taken from the program. */
  readonly packets: number;
  /** Bytes of these packets. */
  readonly bytes: number;
}

/**
 * Counts of queues that were transferred: written by the thread that has them, now and then, and read
 * by the one that opened their device. Each count is whole; together they may be of two moments.
 */
export class QueueCounts {
  /** The memory of the counts. */
  readonly memory: SharedArrayBuffer;
  readonly #counts: Float64Array<SharedArrayBuffer>;

  /** Counts in memory of another thread's counts; or new ones, all 0. */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(7 * 8)) {
    this.memory = memory;
    this.#counts = new Float64Array(memory);
  }

  /** Writes what the queues have counted. */
  publish(rx: RxCounts, tx: TxCounts): void {
    const { packets, bytes, tooLong, noBuffer, damaged } = rx;
    this.#counts.set([packets, bytes, tooLong, noBuffer, damaged, tx.packets, tx.bytes]);
  }

  /** What the receive queue has counted. */
  get rx(): RxCounts {
    const [packets, bytes, tooLong, noBuffer, damaged] = this.#counts;
    return { packets, bytes, tooLong, noBuffer, damaged };
  }

  /** What the transmit queue has counted. */
  get tx(): TxCounts {
    const [, , , , , packets, bytes] = this.#counts;
    return { packets, bytes };
  }
}

/** Words as another thread is told of them. They have to stay mapped while it uses them. */
export function shareWords(words: Uint32Array): SharedWords {
  const pointer = Deno.UnsafePointer.of(words as Uint32Array<ArrayBuffer>);
  return { address: Deno.UnsafePointer.value(pointer), length: words.length };
}

/** This thread's view of such words. Transfer its buffer once it is done with. */
export function adoptWords({ address, length }: SharedWords): Uint32Array<ArrayBuffer> {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null) throw new RangeError("words at address 0");
  return new Uint32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length * 4));
}
