/**
 * Transfer of queues from one thread to another: the plain values that are sent, and the counts that
 * both threads see. The threads share memory, which the device reaches as well, but no objects. They
 * belong to one process: sharing a device between processes is not supported.
 *
 * @module
 */

import type { Addressing } from "./dma.ts";

/** 32-bit words in memory that another thread of this process keeps mapped. */
export interface SharedWords {
  /** Virtual address of the first word in this process. */
  readonly address: bigint;
  /** Number of words. */
  readonly length: number;
}

/**
 * A receive and a transmit queue of one number that a device has transferred, as plain values to send to
 * a worker.
 */
export interface TransferredQueues {
  /** Number of both queues. */
  readonly number: number;
  /** @ignore The kind of the device's bus addresses. */
  readonly addressing: Addressing;
  /** @ignore Whether the device hashes packets. */
  readonly rss: boolean;
  /** @ignore Virtual address of the pool's memory, which identifies the pool. */
  readonly pool: bigint;
  /** @ignore The receive queue: its ring, the buffer of each descriptor, its doorbell. */
  readonly rx: {
    readonly ring: SharedWords;
    readonly slots: Uint32Array;
    readonly doorbell: SharedWords;
    /** Whether the device has its descriptors already. */
    readonly started: boolean;
  };
  /** @ignore The transmit queue: its empty ring, its doorbell. */
  readonly tx: { readonly ring: SharedWords; readonly doorbell: SharedWords };
  /** @ignore The memory of its {@linkcode QueueCounts}. */
  readonly counts: SharedArrayBuffer;
}

/** Counts of a receive queue. */
export interface RxCounts {
  /** Packets that the program received. */
  readonly packets: number;
  /** Bytes of these packets. */
  readonly bytes: number;
  /** Packets dropped because they did not fit a buffer. */
  readonly tooLong: number;
  /** Packets dropped because the pool had no buffer to refill the ring with. */
  readonly noBuffer: number;
  /** Packets dropped because the device marked them as damaged. */
  readonly damaged: number;
}

/** Counts of a transmit queue. */
export interface TxCounts {
  /** Packets that the program passed to the queue. */
  readonly packets: number;
  /** Bytes of these packets. */
  readonly bytes: number;
}

/**
 * Counts of transferred queues. The thread that adopted the queues publishes them now and then; the
 * thread that opened the device reads them. Each count is consistent, but a reader may see some counts
 * from before and some from after a publication.
 */
export class QueueCounts {
  /** The memory of the counts. */
  readonly memory: SharedArrayBuffer;
  readonly #counts: Float64Array<SharedArrayBuffer>;

  /**
   * Creates counts.
   *
   * @param memory The memory of another thread's counts (default: new counts, all 0).
   */
  constructor(memory: SharedArrayBuffer = new SharedArrayBuffer(7 * 8)) {
    this.memory = memory;
    this.#counts = new Float64Array(memory);
  }

  /** Publishes the counts of both queues. */
  publish(rx: RxCounts, tx: TxCounts): void {
    const { packets, bytes, tooLong, noBuffer, damaged } = rx;
    this.#counts.set([packets, bytes, tooLong, noBuffer, damaged, tx.packets, tx.bytes]);
  }

  /** The published counts of the receive queue. */
  get rx(): RxCounts {
    const [packets, bytes, tooLong, noBuffer, damaged] = this.#counts;
    return { packets, bytes, tooLong, noBuffer, damaged };
  }

  /** The published counts of the transmit queue. */
  get tx(): TxCounts {
    const [, , , , , packets, bytes] = this.#counts;
    return { packets, bytes };
  }
}

/** Returns words as plain values, to send to another thread. They must stay mapped while it uses them. */
export function shareWords(words: Uint32Array): SharedWords {
  const pointer = Deno.UnsafePointer.of(words as Uint32Array<ArrayBuffer>);
  return { address: Deno.UnsafePointer.value(pointer), length: words.length };
}

/** Creates this thread's view of shared words. Transfer its buffer (`ArrayBuffer`) to detach it. */
export function adoptWords({ address, length }: SharedWords): Uint32Array<ArrayBuffer> {
  const pointer = Deno.UnsafePointer.create(address);
  if (pointer === null) throw new RangeError("words at address 0");
  return new Uint32Array(Deno.UnsafePointerView.getArrayBuffer(pointer, length * 4));
}
