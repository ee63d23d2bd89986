/**
 * A device's virtqueues (VirtIO 1.3, section 5.1.2): pairs of a receive and a transmit queue, and the
 * control queue behind them; how they are laid out, given to the device, and taken back.
 *
 * @module
 */

import { DmaMemory } from "../src/dma.ts";
import { UsageError } from "../src/errors.ts";
import { checkBuffers, type QueueOptions } from "../src/driver.ts";
import { Control, ControlQueue } from "./control_queue.ts";
import { Feature, INDIRECT_DESC } from "./features.ts";
import { VirtioRxQueue } from "./rx_queue.ts";
import type { Transport } from "./transport.ts";
import { VirtioTxQueue } from "./tx_queue.ts";
import { placeQueues, Virtqueue } from "./virtqueue.ts";

/** Bytes of the header before each packet: before VirtIO 1.0 it had no num_buffers, unless merging. */
const SHORT_HEADER = 10, HEADER = 12;
/** A control queue needs so many descriptors, a packet two. */
const MIN_ENTRIES = 4, MAX_ENTRIES = 32768;
const CONTROL_ENTRIES = 64, CONTROL_PAGE = 4096;

/** What the driver and the device have agreed on. */
export interface Negotiated {
  /** Features that the device offers, and those that the driver has taken of them. */
  readonly offered: bigint;
  readonly taken: bigint;
  /** Pairs of queues that the device has; 1 if only one is to be used, which needs no agreement. */
  readonly pairs: number;
}

/** What queues are there for. */
interface QueueRole {
  readonly name: "receive" | "transmit" | "control";
  /** Descriptors of a chain. */
  readonly perChain: 1 | 2;
  /** Descriptors to have, if the device leaves that to the driver. */
  readonly wanted: number;
}

/** The virtqueues of a device. There are none before {@linkcode Queues.setUp}. */
export class Queues {
  /** The receive queues that are used. */
  readonly rx: VirtioRxQueue[] = [];
  /** The transmit queues that are used. */
  readonly tx: VirtioTxQueue[] = [];
  /** The control queue, where there is one. */
  control: ControlQueue | undefined;
  readonly #transport: Transport;
  #rings: DmaMemory | undefined;

  /** @param transport How the device is reached. */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Makes the queues and gives them to the device, receive queues with buffers in them.
   *
   * Where a command says how many pairs are used, all are set up that the device has, as drivers do
   * that devices were tried with; where they are enabled one by one, those that are used.
   *
   * @throws {UsageError} if the device has not the queues, or a pool has no buffers for them any more.
   */
  setUp(options: QueueOptions, { offered, taken, pairs }: Negotiated): void {
    const transport = this.#transport, { rxEntries, txEntries, pools } = options;
    const has = (feature: bigint) => (taken & feature) !== 0n;
    const merges = has(Feature.MRG_RXBUF), controlled = has(Feature.CTRL_VQ);
    const header = has(Feature.VERSION_1) || merges ? HEADER : SHORT_HEADER;
    const chain = receivesChains(offered, taken, header) ? 2 : 1;
    const receive: QueueRole = { name: "receive", perChain: chain, wanted: chain * rxEntries };
    const transmit: QueueRole = { name: "transmit", perChain: 2, wanted: 2 * txEntries };
    const control: QueueRole = { name: "control", perChain: 1, wanted: CONTROL_ENTRIES };
    const all = controlled ? pairs : pools.length;
    const roles = Array.from({ length: all }, () => [receive, transmit]).flat();
    if (controlled) roles.push(control);

    const entries = roles.map((role, index) => this.#size(index, role));
    const { offsets, bytes } = placeQueues(entries);
    const rings = this.#rings = DmaMemory.allocate(bytes + CONTROL_PAGE);
    transport.mapDma(rings);
    const inOrder = has(Feature.IN_ORDER);
    const queues = roles.map(({ perChain }, i) => {
      return new Virtqueue(transport, i, entries[i], perChain, rings, offsets[i], inOrder);
    });
    pools.forEach((pool, pair) => {
      const [rx, tx] = queues.slice(2 * pair);
      checkBuffers(transport.address, [pool], rxEntries); // others may have taken some meanwhile
      this.rx.push(new VirtioRxQueue(rx, pool, header, merges, rxEntries));
      this.tx.push(new VirtioTxQueue(tx, pool, header, txEntries));
    });
    if (controlled) this.control = new ControlQueue(transport, queues[2 * all], rings, bytes);
    for (const { index, areas } of queues) transport.startQueue(index, areas);
  }

  /**
   * Has the device use the queues, once it runs: it puts packets into several receive queues only after
   * it was told to (section 5.1.6.5.5), and each notification of new buffers is of one queue.
   *
   * @throws {DeviceError} if the device refuses, or does not answer in time.
   */
  start(): void {
    const pairs = this.rx.length;
    if (pairs > 1) {
      this.control?.command(Control.MQ_VQ_PAIRS_SET, Uint8Array.of(pairs & 0xff, pairs >> 8));
    }
    for (const queue of this.rx) queue.start();
  }

  #size(index: number, { name, wanted }: QueueRole): number {
    const { address } = this.#transport, entries = this.#transport.queueSize(index, wanted);
    const good = entries >= MIN_ENTRIES && entries <= MAX_ENTRIES &&
      Number.isInteger(Math.log2(entries));
    if (good) return entries;
    throw new UsageError(
      `${address}: its ${name} queue ${index} has ${entries} descriptors, which is not a power of ` +
        `two from ${MIN_ENTRIES} to ${MAX_ENTRIES}: set the device up otherwise`,
    );
  }

  /** Whether the device can reach the rings, of which its bus lets go last. */
  get pinned(): boolean {
    return this.#rings?.pinned ?? false;
  }

  /**
   * Takes everything back; nothing, if the rings are held.
   *
   * @param atRest Whether the device has stopped: buffers that it may still write to are lost to their
   * pools.
   */
  close(atRest: boolean): void {
    const { pinned } = this;
    for (const queue of [...this.rx, ...this.tx]) queue.close(atRest && !pinned);
    if (!pinned) this.#rings?.free();
  }
}

/**
 * Whether to receive into chains of two descriptors. Legacy devices without ANY_LAYOUT want that, and
 * by the specification others take it (section 2.7.4); but back-ends that were only ever tried with
 * Linux, which gives them one, may not: passt aborts. One that even takes tables of descriptors takes
 * chains.
 */
function receivesChains(offered: bigint, taken: bigint, headerBytes: number): boolean {
  return headerBytes !== HEADER || (offered & INDIRECT_DESC) !== 0n ||
    (taken & (Feature.VERSION_1 | Feature.ANY_LAYOUT)) === 0n;
}
