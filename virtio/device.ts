/**
 * A VirtIO network device: what `open` returns for one, whatever its transport.
 *
 * @module
 */

import type { Device, LinkStatus, OpenOptions, Statistics } from "../src/device.ts";
import { DmaMemory } from "../src/dma.ts";
import { UsageError } from "../src/errors.ts";
import { waitForLink } from "../src/link.ts";
import { checkMulticast, checkUnicast } from "../src/mac.ts";
import type { Mempool } from "../src/mempool.ts";
import { type QueueOptions, queueOptions } from "../src/queue.ts";
import { Control, ControlQueue, MOST_DATA } from "./control_queue.ts";
import { Feature, INDIRECT_DESC, negotiate } from "./features.ts";
import { NetConfig } from "./registers.ts";
import { VirtioRxQueue } from "./rx_queue.ts";
import { Status, type Transport } from "./transport.ts";
import { VirtioTxQueue } from "./tx_queue.ts";
import { placeQueues, Virtqueue } from "./virtqueue.ts";

/** The device's queues, with one pair of them (section 5.1.2). */
const RX = 0, TX = 1, CONTROL = 2;
const QUEUES = ["receive", "transmit", "control"];
/** Bytes of the header before each packet: before VirtIO 1.0 it had no num_buffers, unless merging. */
const SHORT_HEADER = 10, HEADER = 12;
/** A control queue needs so many descriptors, a packet two. */
const LEAST_ENTRIES = 4, MOST_ENTRIES = 32768;
const CONTROL_PAGE = 4096;
const LINK_UP = 1;
const SPEED_UNKNOWN = 0xffffffff;

/**
 * Opens a device through its transport.
 *
 * @throws {UsageError} if the device lacks what is needed, or an option is out of range.
 * @throws {DeviceError} if the device does not do as its specification says.
 */
export async function openVirtio(
  address: string,
  options: OpenOptions,
  connect: (pool: Mempool) => Transport,
): Promise<VirtioDevice> {
  const queues = queueOptions(address, options);
  using opened = new DisposableStack();
  if (queues.ownPool) opened.use(queues.pool);
  const device = new VirtioDevice(connect(queues.pool), queues);
  opened.move(); // the pool is the device's now
  using failed = new DisposableStack();
  failed.use(device);
  await device.start(queues, options.promiscuous ?? false);
  failed.move();
  return device;
}

/** A VirtIO network device. `open` makes it. */
export class VirtioDevice implements Device {
  readonly address: string;
  readonly driver = "virtio";
  readonly model: string;
  readonly pool: Mempool;
  readonly rxQueues: VirtioRxQueue[] = [];
  readonly txQueues: VirtioTxQueue[] = [];
  readonly #transport: Transport;
  readonly #ownPool: boolean;
  #offered = 0n;
  #features = 0n;
  #rings: DmaMemory | undefined;
  #control: ControlQueue | undefined;
  /** The address of a device that has none of its own. */
  readonly #mac = crypto.getRandomValues(new Uint8Array(6));
  #closed = false;

  /** Nothing is done before {@linkcode VirtioDevice.start}. */
  constructor(transport: Transport, { pool, ownPool }: QueueOptions) {
    this.address = transport.address;
    this.model = `VirtIO, ${transport.name}`;
    this.pool = pool;
    this.#transport = transport;
    this.#ownPool = ownPool;
    this.#mac[0] = this.#mac[0] & ~1 | 2; // unicast, locally administered
  }

  /** The features that were negotiated, for those who want to look closer. */
  get features(): bigint {
    return this.#features;
  }

  /** Brings the device up in the order of section 3.1.1. */
  async start(options: QueueOptions, promiscuous: boolean): Promise<void> {
    const transport = this.#transport;
    await transport.reset();
    let status = 0;
    const setStatus = (bit: number) => transport.setStatus(status |= bit);
    setStatus(Status.ACKNOWLEDGE);
    setStatus(Status.DRIVER);
    this.#offered = transport.features();
    this.#features = negotiate(this.#offered);
    const modern = this.#has(Feature.VERSION_1);
    if (!modern && !transport.legacy) {
      throw new UsageError(
        `${this.address}: the device offers no VERSION_1, which its interface needs: use another`,
      );
    }
    transport.setFeatures(this.#features);
    if (modern) {
      setStatus(Status.FEATURES_OK);
      if ((transport.status() & Status.FEATURES_OK) === 0) {
        throw new UsageError(
          `${this.address}: the device does not do without features that this driver lacks`,
        );
      }
    }
    transport.mapDma(this.pool.memory);
    this.#startQueues(options, modern || this.#has(Feature.MRG_RXBUF) ? HEADER : SHORT_HEADER);
    setStatus(Status.DRIVER_OK);
    this.rxQueues[0].start();
    this.setPromiscuous(promiscuous);
  }

  #has(feature: bigint): boolean {
    return (this.#features & feature) !== 0n;
  }

  #startQueues({ rxEntries, txEntries }: QueueOptions, headerBytes: number): void {
    const transport = this.#transport;
    const count = this.#has(Feature.CTRL_VQ) ? 3 : 2;
    const perChain = [this.#receivesChains(headerBytes) ? 2 : 1, 2, 1] as const;
    const wanted = [perChain[RX] * rxEntries, perChain[TX] * txEntries, 64].slice(0, count);
    const entries = wanted.map((n, index) => this.#queueSize(index, n));
    const { offsets, bytes } = placeQueues(entries);
    const rings = this.#rings = new DmaMemory(bytes + CONTROL_PAGE);
    transport.mapDma(rings);
    const inOrder = this.#has(Feature.IN_ORDER);
    const queues = entries.map((n, i) => {
      return new Virtqueue(transport, i, n, perChain[i], rings, offsets[i], inOrder);
    });
    const merges = this.#has(Feature.MRG_RXBUF);
    this.rxQueues.push(
      new VirtioRxQueue(queues[RX], this.pool, headerBytes, merges, rxEntries),
    );
    this.txQueues.push(new VirtioTxQueue(queues[TX], this.pool, headerBytes, txEntries));
    if (count > CONTROL) {
      this.#control = new ControlQueue(transport, queues[CONTROL], rings, bytes);
    }
    for (const { index, areas } of queues) transport.startQueue(index, areas);
  }

  /**
   * Whether to receive into chains of two descriptors. Legacy devices without ANY_LAYOUT want that,
   * and by the specification others take it (section 2.7.4); but back-ends that were only ever tried
   * with Linux, which gives them one, may not: passt aborts. One that even takes tables of descriptors
   * takes chains.
   */
  #receivesChains(headerBytes: number): boolean {
    return headerBytes !== HEADER || (this.#offered & INDIRECT_DESC) !== 0n ||
      !this.#has(Feature.VERSION_1 | Feature.ANY_LAYOUT);
  }

  #queueSize(index: number, wanted: number): number {
    const entries = this.#transport.queueSize(index, wanted);
    const good = entries >= LEAST_ENTRIES && entries <= MOST_ENTRIES &&
      Number.isInteger(Math.log2(entries));
    if (good) return entries;
    throw new UsageError(
      `${this.address}: its ${
        QUEUES[index]
      } queue ${index} has ${entries} descriptors, which is not ` +
        `a power of two from ${LEAST_ENTRIES} to ${MOST_ENTRIES}: set the device up otherwise`,
    );
  }

  linkStatus(): LinkStatus {
    this.#checkOpen();
    if (this.#has(Feature.STATUS)) {
      const [low] = this.#transport.readConfig(NetConfig.STATUS, 2);
      if ((low & LINK_UP) === 0) return { up: false, megabits: 0 };
    }
    return { up: true, megabits: this.#has(Feature.SPEED_DUPLEX) ? this.#speed() : 0 };
  }

  #speed(): number {
    const bytes = this.#transport.readConfig(NetConfig.SPEED, 4);
    const speed = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    return speed === SPEED_UNKNOWN ? 0 : speed;
  }

  waitForLink(milliseconds = 10000): Promise<LinkStatus> {
    return waitForLink(this.address, () => this.linkStatus(), milliseconds);
  }

  /** The address: the device's own; or where it has none, one that is made up. */
  macAddress(): Uint8Array {
    this.#checkOpen();
    return this.#has(Feature.MAC)
      ? this.#transport.readConfig(NetConfig.MAC, 6)
      : this.#mac.slice();
  }

  setMacAddress(mac: Uint8Array): void {
    this.#checkOpen();
    checkUnicast(this.address, mac);
    if (!this.#has(Feature.MAC)) this.#mac.set(mac);
    else if (this.#has(Feature.CTRL_MAC_ADDR)) this.#control!.command(Control.MAC_ADDR_SET, mac);
    else if (!this.#has(Feature.VERSION_1)) {
      // Legacy devices take it by their configuration space (section 5.1.4.1).
      mac.forEach((byte, i) => this.#transport.writeConfig(NetConfig.MAC + i, byte));
    } else {
      throw new UsageError(
        `${this.address}: the device cannot change its MAC address (no CTRL_MAC_ADDR): set it where ` +
          `the device is set up`,
      );
    }
  }

  /** Without CTRL_RX, the device passes on what reaches it, and this does nothing. */
  setPromiscuous(on: boolean): void {
    this.#checkOpen();
    if (!this.#has(Feature.CTRL_RX)) return;
    this.#control!.command(Control.PROMISCUOUS, Uint8Array.of(Number(on)));
  }

  /** Without CTRL_RX, the device passes on what reaches it, and this does nothing. */
  setMulticast(addresses: readonly Uint8Array[]): void {
    this.#checkOpen();
    checkMulticast(this.address, addresses);
    if (!this.#has(Feature.CTRL_RX)) return;
    // Two tables (section 5.1.6.5.2), each a count and as many addresses: unicast, multicast.
    const tables = new Uint8Array(8 + 6 * addresses.length);
    const all = tables.length > MOST_DATA;
    if (!all) {
      new DataView(tables.buffer).setUint32(4, addresses.length, true);
      addresses.forEach((mac, i) => tables.set(mac, 8 + 6 * i));
      this.#control!.command(Control.MAC_TABLE_SET, tables);
    }
    this.#control!.command(Control.ALL_MULTICAST, Uint8Array.of(Number(all)));
  }

  /** A VirtIO device counts nothing: misses and errors are 0. */
  statistics(): Statistics {
    const [rx] = this.rxQueues, [tx] = this.txQueues;
    return {
      rxPackets: BigInt(rx.packets),
      rxBytes: BigInt(rx.bytes),
      txPackets: BigInt(tx.packets),
      txBytes: BigInt(tx.bytes),
      rxMissed: 0n,
      rxErrors: 0n,
      rxTooLong: BigInt(rx.tooLong),
      rxNoBuffer: BigInt(rx.noBuffer),
    };
  }

  /** None: a VirtIO device counts nothing. */
  counters(): Record<string, bigint> {
    return {};
  }

  check(): void {
    this.#checkOpen();
    this.#transport.check();
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error(`${this.address} is closed`);
  }

  /**
   * Resets the device, and only then gives buffers and rings back. Again: nothing happens.
   *
   * @throws {DeviceError} if the device does not come to rest; the pool then never gets those buffers
   * back that the device had.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    let atRest = false;
    try {
      atRest = this.#transport.stop();
    } finally {
      this.#transport.close();
      // Buffers that a device may still write to are lost to the pool.
      for (const queue of [...this.rxQueues, ...this.txQueues]) queue.close(atRest);
      this.#rings?.free();
      if (this.#ownPool) this.pool[Symbol.dispose]();
    }
  }

  /** Closes. */
  [Symbol.dispose](): void {
    this.close();
  }
}
