/**
 * A device's virtqueues (VirtIO 1.3, section 5.1.2): pairs of a receive and a transmit queue, then
 * the control queue. Allocates them, gives them to the device, and frees them.
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

/**
 * Bytes of the header before each packet. Legacy devices omit num_buffers, except with MRG_RXBUF.
 */
const SHORT_HEADER = 10, HEADER = 12;
/**
 * Limits of a queue's descriptors. A packet needs one or two; the minimum exceeds a command's three.
 */
const MIN_ENTRIES = 4, MAX_ENTRIES = 32768;
const CONTROL_ENTRIES = 64, CONTROL_PAGE = 4096;

/** What the driver and the device have negotiated. */
export interface Negotiated {
  /** Features that the device offers. */
  readonly offered: bigint;
  /** Features that the driver has accepted. */
  readonly taken: bigint;
  /** Pairs of queues of the device; 1 if only one is used, which needs no negotiation. */
  readonly pairs: number;
}

/** The purpose of a queue. */
interface QueueRole {
  readonly name: "receive" | "transmit" | "control";
  /** Descriptors of a chain. */
  readonly perChain: 1 | 2;
  /** Descriptors of the queue if the driver decides; undefined: the transport's default. */
  readonly wanted: number | undefined;
}

/** The virtqueues of a device; none until {@linkcode Queues.prototype.setUp}. */
export class Queues {
  /** The receive queues in use. */
  readonly rx: VirtioRxQueue[] = [];
  /** The transmit queues in use. */
  readonly tx: VirtioTxQueue[] = [];
  /** The control queue, if the device has one. */
  control: ControlQueue | undefined;
  readonly #transport: Transport;
  #rings: DmaMemory | undefined;

  /**
   * Creates an empty set of queues.
   *
   * @param transport The device's transport.
   */
  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /**
   * Allocates the queues, fills the receive queues with buffers, and gives all queues to the
   * device.
   *
   * Only the pairs in use are set up, from the first one (section 5.1.5: "up to N of each kind"): a
   * device can offer hundreds, with thousands of descriptors each. The control queue comes after all
   * pairs of the device.
   *
   * @throws {UsageError} if the device lacks a queue, or a pool lacks the buffers.
   */
  setUp(options: QueueOptions, { offered, taken, pairs }: Negotiated): void {
    const transport = this.#transport, { rxEntries, txEntries, pools } = options;
    const has = (feature: bigint) => (taken & feature) !== 0n;
    const merges = has(Feature.MRG_RXBUF), controlled = has(Feature.CTRL_VQ);
    const header = has(Feature.VERSION_1) || merges ? HEADER : SHORT_HEADER;
    // All pools have the same headroom.
    const together = has(Feature.VERSION_1 | Feature.ANY_LAYOUT) && pools[0].headroom >= header;
    const apart = receivesChains(offered, taken, header);
    const chains = { receive: !together && apart ? 2 : 1, transmit: together ? 1 : 2 } as const;
    const wanted = (option: "rxEntries" | "txEntries", perChain: number) => {
      const packets = options.explicit[option];
      return packets && perChain * packets;
    };
    const receive: QueueRole = {
      name: "receive",
      perChain: chains.receive,
      wanted: wanted("rxEntries", chains.receive),
    };
    const transmit: QueueRole = {
      name: "transmit",
      perChain: chains.transmit,
      wanted: wanted("txEntries", chains.transmit),
    };
    const control: QueueRole = { name: "control", perChain: 1, wanted: CONTROL_ENTRIES };
    const roles = pools.flatMap(() => [receive, transmit]);
    if (controlled) roles.push(control);
    const indices = roles.map((role, i) => role === control ? 2 * pairs : i);

    const entries = roles.map((role, i) => this.#size(indices[i], role));
    const { offsets, bytes } = placeQueues(entries);
    const rings = this.#rings = DmaMemory.allocate(bytes + CONTROL_PAGE);
    transport.mapDma(rings);
    const inOrder = has(Feature.IN_ORDER);
    const queues = roles.map(({ perChain }, i) => {
      return new Virtqueue(transport, indices[i], entries[i], perChain, rings, offsets[i], inOrder);
    });
    pools.forEach((pool, pair) => {
      const [rx, tx] = queues.slice(2 * pair);
      // Checked again: another device may have taken buffers meanwhile.
      checkBuffers(transport.address, [pool], rxEntries);
      this.rx.push(new VirtioRxQueue(rx, pool, header, merges, rxEntries));
      this.tx.push(new VirtioTxQueue(tx, pool, header, txEntries));
    });
    if (controlled) this.control = new ControlQueue(transport, queues.at(-1)!, rings, bytes);
    for (const { index, areas } of queues) transport.startQueue(index, areas);
  }

  /**
   * Starts the queues of a running device. A device uses several receive queues only after a
   * command (section 5.1.6.5.5), and each receive queue needs its own notification of new buffers.
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
    const valid = entries >= MIN_ENTRIES && entries <= MAX_ENTRIES &&
      Number.isInteger(Math.log2(entries));
    if (valid) return entries;
    throw new UsageError(
      `${address}: its ${name} queue ${index} has ${entries} descriptors, which is not a power ` +
        `of two from ${MIN_ENTRIES} to ${MAX_ENTRIES}: change the configuration of its back-end`,
    );
  }

  /** Whether the device can reach the rings. They are unpinned last, after all pools. */
  get pinned(): boolean {
    return this.#rings?.pinned ?? false;
  }

  /**
   * Returns buffers to their pools and frees the rings. Keeps all of them if the rings are pinned.
   *
   * @param atRest Whether the device has stopped. If not, it may still write to its buffers, and
   * these never return to their pools. If a process serves the device, it decides when they return.
   */
  close(atRest: boolean): void {
    const { pinned } = this, { peer } = this.#transport;
    for (const queue of [...this.rx, ...this.tx]) queue.close(atRest && !pinned, peer);
    if (!pinned) this.#rings?.free();
  }
}

/**
 * Returns whether to receive into chains of two descriptors. Legacy devices without ANY_LAYOUT
 * require them, and the specification makes all others accept them (section 2.7.4). Back-ends that
 * were tested only with Linux, which posts single descriptors, may fail: passt aborts. A device
 * that offers INDIRECT_DESC supports chains.
 */
function receivesChains(offered: bigint, taken: bigint, headerBytes: number): boolean {
  return headerBytes !== HEADER || (offered & INDIRECT_DESC) !== 0n ||
    (taken & (Feature.VERSION_1 | Feature.ANY_LAYOUT)) === 0n;
}
