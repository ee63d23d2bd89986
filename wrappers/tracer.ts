/**
 * The tracer: calls a function for every packet that a device or a queue receives and transmits.
 *
 * A packet counts as transmitted once the wrapped queue has taken it. By then that queue owns it
 * and may have changed it, so the tracer copies packets before and traces them after.
 *
 * @module
 */

import type { PacketBatch } from "../src/batch.ts";
import type { Device, Interrupt, RxQueue, TxQueue } from "../src/device.ts";
import type { Mempool } from "../src/mempool.ts";
import type { PacketDirection } from "../packets/pcapng_writer.ts";
import { summarize } from "../packets/summary.ts";
import { WrappedDevice } from "./wrapped_device.ts";

/** A packet on its way through a queue. */
export interface TracedPacket {
  /** The address of the queue's device. */
  readonly device: string;
  /** The number of the queue among the device's receive or transmit queues. */
  readonly queue: number;
  /** Whether the packet was received or transmitted. */
  readonly direction: PacketDirection;
  /** The time, by `performance.now()`. Packets of one batch have the same time. */
  readonly milliseconds: number;
  /**
   * The packet, from the Ethernet header on. Copy it to keep it: the view is valid during the call
   * only.
   */
  readonly bytes: Uint8Array;
}

/** Called for each packet. `receive` and `transmit` throw what it throws. */
export type Trace = (packet: TracedPacket) => void;

/** Options of {@linkcode TracedDevice}. */
export interface TraceOptions {
  /** The one direction to trace; default: both. */
  readonly only?: PacketDirection | undefined;
}

/**
 * Returns a packet as one line: time in seconds, device, direction, queue, length and headers
 * (`12.345678 vfio-user:a.sock receive 0, 60 bytes: 02:00:…`).
 */
export function traceLine(packet: TracedPacket): string {
  const { device, queue, direction, milliseconds, bytes } = packet;
  const seconds = (milliseconds / 1000).toFixed(6);
  return `${seconds} ${device} ${direction} ${queue}, ${bytes.length} bytes: ${summarize(bytes)}`;
}

function printTrace(packet: TracedPacket): void {
  console.log(traceLine(packet));
}

/** A receive queue that traces packets before the program gets them. */
export class TracedRxQueue implements RxQueue {
  readonly #queue: RxQueue;
  readonly #device: string;
  readonly #trace: Trace;

  /**
   * Takes ownership of a queue: use it through this wrapper only.
   *
   * @param device The address of its device, for {@linkcode TracedPacket}.
   */
  constructor(queue: RxQueue, device: string, trace: Trace) {
    this.#queue = queue;
    this.#device = device;
    this.#trace = trace;
  }

  get number(): number {
    return this.#queue.number;
  }

  get pool(): Mempool {
    return this.#queue.pool;
  }

  get packets(): number {
    return this.#queue.packets;
  }

  get interrupt(): Interrupt | undefined {
    return this.#queue.interrupt;
  }

  receive(batch: PacketBatch): number {
    const n = this.#queue.receive(batch);
    if (n === 0) return 0;
    const shared = {
      device: this.#device,
      queue: this.number,
      direction: "receive" as const,
      milliseconds: performance.now(),
    };
    for (const bytes of batch) this.#trace({ ...shared, bytes });
    return n;
  }
}

/** A transmit queue that traces packets once the wrapped queue has taken them. */
export class TracedTxQueue implements TxQueue {
  readonly #queue: TxQueue;
  readonly #device: string;
  readonly #trace: Trace;
  /** Copies of a batch's packets, back to back. */
  #copies = new Uint8Array();

  /**
   * Takes ownership of a queue: use it through this wrapper only.
   *
   * @param device The address of its device, for {@linkcode TracedPacket}.
   */
  constructor(queue: TxQueue, device: string, trace: Trace) {
    this.#queue = queue;
    this.#device = device;
    this.#trace = trace;
  }

  get number(): number {
    return this.#queue.number;
  }

  get pool(): Mempool {
    return this.#queue.pool;
  }

  get pending(): number {
    return this.#queue.pending;
  }

  reclaim(): number {
    return this.#queue.reclaim();
  }

  transmit(batch: PacketBatch): number {
    const before = batch.length, copies = this.#copy(batch);
    try {
      return this.#queue.transmit(batch);
    } finally { // a queue that refuses a packet has sent the packets before it
      this.#show(copies.slice(0, before - batch.length));
    }
  }

  #copy(batch: PacketBatch): Uint8Array[] {
    const packets = [...batch];
    const bytes = packets.reduce((sum, packet) => sum + packet.length, 0);
    if (bytes > this.#copies.length) this.#copies = new Uint8Array(bytes);
    let end = 0;
    return packets.map((packet) => {
      const copy = this.#copies.subarray(end, end += packet.length);
      copy.set(packet);
      return copy;
    });
  }

  #show(packets: readonly Uint8Array[]): void {
    if (packets.length === 0) return;
    const shared = {
      device: this.#device,
      queue: this.number,
      direction: "transmit" as const,
      milliseconds: performance.now(),
    };
    for (const bytes of packets) this.#trace({ ...shared, bytes });
  }
}

/** A device whose packets are traced. */
export class TracedDevice extends WrappedDevice {
  /**
   * Takes ownership of a device: use it through this wrapper only, which also closes it.
   *
   * @param trace Called for each packet; default: prints {@linkcode traceLine}.
   */
  constructor(device: Device, trace: Trace = printTrace, { only }: TraceOptions = {}) {
    const { address, rxQueues, txQueues } = device;
    super(
      device,
      only === "transmit" ? rxQueues : rxQueues.map((q) => new TracedRxQueue(q, address, trace)),
      only === "receive" ? txQueues : txQueues.map((q) => new TracedTxQueue(q, address, trace)),
    );
  }
}
